"""Match households across vendors: two are the same if they share a key or most of their adults.

Two households of one vendor are never matched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import people
from include.identity.features import read_births
from include.identity.graph import Edges, label
from include.identity.people import Ints
from include.identity.record import CLUSTERS, HOUSEHOLDS, PERSONS, conform

ADULT_YEARS, PARENT_YEARS = 18, 20

MEMBERS = ["record_id", "vendor", "household", "postal_code", "strong_keys", "birth_date"]
"""The columns of PERSONS that are needed."""

KEY_START = r"^[^:]*:household:"
"""Regular expression of the start of a household's key, such as `portfolio:household:17`, among the keys of a record."""


@dataclass(slots=True)
class _Household:
    """One vendor's household, or matched households of several vendors.

    Attributes:
        first: Smallest record id of its members, which is the household's id.
        places: Places of the vendors' households in it (see `_Listed`).
        vendors: The vendors that list it.
        members: Person ids of all members.
        adults: Person ids of the members who are 18 or older, or whose age is unknown.
        keys: Household keys in its members' records, and the household's own key at each vendor.
        birth_years: Person id -> year of birth, if known.
        postal_codes: First five digits of the postal codes in its members' records.
    """

    first: int
    places: list[int]
    vendors: set[int]
    members: set[int]
    adults: set[int]
    keys: set[int]
    birth_years: dict[int, int]
    postal_codes: set[int]

    def absorb(self, other: _Household) -> None:
        self.places += other.places
        self.vendors |= other.vendors
        self.members |= other.members
        self.adults |= other.adults
        self.keys |= other.keys
        self.birth_years |= other.birth_years
        self.postal_codes |= other.postal_codes

    def is_same(self, other: _Household) -> bool:
        """Return whether two households of different vendors share a key or most of their adults."""
        return not self.vendors & other.vendors and (bool(self.keys & other.keys) or self.has_most_of(other))

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
    listed = _Listed(persons, clusters, on)
    ids = listed.first.copy()
    for pairs in listed.find_candidates():
        whole = {place: listed.build(place) for place in {place for pair in pairs for place in pair}}
        for left, right in pairs:
            # Compare what was merged so far, not the original households: a widow's household must not link two families.
            if whole[left] is whole[right]:
                continue
            ours, theirs = sorted((whole[left], whole[right]), key=lambda home: home.first)
            if ours.is_same(theirs):
                ours.absorb(theirs)
                whole |= dict.fromkeys(theirs.places, ours)
        for place, home in whole.items():
            ids[place] = home.first
    table = listed.names.append_column("household_id", pa.array(ids))
    return table.cast(HOUSEHOLDS).sort_by([("vendor", "ascending"), ("household", "ascending")])


class _Listed:
    """The households that vendors list, in the order of the smallest record id of their members. A place is a position in this order.

    The values of their records are columns, because there are millions; only a few households at a time are objects.

    Attributes:
        names: Table with `vendor` and `household`, the vendor's key.
        first: Smallest record id of the members.
    """

    def __init__(self, persons: pa.Table, clusters: pa.Table, on: date) -> None:
        persons = conform(persons, PERSONS).select(MEMBERS)
        persons = persons.filter(pc.is_valid(persons["household"])).combine_chunks()
        named = pc.binary_join_element_wise(persons["vendor"], "household", persons["household"], ":")
        records = persons["record_id"].to_numpy()
        order = np.argsort(records)
        coded = named.take(pa.array(order)).combine_chunks().dictionary_encode()
        # A dictionary has its values in the order in which they appear, so here by the smallest record.
        homes = np.empty_like(order)
        homes[order] = coded.indices.to_numpy()
        firsts = order[np.unique(coded.indices.to_numpy(), return_index=True)[1]]
        self.first, self.names = records[firsts], persons.select(["vendor", "household"]).take(pa.array(firsts))
        self._vendors = self.names["vendor"].combine_chunks().dictionary_encode().indices.to_numpy()
        self._read_members(persons, clusters, homes, on)
        codes = _slice_codes(persons["postal_code"])
        self._postal_codes = _Sets(len(firsts), homes[codes >= 0], codes[codes >= 0])
        self._keys = _Sets(len(firsts), *_list_keys(persons["strong_keys"].combine_chunks(), homes, coded.dictionary))

    def _read_members(self, persons: pa.Table, clusters: pa.Table, homes: Ints, on: date) -> None:
        count, lists = len(self.first), list_people(persons["record_id"], conform(clusters, CLUSTERS))
        at, members = pc.list_parent_indices(lists).to_numpy(), lists.flatten().to_numpy()
        self._members = _Sets(count, homes[at], members)
        born = read_births(persons["birth_date"], on)
        youngest = on.replace(year=on.year - ADULT_YEARS, day=min(on.day, 28))
        is_adult = pc.fill_null(pc.less_equal(born, youngest), True).to_numpy()[at]
        self._adults = _Sets(count, homes[at][is_adult], members[is_adult])
        # Of the people of a record, the first one is the head of the household, whose birth date the record states.
        years, head = pc.fill_null(pc.year(born), 0).to_numpy(), np.append(True, at[1:] != at[:-1])[: len(at)]
        head &= years[at] > 0
        self._births = _Sets(count, homes[at][head], members[head], years[at][head])

    def build(self, place: int) -> _Household:
        """Return a household as an object."""
        births, years = self._births.select(place), self._births.select_further(place)
        return _Household(
            int(self.first[place]),
            [place],
            {int(self._vendors[place])},
            set(self._members.select(place)),
            set(self._adults.select(place)),
            set(self._keys.select(place)),
            dict(zip(births, years, strict=True)),
            set(self._postal_codes.select(place)),
        )

    def find_candidates(self) -> Iterator[list[tuple[int, int]]]:
        """Yield the pairs of households that share a person or a key: one list for each group of households that such pairs connect.

        In each list, pairs with a shared key come first, then the most similar ones. The households are places.
        """
        count = max(len(self.first), 1)
        (by_person, shared), (by_key, _) = (
            np.unique(_encode(each.meet(), count), return_counts=True) for each in (self._members, self._keys)
        )
        codes = people.sort_distinct(np.concatenate([by_person, by_key]))
        left, right = codes // count, codes % count
        both = np.append(shared, 0)[people.find_positions(by_person, codes)]
        sizes = self._members.count()
        alike = both / np.maximum(sizes[left] + sizes[right] - both, 1)
        parts = label(len(self.first), (left, right))[left]
        order = np.lexsort((right, left, -alike, ~np.isin(codes, by_key), parts))
        pairs, parts = zip(left[order].tolist(), right[order].tolist(), strict=True), parts[order].tolist()
        for _, part in groupby(zip(parts, pairs, strict=True), key=itemgetter(0)):
            yield [pair for _, pair in part]


