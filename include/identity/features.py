"""Normalize the fields of records for comparison. Each distinct text is parsed only once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.identity.naming import find_family_first, read_names
from include.identity.placeholder import clear_placeholders, find_placeholders
from include.identity.record import PERSONS, TEXTS, conform
from include.names import person
from include.names.person import Name
from include.names.words import lexicon, plain

FEATURES = pa.schema(
    {
        "record_id": pa.int64(),
        "household": pa.string(),  # the vendor's, with the vendor
        "is_registration": pa.bool_(),  # whether it is an account's registration, of which a person may have several
        "first": pa.string(),
        "roots": TEXTS,  # the formal names that the first name may stand for
        "is_listed": pa.bool_(),  # whether the first name is a known name
        "middle": pa.string(),
        "last": pa.string(),
        "generation": pa.string(),
        "birth": pa.string(),  # yyyymmdd
        "email": pa.string(),
        "home_email": pa.string(),
        "phone": pa.string(),  # ten digits
        "house": pa.string(),  # number
        "unit": pa.string(),  # apartment, suite, ...
        "street": pa.string(),  # words of the street, without its kind, its number and the unit
        "city": pa.string(),
        "zip": pa.string(),
        "tax": pa.string(),  # digits, or a hash
        "tax_last4": pa.string(),
        "person_keys": TEXTS,
        "key_systems": TEXTS,  # whose keys `person_keys` are
        "shared_keys": TEXTS,
    }
)

_KINDS = lexicon(
    "st street ave avenue rd road dr drive ln lane ct court blvd boulevard pl place cir circle crescent cres ter terrace "
    "pkwy parkway hwy highway way trl trail sq square loop close circuit plz plaza rte route expy expressway fwy freeway "
    "aly alley bnd bend cv cove pt point run xing crossing"
)
_NUMBERED = lexicon("county state us old n s e w ne nw se sw")
"""Words in front of a road's number or letter: `County Road 12`, `Avenue B`."""

_BEFORE_ROAD_NUMBER = lexicon("rr rte route hwy highway")
_UNITS = lexicon("apt apartment unit ste suite no fl floor flat flt rm room lot bldg building pmb")
_UNITS_AFTER = lexicon("floor fl flr")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")
_UNIT = re.compile(r"\d{1,4}-?[a-z]?|[a-z]-?\d{0,4}|[a-z]{2}\d{1,4}")
_UNIT_BY_NAME = re.compile(r"(?:ph|bsmt|rear|front|upper|lower)(?:-?\d+[a-z]?)?")
_HOUSE = re.compile(r"\d(?!\d*(?:st|nd|rd|th)$)\S*|[nsew]\d+[nsew]\d+")
_FRACTION = re.compile(r"(\d)[ -](\d)/(\d)\b")
_BOX = re.compile(r"^(?:p ?o ?box|pob|post office box)\b")
_SPACED = re.compile(r"\b(?:([ns]) ([ew])|(u) (s))\b")  # "N.W.", "U.S."
_SHORT = {
    "north": "n", "south": "s", "east": "e", "west": "w", "northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw",
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "sixth": "6th", "seventh": "7th", "eighth": "8th",
    "ninth": "9th", "tenth": "10th", "eleventh": "11th", "twelfth": "12th", "penthouse": "ph", "basement": "bsmt",
}  # fmt: skip
_IN_WORDS = {
    word: str(at)
    for at, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}

_PLACEHOLDER_NUMBERS = pa.array(["123456789", "1234567890", *(digit * n for digit in "0123456789" for n in (9, 10))])
_EMAIL = r"^[^@\s]+@[^@\s]+$"
_PLACEHOLDER_EMAIL = r"^(none|no|na|n/a|null|unknown|test|no[._-]?(e?mail|reply)|do[._-]?not[._-]?reply)@"
_NO_DAY, _EPOCH = date(1900, 1, 1), date(1970, 1, 1)
_SHARED = r"^[^:]*:(household|account):"
_STRING = pa.string()


