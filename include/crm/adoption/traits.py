"""The values that distinguish persons, on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import product

import pyarrow as pa

from include.identity.cluster import is_same_day, is_slip

_COLUMNS = [
    "record_id",
    "first",
    "last",
    "roots",
    "birth",
    "email",
    "generation",
    "phone",
    "house",
    "street",
    "unit",
    "zip",
]


@dataclass
class Traits:
    """The values of a person's records, in the form that `include.identity.features` returns.

    Attributes:
        names: Pairs of a first name, or what it is a nickname of, and a last name.
        places: House number, street, unit and ZIP code.
    """

    firsts: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)
    births: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    generations: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    places: set[tuple[str, str, str | None, str]] = field(default_factory=set)

    @property
    def lasts(self) -> set[str]:
        """The last names."""
        return {last for _, last in self.names}

    def add(self, other: Traits) -> None:
        """Add the values of other records."""
        for each in fields(self):
            getattr(self, each.name).update(getattr(other, each.name))


def read_traits(features: pa.Table, person_of: Mapping[int, int]) -> dict[int, Traits]:
    """Return the traits of each person. `person_of` maps a record id to the person's id, for records whose own id is not the person's.

    The second person of a joint record has the negated record id.
    """
    traits: dict[int, Traits] = defaultdict(Traits)
    columns = features.select(_COLUMNS)
    for row in columns.to_pylist():
        record = row["record_id"]
        of = traits[person_of.get(record, record)]
        of.firsts.update(each for each in (row["first"], *(row["roots"] or ())) if each)
        if row["last"]:
            of.names.update((each, row["last"]) for each in (row["first"], *(row["roots"] or ())) if each)
        of.births.update([row["birth"]] if row["birth"] else [])
        of.emails.update([row["email"]] if row["email"] else [])
        of.generations.update([row["generation"]] if row["generation"] else [])
        of.phones.update([row["phone"]] if row["phone"] else [])
        if row["house"] and row["street"] and row["zip"]:
            of.places.add((row["house"], row["street"], row["unit"], row["zip"]))
    return traits


def share_first(left: Traits, right: Traits) -> bool:
    """Return whether the first names agree, as nicknames or up to a typing error."""
    return bool(left.firsts & right.firsts) or any(_is_typo(*pair) for pair in product(left.firsts, right.firsts))


def has_same_name(left: Traits, right: Traits) -> bool:
    """Return whether a first and last name agree, as nicknames or up to a typing error in one of them."""
    return any(
        (first == other_first and (last == other_last or _is_typo(last, other_last, 3)))
        or (last == other_last and _is_typo(first, other_first, 3))
        for (first, last), (other_first, other_last) in product(left.names, right.names)
    )


def is_near_first(left: Traits, right: Traits) -> bool:
    """Return whether the first names may be one: written badly, shortened (Ivan and Van) or beginning alike (Elizabeth and Elsie).

    Other people may have such names, so only a value that few persons have makes this a sign of one person.
    """
    return share_first(left, right) or any(
        one[:2] == other[:2]
        or is_slip(one, other)
        or (min(len(one), len(other)) > 2 and (one in other or other in one))
        for one, other in product(left.firsts, right.firsts)
        if min(len(one), len(other)) > 1
    )


def is_near_last(left: Traits, right: Traits) -> bool:
    """Return whether the last names agree, up to a typing error."""
    pairs = product(left.lasts, right.lasts)
    return any(one == other or (min(len(one), len(other)) > 3 and is_slip(one, other)) for one, other in pairs)


def is_other_day(left: Traits, right: Traits) -> bool:
    """Return whether both have birth dates, and these differ by more than a likely error."""
    pairs = list(product(left.births, right.births))
    return bool(pairs) and not any(is_same_day(*pair) for pair in pairs)


def _is_typo(one: str, other: str, least: int = 4) -> bool:
    """Return whether two names of at least `least` letters differ by a typing error. A different first letter is not one: twins may be Dora and Nora."""
    return (
        min(len(one), len(other)) >= least
        and (one[0] == other[0] or sorted(one) == sorted(other))
        and is_slip(one, other)
    )