class _Sets:
    """The distinct values of each household, and a further number for each value if there are any, such as a person's year of birth.

    If a household has a value several times, the number of the last one counts.
    """

    def __init__(self, count: int, homes: Ints, values: Ints, further: Ints | None = None) -> None:
        pairs = people.select_distinct_pairs(homes, values)
        self._homes, self._values = homes[pairs], values[pairs]
        self._further = None if further is None else further[pairs]
        self._starts = np.searchsorted(self._homes, np.arange(count + 1))

    def select(self, home: int) -> list[int]:
        values: list[int] = self._values[self._starts[home] : self._starts[home + 1]].tolist()
        return values

    def select_further(self, home: int) -> list[int]:
        assert self._further is not None
        further: list[int] = self._further[self._starts[home] : self._starts[home + 1]].tolist()
        return further

    def count(self) -> Ints:
        """Return the number of values of each household."""
        return np.diff(self._starts)

    def meet(self) -> Edges:
        """Return the pairs of households that share a value, once for each value: the smaller place, and the larger one."""
        order = np.lexsort((self._homes, self._values))
        homes, values = self._homes[order], self._values[order]
        at, step, left, right = np.arange(len(homes)), 0, [homes[:0]], [homes[:0]]
        while len(at):
            step += 1
            at = at[at + step < len(homes)]
            at = at[values[at] == values[at + step]]
            left.append(homes[at])
            right.append(homes[at + step])
        return np.concatenate(left), np.concatenate(right)


def _encode(pairs: Edges, count: int) -> Ints:
    return pairs[0] * count + pairs[1]


def _slice_codes(texts: pa.ChunkedArray) -> Ints:
    """Return a number for each of the different postal codes, of which the first five digits count; -1 for none."""
    codes = pc.utf8_slice_codeunits(texts, 0, 5)
    coded = pc.if_else(pc.equal(codes, ""), None, codes).combine_chunks().dictionary_encode()
    numbers: Ints = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
    return numbers


def _list_keys(lists: pa.ListArray, homes: Ints, own: pa.Array) -> tuple[Ints, Ints]:
    """Return the keys of households as pairs of a household and a number: those in the members' records, and the household's own."""
    keys, at = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    is_home = pc.match_substring_regex(keys, KEY_START)
    texts = pa.concat_arrays([own, keys.filter(is_home)])
    holders = np.concatenate([np.arange(len(own)), homes[at[is_home.to_numpy(zero_copy_only=False)]]])
    return holders, texts.dictionary_encode().indices.to_numpy().astype(np.int64)


def list_people(records: pa.ChunkedArray, clusters: pa.Table) -> pa.ListArray:
    """Return the one or two people of each record; the first one is the head of the household, whose birth date the record states."""
    ids, person = (clusters[name].to_numpy() for name in CLUSTERS.names)
    own = records.to_numpy()
    at = np.stack([people.find_positions(ids, own), people.find_positions(ids, -own)], axis=1)
    is_known = at >= 0
    offsets = np.append(0, np.cumsum(is_known.sum(axis=1))).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(person[at[is_known]]))