@dataclass(frozen=True)
class Conventions:
    """Facts about all records on which the features of each record depend.

    A full run finds them. The runs until the next full run use them unchanged, so that an unchanged record keeps its features.

    Attributes:
        on: Day of the full run, to detect birth dates in the future.
        vendors: All vendors of the records.
        family_first: Vendors that write the family name first.
        registrations: Vendors whose records are registrations of accounts, of which a person may have several.
        placeholders: Column of FEATURES -> values that too many records share to tell people apart; None if not found yet.
    """

    on: date
    vendors: tuple[str, ...]
    family_first: tuple[str, ...]
    registrations: tuple[str, ...]
    placeholders: Mapping[str, pa.Array] | None = None


def find_conventions(persons: pa.Table, on: date | None = None) -> Conventions:
    """Return the conventions of records, without placeholders.

    Args:
        persons: Table with the schema `include.identity.record.PERSONS`.
        on: Today's date; None for the current day.
    """
    today = on or datetime.now(UTC).date()
    vendors = tuple(sorted(pc.unique(persons["vendor"]).to_pylist()))
    return Conventions(today, vendors, tuple(find_family_first(persons)), tuple(_find_registrations(persons)))


def read_features(
    persons: pa.Table, conventions: Conventions | None = None, people: Sequence[tuple[Name, ...]] | None = None
) -> tuple[pa.Table, Conventions]:
    """Return the FEATURES of records, and their conventions. A record of two people becomes two records; the second one has the negated id.

    Args:
        persons: Table with the schema `include.identity.record.PERSONS`.
        conventions: Those of the last full run, or of `find_conventions`; None to find them. Placeholders are found if there are none.
        people: The names of each record's people, from `read_names`; None to read them here.
    """
    persons = conform(persons, PERSONS).combine_chunks()
    conventions = conventions or find_conventions(persons)
    people = read_names(persons, conventions.family_first).people if people is None else people
    first, second = ([each[at] if len(each) > at else None for each in people] for at in (0, 1))
    joint = pa.array([each is not None for each in second], pa.bool_())
    shared = _read_all_fields(persons, conventions)
    # The two people of a record are members of one household, even if the vendor states no household key.
    own_home = pc.if_else(joint, pc.cast(shared["record_id"], pa.string()), None)
    at = FEATURES.get_field_index("household")
    shared = shared.set_column(at, FEATURES.field(at), pc.coalesce(shared["household"], own_home))
    both = [_with_names(shared, first)]
    if pc.any(joint).as_py():
        # Birth date, tax id and keys belong to the first person: vendors list the head of the household first.
        other = _with_names(shared.filter(joint), [each for each in second if each is not None])
        own = {
            name: pa.nulls(len(other), FEATURES.field(name).type)
            for name in ("birth", "tax", "tax_last4", "person_keys", "key_systems")
        }
        own["record_id"] = pc.negate(other["record_id"])
        both.append(pa.table({name: own.get(name, other[name]) for name in FEATURES.names}, schema=FEATURES))
    table = pa.concat_tables(both).combine_chunks()
    if conventions.placeholders is None:
        conventions = replace(conventions, placeholders=find_placeholders(table))
    return clear_placeholders(table, conventions.placeholders or {}), conventions


class Line(NamedTuple):
    """The line of an address with the street; missing parts are None.

    Attributes:
        house: House number, such as `12`, or the number of a post office box.
        street: Street name without its kind, such as `n main`.
        unit: Apartment, suite or floor, such as `4b`.
    """

    house: str | None
    street: str | None
    unit: str | None


_LINE = pa.struct([(name, pa.string()) for name in Line._fields])


