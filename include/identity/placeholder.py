"""Find the tax ids that stand for an unknown one, such as `999-99-9999`, even if they are hashes."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

MOST_FAMILIES = 6
"""Maximum number of family names with one tax id: of the person, the spouse, former names, typing errors, and relatives by mistake."""

MOST_SUSPECTED = 2
"""The same for a number whose last four digits are those of a usual placeholder."""

_USUAL = ", ".join(f"'{end}'" for end in (*(digit * 4 for digit in "0123456789"), "6789", "4321"))
# Different people have the same last four digits by chance, in proportion to the size of the firm: on average `usual` of them.
_FIND = f"""
with name as (select distinct tax, tax_last4 as ending, last[:3] as name from records where tax is not null and last is not null),
     ending as (select tax_last4 as ending, count(distinct last[:3]) as names from records where ending is not null group by ending)
select 'tax' as field, tax as value from name group by tax
having count(distinct name) > case when bool_or(ending in ({_USUAL})) then {MOST_SUSPECTED} else {MOST_FAMILIES} end
union all
select 'tax_last4', ending from ending where names > {MOST_FAMILIES} + 4 * (select sum(names) from ending) / 10000
"""  # noqa: S608


def find_placeholders(records: pa.Table) -> pa.Table:
    """Return the numbers that more families have than one number can: `field` (`tax` or `tax_last4`) and `value`.

    Args:
        records: FEATURES of all records of the firm.
    """
    with duckdb.connect() as db:
        db.register("records", records.select(["tax", "tax_last4", "last"]))
        return db.sql(_FIND).to_arrow_table()


def clear_placeholders(records: pa.Table, placeholders: pa.Table) -> pa.Table:
    """Return FEATURES without these numbers; the last four digits of a placeholder are one, too."""
    values = {
        field: placeholders["value"].filter(pc.equal(placeholders["field"], field)) for field in ("tax", "tax_last4")
    }
    is_tax = pc.is_in(records["tax"], value_set=values["tax"].combine_chunks())
    is_end = pc.or_(is_tax, pc.is_in(records["tax_last4"], value_set=values["tax_last4"].combine_chunks()))
    for field, is_placeholder in (("tax", is_tax), ("tax_last4", is_end)):
        at = records.schema.get_field_index(field)
        records = records.set_column(at, field, pc.if_else(is_placeholder, None, records[field]))
    return records
