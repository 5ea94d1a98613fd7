"""Find the values that stand for an unknown one, such as the tax id `999-99-9999`, even if they are hashes."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

MOST_ALIKE = 60
"""An e-mail, telephone number or tax id that is in more records than this is treated as a placeholder."""

MOST_BORN = 20
"""A birth date is treated as a placeholder if its number of records is more than this many times the average of all birth dates."""

_UNIQUE = ("email", "home_email", "phone", "tax")
MOST_FAMILIES = 6
"""Maximum number of family names with one tax id: of the person, the spouse, former names, typing errors, and relatives by mistake."""

MOST_SUSPECTED = 2
"""The same for a number whose last four digits are those of a usual placeholder. Two birth dates also show that it is one."""

_NEVER_ISSUED = "0000"
"""Last four digits that no person's tax id has."""

_USUAL = ", ".join(f"'{end}'" for end in (*(digit * 4 for digit in "0123456789"), "6789", "4321"))
# Different people have the same last four digits by chance, in proportion to the size of the firm: on average `usual` of them.
_FIND = f"""
with ending as (select tax_last4 as ending, count(distinct last[:3]) as names from records where ending is not null group by ending),
     number as (
         select tax, bool_or(tax_last4 in ({_USUAL})) as is_usual, count(distinct last[:3]) as names, count(distinct birth) as births,
                bool_or(tax_last4 = '{_NEVER_ISSUED}') as is_never_issued
         from records where tax is not null group by tax)
select 'tax' as field, tax as value from number
where is_never_issued or names > {MOST_FAMILIES} or is_usual and (names > {MOST_SUSPECTED} or births > 1)
union all
select 'tax_last4', '{_NEVER_ISSUED}'
union all
select 'tax_last4', ending from ending where names > {MOST_FAMILIES} + 4 * (select sum(names) from ending) / 10000
"""  # noqa: S608


def find_placeholders(features: pa.Table) -> dict[str, pa.Array]:
    """Return, by column, the values that too many records share to tell people apart.

    Args:
        features: The features of all records of the firm (schema FEATURES).
    """
    usual = len(features) // 10_000
    limits = dict.fromkeys(_UNIQUE, MOST_ALIKE) | {"tax_last4": MOST_ALIKE + MOST_BORN * usual}
    dates = max(pc.count_distinct(features["birth"]).as_py(), 1)
    limits["birth"] = MOST_BORN * max(len(features) // dates, 1)
    found = {}
    for name, most in limits.items():
        counted = features[name].drop_null().value_counts()
        found[name] = counted.field("values").filter(pc.greater(counted.field("counts"), most))
    of_families = _find_numbers_of_families(clear_placeholders(features, found))
    return found | {name: pa.concat_arrays([found[name], values]) for name, values in of_families.items()}


def _find_numbers_of_families(features: pa.Table) -> dict[str, pa.Array]:
    """Return the tax ids, and the last four digits, that more families have than one number can."""
    with duckdb.connect() as db:
        db.register("records", features.select(["tax", "tax_last4", "last", "birth"]))
        found = db.sql(_FIND).to_arrow_table()
    return {
        name: found["value"].filter(pc.equal(found["field"], name)).combine_chunks() for name in ("tax", "tax_last4")
    }


def clear_placeholders(features: pa.Table, placeholders: Mapping[str, pa.Array]) -> pa.Table:
    """Return FEATURES without these values; the last four digits of a placeholder are also a placeholder."""
    is_placeholder = {
        name: pc.is_in(features[name], value_set=values) for name, values in placeholders.items() if len(values)
    }
    if "tax" in is_placeholder:
        is_end = is_placeholder.get("tax_last4", is_placeholder["tax"])
        is_placeholder["tax_last4"] = pc.or_(is_end, is_placeholder["tax"])
    for name, is_one in is_placeholder.items():
        at = features.schema.get_field_index(name)
        features = features.set_column(at, features.schema.field(at), pc.if_else(is_one, None, features[name]))
    return features