def read_street(text: str) -> Line:
    """Read the line of an address with the street, such as `12 North Main St, Apt 4`."""
    folded = re.sub(r"[,&+]", " ", plain(_FRACTION.sub(r"\1-\2-\3", text.replace("#", " unit "))))
    folded = _SPACED.sub(r"\1\2\3\4", _BOX.sub("po box", " ".join(folded.split())))
    words = [_SHORT.get(word, word) for word in (word.strip("-") for word in folded.split()) if word]
    if words and words[0] in _IN_WORDS:
        words[0] = _IN_WORDS[words[0]]  # "One Liberty Plaza"
    parts: list[str] = []
    unit: list[str] = []
    is_unit = False
    for at, word in enumerate(words):
        if word in _UNITS_AFTER and parts and _ORDINAL.fullmatch(parts[-1]):
            unit.append(parts.pop()[:-2])  # "3rd Floor"
        elif word in _UNITS:
            is_unit = at > 0 or (word != "no" and any(map(_HOUSE.fullmatch, words[2:3])))  # "Apt 4, 12 Main St"
        elif is_unit:
            unit.append(word)
            is_unit = False
        elif len(parts) > 1 and parts[-1] in _KINDS and _UNIT_BY_NAME.fullmatch(word):
            unit.append(word)
            is_unit = word == "ph"
        else:
            parts.append(word)
    is_last_unit = len(parts) > 2 and parts[-2] in _KINDS and not _NUMBERED.issuperset(parts[1:-2])
    if is_last_unit and _UNIT.fullmatch(parts[-1]) and parts[-1] not in _NUMBERED:
        unit.append(parts.pop())  # "12 Main St 4B"
    before = ["", *parts]
    numbers = (at for at, word in enumerate(parts) if _HOUSE.fullmatch(word) and before[at] not in _BEFORE_ROAD_NUMBER)
    house = next((parts.pop(at) for at in numbers), None)
    street = [word for word in parts if word not in _KINDS] or parts[:1]
    return Line(house, " ".join(street) or None, "".join(unit).lstrip("0").replace("-", "") or None)


def read_births(dates: pa.ChunkedArray, on: date | None = None) -> pa.ChunkedArray:
    """Replace implausible birth dates by null: dates in the future, dates up to 1 January 1900, and 1 January 1970 (a system default).

    Args:
        dates: The vendor's dates, `date32`.
        on: Today's date; None for the current day.
    """
    is_lived = pc.and_(pc.greater(dates, _NO_DAY), pc.less_equal(dates, on or datetime.now(UTC).date()))
    return pc.if_else(pc.and_(is_lived, pc.not_equal(dates, _EPOCH)), dates, None)


_NAME_COLUMNS = ("first", "middle", "last", "generation")


_UMLAUT = re.compile("(?<=[aou])e(?!$)")


def _fold(text: str) -> str:
    """Write `ae`, `oe` and `ue` as if they were umlauts, so that Mueller and Müller are equal."""
    return _UMLAUT.sub("", text)


def _fold_first(text: str) -> str:
    return text if person.is_listed(text) else _fold(text)


def _with_names(fields: pa.Table, names: list[Name | None]) -> pa.Table:
    each = {name: pa.array([one and getattr(one, name) for one in names], pa.string()) for name in _NAME_COLUMNS}
    each["first"] = first = _map_distinct(each["first"], _fold_first)
    each["last"] = _map_distinct(each["last"], _fold)
    each["is_listed"] = pc.fill_null(_map_distinct(first, person.is_listed, pa.bool_()), False)
    each["roots"] = _map_distinct(first, person.roots, TEXTS)
    return pa.table({name: each[name] if name in each else fields[name] for name in FEATURES.names}, schema=FEATURES)


