"""Read the names of records: which records are of legal entities, and the one or two people of each other record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from include.names.census import is_rather_family, is_rather_given
from include.names.organization import WORDS
from include.names.person import Name, read_family, read_given, read_whole
from include.names.registration import read_registration
from include.names.words import plain

LEAST_DECIDED, LEAST_SHARE = 20, 0.9
"""A vendor writes the family name first if at least this share of its decided names, and at least this number of them, begin with it."""

# A name without any of these words, and without type and tax id form, is a person's or a couple's. Most names are, and reading them as
# registrations takes ten times as long.
_MARKS = (
    r"(?i)\b(?:trusts?|tr|trst|ttees?|trustees?|u/?a/?d?|uad|dtd|rlt|ilit|cr[au]t|estate|est|dec'?d|deceased|llc|l\.l\.c|llp|lp|l\.p|inc|corp|"
    r"corporation|incorporated|co|company|ltd|limited|pllc|pc|p\.c|plc|gmbh|foundation|fdn|fndn|endowment|fund|plan|pl|ira|bda|401|403|457|529|"
    r"pension|psp|fbo|f/b/o|cust|custodian|c/f|u[tg]ma?|minor|guardian|conservator|partnership|"
    + "|".join(sorted(WORDS))
    + r")\b|40[13]\("
)
_AND = r"(?i)&|\+|/| and | or "
_NAMELESS = Name(None, None, None, None)


class Names(NamedTuple):
    """The names of some records, in their order.

    Attributes:
        entities: Name of the legal entity; None for a record of people.
        people: The one or two people of a record; empty for a legal entity.
    """

    entities: list[str | None]
    people: list[tuple[Name, ...]]


def read_names(persons: pa.Table, family_first: Collection[str] | None = None) -> Names:
    """Read the names of records. Each distinct text, and each distinct combination of texts, is read only once.

    Args:
        persons: Table with the schema `include.identity.record.PERSONS`.
        family_first: The vendors that write the family name first; None to find them in these records.
    """
    if family_first is None:
        family_first = find_family_first(persons)
    given, family = persons["first_name"], persons["last_name"]
    # Where a system knows only persons, an organization's name is in the field of the last name.
    name = pc.coalesce(persons["name"], pc.if_else(pc.is_null(given), family, None))
    in_parts = pc.and_(pc.is_valid(given), pc.is_valid(family))
    is_marked = pc.fill_null(pc.match_substring_regex(name, _MARKS), False)
    is_ein = pc.fill_null(pc.equal(persons["tax_id_form"], "ein"), False)
    is_registration = pc.or_(pc.or_(is_marked, is_ein), pc.is_valid(persons["registration_type"]))
    is_joint = pc.fill_null(pc.match_substring_regex(name, _AND), False)
    used = pc.or_(pc.invert(in_parts), pc.or_(is_registration, is_joint))
    columns = [
        given,
        family,
        pc.if_else(used, name, None),
        pc.if_else(is_registration, persons["registration_type"], None),
        pc.if_else(is_registration, persons["tax_id_form"], None),
        is_registration,
        pc.is_in(persons["vendor"], value_set=pa.array(list(family_first), pa.string())),
    ]
    known: dict[tuple[object, ...], tuple[str | None, tuple[Name, ...]]] = {}
    given_of, family_of = _read_distinct(given, read_given), _read_distinct(family, read_family)
    entities, people = [], []
    for texts in zip(*(column.to_pylist() for column in columns), strict=True):
        read = known.get(texts)
        if read is None:
            read = known[texts] = _read(_join_parts(given_of[texts[0]], family_of[texts[1]]), *texts)
        entities.append(read[0])
        people.append(read[1])
    return Names(entities, people)


def _read_distinct(
    texts: pa.ChunkedArray, read: Callable[[str | None], tuple[Name, ...]]
) -> dict[str | None, tuple[Name, ...]]:
    """Return `read(text)` of each distinct text, and of null."""
    return {text: read(text) for text in {None, *pc.unique(texts).to_pylist()}}


def _read(
    parts: tuple[Name, ...],
    given: str | None,
    family: str | None,
    name: str | None,
    registration_type: str | None,
    tax_id_form: str | None,
    is_registration: bool,
    is_family_first: bool,
) -> tuple[str | None, tuple[Name, ...]]:
    text = name
    if is_registration:
        # A vendor that states a given and a family name means a person, unless the name clearly is an organization's.
        stated = registration_type or ("Individual" if given and family else None)
        read = read_registration(name, stated, tax_id_form)
        if read.entity is not None:
            return read.entity, ()
        text = read.people
    whole = read_whole(text, is_family_first=is_family_first)
    if not (given and family) or not parts[0].last:
        # A single word is a family name if the vendor sends it in that field.
        is_family_only = family and not given and not any(person.last for person in whole)
        return None, parts if is_family_only else whole or parts
    firsts = [each.first for each in whole]
    if len(parts) == 1 and len(whole) == 2 and parts[0].first in firsts:
        return None, (parts[0], whole[1 - firsts.index(parts[0].first)])  # the title may name the other person first
    if (
        len(parts) == 1
        and len(whole) == 1
        and not parts[0].middle
        and (whole[0].first, whole[0].last) == (parts[0].first, parts[0].last)
    ):
        return None, (parts[0]._replace(middle=whole[0].middle),)
    return None, parts


def _join_parts(given: tuple[Name, ...], family: tuple[Name, ...]) -> tuple[Name, ...]:
    """Return the people of the two fields of a name, as `read_given` and `read_family` read them."""
    firsts, lasts = given or (_NAMELESS,), family or (_NAMELESS,)
    pairs = zip(firsts, (*lasts, lasts[-1]), strict=False)  # the second person's family name, or the shared one
    return tuple(one._replace(last=own.last, generation=own.generation or one.generation) for one, own in pairs)


def find_family_first(persons: pa.Table) -> list[str]:
    """Return the vendors that write the family name first, without a comma, in the field of the full name."""
    is_whole = pc.and_(
        pc.is_valid(persons["name"]), pc.or_(pc.is_null(persons["first_name"]), pc.is_null(persons["last_name"]))
    )
    whole = persons.select(["vendor", "name"]).filter(is_whole)
    orders: dict[str, Counter[bool]] = {}
    for vendor, name in zip(whole["vendor"].to_pylist(), whole["name"].to_pylist(), strict=True):
        words = plain(name).split()
        if "," in name or not 2 <= len(words) <= 3:
            continue
        other = words[1]
        is_given, is_family = is_rather_given(words[0]), is_rather_family(words[0])
        if is_family and is_rather_given(other):
            orders.setdefault(vendor, Counter())[True] += 1
        elif is_given and (is_rather_family(words[-1]) or is_rather_family(other)):
            orders.setdefault(vendor, Counter())[False] += 1
    return sorted(
        vendor
        for vendor, decided in orders.items()
        if decided.total() >= LEAST_DECIDED and decided[True] >= LEAST_SHARE * decided.total()
    )
