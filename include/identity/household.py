"""Match households across vendors: two are the same if they share a key or most of their adults.

Two households of one vendor are never matched.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from functools import cache

import numpy as np
import pyarrow as pa

from include.identity import people
from include.identity.cluster import Clusters
from include.identity.features import read_births
from include.identity.record import CLUSTERS, HOUSEHOLDS, PERSONS, conform

ADULT_YEARS, PARENT_YEARS = 18, 20

MEMBERS = ["record_id", "vendor", "household", "postal_code", "strong_keys", "birth_date"]
"""The columns of PERSONS that are needed."""

_ROWS = 50_000
"""Rows that are Python objects at a time, to limit the memory."""


@dataclass(slots=True)
class _Household:
    """One vendor's household, or matched households of several vendors.

    Attributes:
        first: Smallest record id of its members, which is the household's id.
        vendors: The vendors that list it.
        members: Person ids of all members.
        adults: Person ids of the members who are 18 or older, or whose age is unknown.
        keys: Household keys in its members' records, and the household's own key at each vendor.
        birth_years: Person id -> year of birth, if known.
        postal_codes: First five digits of the postal codes in its members' records.
    """

    first: int
    vendors: frozenset[str]
    members: set[int] = field(default_factory=set)
    adults: set[int] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    birth_years: dict[int, int] = field(default_factory=dict)
    postal_codes: frozenset[str] = frozenset()

    def absorb(self, other: _Household) -> None:
        self.first = min(self.first, other.first)
        self.vendors |= other.vendors
        self.members |= other.members
        self.adults |= other.adults
        self.keys |= other.keys
        self.birth_years |= other.birth_years
        self.postal_codes |= other.postal_codes

    def has_most_of(self, other: _Household) -> bool:
        """Return whether more than half of the adults of the smaller household are in both households.

        Grown children of a shared adult do not count, so that no household is parted on the day on which a child comes of age. One shared
        adult is not enough if the households live apart and the adult may be a grown child of a member.
        """
        ours, theirs = self.adults or self.members, other.adults or other.members
        both = ours & theirs
        grown = self._find_children(other, both, ours ^ theirs)
        ours, theirs = ours - grown, theirs - grown
        if len(both) <= min(len(ours), len(theirs)) / 2:
            return False
        return len(both) > 1 or not (self._is_apart(other) and self._has_parent(other, *both))

    def _find_children(self, other: _Household, parents: set[int], among: set[int]) -> set[int]:
        """Return the persons who are at least `PARENT_YEARS` younger than one of the parents."""
        years = self.birth_years | other.birth_years
        eldest = min((years[each] for each in parents if each in years), default=None)
        return {each for each in among if eldest and each in years and years[each] - eldest >= PARENT_YEARS}

    def _is_apart(self, other: _Household) -> bool:
        """Return whether the households have no postal code in common, or each has a member that the other lacks."""
        if self.postal_codes and other.postal_codes and not self.postal_codes & other.postal_codes:
            return True
        return not (self.members <= other.members or other.members <= self.members)

    def _has_parent(self, other: _Household, child: int) -> bool:
        """Return whether one of the households has a member at least `PARENT_YEARS` older than `child`; False if the age is unknown."""
        years = self.birth_years | other.birth_years
        return child in years and years[child] - min(years.values()) >= PARENT_YEARS


def link_households(persons: pa.Table, clusters: pa.Table, on: date) -> pa.Table:
    """Match the households of all vendors.

    Args:
        persons: MEMBERS of `include.identity.record.PERSONS`; records without a household are left out.
        clusters: The persons' clusters, from `include.identity.link.link`.
        on: Day for which ages are computed.

    Returns:
        HOUSEHOLDS: one row per vendor and household; matched households have the same `household_id`, the smallest record id of their
        members. The id stays the same when a vendor is added later.
    """
    found = _read(persons, clusters, on)
    names = sorted(found, key=lambda name: found[name].first)
    place = {name: at for at, name in enumerate(names)}
    whole = {at: found[name] for at, name in enumerate(names)}
    sets = Clusters(len(names), ())
    for left, right in _find_candidates(found, place):
        a, b = sorted((sets.find(left), sets.find(right)))
        ours, theirs = whole[a], whole[b]
        # Compare what was merged so far, not the original households: a widow's household must not link two families.
        if a != b and not ours.vendors & theirs.vendors and (ours.keys & theirs.keys or ours.has_most_of(theirs)):
            sets.join(a, b)
            ours.absorb(whole.pop(b))
    rows = [
        {"vendor": vendor, "household": key, "household_id": whole[sets.find(place[vendor, key])].first}
        for vendor, key in sorted(found)
    ]
    return pa.Table.from_pylist(rows, schema=HOUSEHOLDS)


def _read(persons: pa.Table, clusters: pa.Table, on: date) -> dict[tuple[str, str], _Household]:
    youngest = on.replace(year=on.year - ADULT_YEARS, day=min(on.day, 28))
    found: dict[tuple[str, str], _Household] = {}
    persons = conform(persons, PERSONS)
    table = persons.select(["record_id", "vendor", "household", "postal_code", "strong_keys"])
    table = table.append_column("born", read_births(persons["birth_date"], on))
    table = table.append_column("people", _list_people(persons["record_id"], conform(clusters, CLUSTERS)))
    rows = (row for batch in table.to_batches(_ROWS) for row in zip(*map(pa.Array.to_pylist, batch), strict=True))
    for record, vendor, key, zip_code, strong, born, members in rows:
        if key is None:
            continue
        home = found.get((vendor, key))
        if home is None:
            home = found[vendor, key] = _Household(record, _one(vendor), keys={f"{vendor}:household:{key}"})
        home.first = min(home.first, record)
        home.members.update(members)
        if born is None or born <= youngest:
            home.adults.update(members)
        if born:
            home.birth_years[members[0]] = born.year
        if zip_code and zip_code[:5] not in home.postal_codes:
            home.postal_codes = home.postal_codes | {zip_code[:5]} if home.postal_codes else _one(zip_code[:5])
        if strong:
            home.keys.update(each for each in strong if each.partition(":")[2].startswith("household:"))
    return found


def _list_people(records: pa.ChunkedArray, clusters: pa.Table) -> pa.ListArray:
    """Return the one or two people of each record; the first one is the head of the household, whose birth date the record states."""
    ids, person = (clusters[name].to_numpy() for name in CLUSTERS.names)
    own = records.to_numpy()
    at = np.stack([people.find_positions(ids, own), people.find_positions(ids, -own)], axis=1)
    is_known = at >= 0
    offsets = np.append(0, np.cumsum(is_known.sum(axis=1))).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(person[at[is_known]]))


@cache
def _one(text: str) -> frozenset[str]:
    """Return the set of one vendor or postal code: the same object for all households that have only this one."""
    return frozenset([text])


def _find_candidates(
    found: dict[tuple[str, str], _Household], place: dict[tuple[str, str], int]
) -> list[tuple[int, int]]:
    """Return the pairs of households that share a person or a key, as positions in the list of households.

    Pairs with a shared key come first, then the most similar ones.
    """
    shared: dict[int | str, list[tuple[str, str]]] = defaultdict(list)
    for name, home in found.items():
        for person in home.members:
            shared[person].append(name)
        for key in home.keys:
            shared[key].append(name)
    ranked = {}
    for names in shared.values():
        for at, left in enumerate(names):
            for right in names[at + 1 :]:
                a, b = sorted((place[left], place[right]))
                ours, theirs = found[left], found[right]
                alike = len(ours.members & theirs.members) / len(ours.members | theirs.members)
                ranked[a, b] = (not ours.keys & theirs.keys, -alike, a, b)
    return sorted(ranked, key=ranked.__getitem__)