def read_fields(persons: pa.Table, on: date | None = None) -> pa.Table:
    """Return the FEATURES of records without those of the name. `is_registration` is null."""
    line = _map_distinct(persons["street"].combine_chunks(), read_street, _LINE)
    digits = pc.replace_substring_regex(persons["phone"], r"(?i)(x|ext).*|\D", "")
    digits = pc.utf8_slice_codeunits(digits, -10)
    is_phone = pc.and_(
        pc.equal(pc.utf8_length(digits), 10), pc.invert(pc.is_in(digits, value_set=_PLACEHOLDER_NUMBERS))
    )
    phone = pc.if_else(is_phone, digits, None)
    tax = pc.replace_substring_regex(persons["tax_id"], r"\D", "")
    is_tax = pc.and_(pc.greater(pc.utf8_length(tax), 4), pc.invert(pc.is_in(tax, value_set=_PLACEHOLDER_NUMBERS)))
    tax = pc.if_else(is_tax, tax, None)
    # If the number has a digit too few or too many, its last four digits are unreliable.
    end = pc.if_else(pc.equal(pc.utf8_length(tax), 9), pc.utf8_slice_codeunits(tax, -4), None)
    own, shared = _split_keys(persons["strong_keys"].combine_chunks())
    columns: dict[str, Any] = {
        "record_id": persons["record_id"],
        "household": pc.binary_join_element_wise(persons["vendor"], persons["household"], ":"),
        "birth": pc.strftime(read_births(persons["birth_date"], on), "%Y%m%d"),
        "email": _read_emails(persons["email"]),
        "home_email": _read_emails(persons["household_email"]),
        "phone": phone,
        "house": pc.struct_field(line, "house"),
        "unit": pc.struct_field(line, "unit"),
        "street": pc.struct_field(line, "street"),
        "city": _map_distinct(persons["city"].combine_chunks(), lambda text: plain(text).replace(" ", "") or None),
        "zip": pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(persons["postal_code"]), 0, 5),
        "tax": pc.coalesce(tax, persons["tax_id_hash"]),
        "tax_last4": pc.coalesce(end, persons["tax_id_last4"]),
        "person_keys": own,
        "key_systems": pa.array([keys and _list_systems(keys) for keys in own.to_pylist()], TEXTS),
        "shared_keys": shared,
    }
    return pa.table(
        {name: columns.get(name, pa.nulls(len(persons), FEATURES.field(name).type)) for name in FEATURES.names}
    )


def _read_all_fields(persons: pa.Table, conventions: Conventions) -> pa.Table:
    table = read_fields(persons, conventions.on)
    is_registration = pc.is_in(persons["vendor"], value_set=pa.array(conventions.registrations, pa.string()))
    return table.set_column(FEATURES.get_field_index("is_registration"), "is_registration", is_registration)


def _find_registrations(persons: pa.Table) -> list[str]:
    """Return the vendors whose records are registrations: most of them have a type of registration."""
    shares = persons.group_by("vendor").aggregate([([], "count_all"), ("registration_type", "count")])
    most = pc.greater(pc.multiply(shares["registration_type_count"], 2), shares["count_all"])
    return sorted(shares["vendor"].filter(most).to_pylist())


def _read_emails(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    email = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    is_known = pc.and_(
        pc.match_substring_regex(email, _EMAIL), pc.invert(pc.match_substring_regex(email, _PLACEHOLDER_EMAIL))
    )
    return pc.if_else(is_known, email, None)


def _split_keys(lists: pa.ListArray) -> tuple[pa.ListArray, pa.ListArray]:
    """Return the keys of a person, and those that the members of a household share; null if there are none."""
    keys, rows = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    is_shared = pc.match_substring_regex(keys, _SHARED).to_numpy(zero_copy_only=False)

    def select(is_kept: npt.NDArray[np.bool_]) -> pa.ListArray:
        counts = np.bincount(rows[is_kept], minlength=len(lists))
        offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
        return pa.ListArray.from_arrays(offsets, keys.filter(pa.array(is_kept)), TEXTS, mask=pa.array(counts == 0))

    return select(~is_shared), select(is_shared)


def _list_systems(keys: list[str]) -> list[str]:
    """Return the distinct systems of keys: the text before the last colon, such as `portfolio:person` of `portfolio:person:17`.

    A key without a colon has no system.
    """
    return sorted({system for system, colon, _ in (key.rpartition(":") for key in keys) if colon})


def _map_distinct(texts: pa.Array, read: Callable[[str], Any], type_: pa.DataType = _STRING) -> pa.Array:
    """Return `read(text)` for each text, and null for null; `read` is called once per distinct text."""
    coded = texts.dictionary_encode()
    return pa.array([read(text) for text in coded.dictionary.to_pylist()], type_).take(coded.indices)
