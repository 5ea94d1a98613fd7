"""The values that distinguish persons, on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import pyarrow as pa

from include.identity.cluster import is_same_day, is_slip


@dataclass
class Traits:
    """The values of a person's records, in the form that `include.identity.features` returns."""

    firsts: set[str] = field(default_factory=set)
    names: set[tuple[str, str]] = field(default_factory=set)
    births: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    generations: set[str] = field(default_factory=set)


def read_traits(features: pa.Table, person_of: Mapping[int, int]) -> dict[int, Traits]:
    """Return the traits of each person. `person_of` maps a record id to the person's id, for records whose own id is not the person's.

    The second person of a joint record has the negated record id.
    """
    traits: dict[int, Traits] = defaultdict(Traits)
    columns = features.select(["record_id", "first", "last", "roots", "birth", "email", "generation"])
    for row in columns.to_pylist():
        record = row["record_id"]
        of = traits[person_of.get(record, record)]
        of.firsts.update(each for each in (row["first"], *(row["roots"] or ())) if each)
        if row["last"]:
            of.names.update((each, row["last"]) for each in (row["first"], *(row["roots"] or ())) if each)
        of.births.update([row["birth"]] if row["birth"] else [])
        of.emails.update([row["email"]] if row["email"] else [])
        of.generations.update([row["generation"]] if row["generation"] else [])
    return traits


def share_first(left: Traits, right: Traits) -> bool:
    """Return whether the first names agree, as nicknames or up to a typing error."""
    return bool(left.firsts & right.firsts) or any(_is_typo(*pair) for pair in product(left.firsts, right.firsts))


def is_other_day(left: Traits, right: Traits) -> bool:
    """Return whether both have birth dates, and these differ by more than a likely error."""
    pairs = list(product(left.births, right.births))
    return bool(pairs) and not any(is_same_day(*pair) for pair in pairs)


def _is_typo(one: str, other: str) -> bool:
    """Return whether two first names differ by a typing error, but not by another first letter: Dora and Nora may be twins."""
    return (
        min(len(one), len(other)) > 3 and (one[0] == other[0] or sorted(one) == sorted(other)) and is_slip(one, other)
    )
