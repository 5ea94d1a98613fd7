"""Cluster records into people.

Records with incompatible evidence never become one person, even if a chain of links connects them, unless a reviewer decides so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa

from include.identity.graph import Mask
from include.identity.people import Ints

Values = tuple[str, ...]

GENERATION_YEARS = 15
"""Minimum years between a parent and a child."""


@dataclass(frozen=True)
class Evidence:
    """A field that separates people: records with incompatible values belong to two people.

    Attributes:
        name: Name of the field, as reviewers read it.
        values: The value of each record; None is compatible with every value.
        is_compatible: Returns whether two different values may belong to one person.
    """

    name: str
    values: Sequence[str | None]
    is_compatible: Callable[[str, str], bool]


@dataclass
class Clusters:
    """Disjoint sets of records (a union-find structure). Records are numbered from 0; the smallest record identifies its set.

    A set is one person. It consists of one or more groups of records with compatible evidence. If a reviewer joins two groups against
    the evidence, they become one set but stay two groups. A further record only has to be compatible with the group that it joins.
    If the evidence of one group is an error, they become one group.

    Args:
        count: Number of records.
        evidence: Fields that separate people.
        apart: Pairs of records that a reviewer decided are different.
        members: Per record: the number of its household at its vendor, and the number of the household's member that it describes. Two
            members of one household are two people. None: the record has no such constraint.
    """

    count: int
    evidence: Sequence[Evidence]
    apart: Sequence[tuple[int, int]] = ()
    members: Sequence[tuple[int, int] | None] = ()
    _parent: list[int] = field(init=False)
    _fitting: list[int] = field(init=False)
    _sizes: list[int] = field(init=False)
    _values: list[dict[int, Values]] = field(init=False)
    _homes: dict[int, dict[int, int]] = field(init=False)
    _foes: dict[int, set[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._parent = list(range(self.count))
        self._fitting = list(self._parent)
        self._sizes = [1] * self.count
        self._values = [
            {at: (value,) for at, value in enumerate(each.values) if value is not None} for each in self.evidence
        ]
        self._homes = {at: dict([each]) for at, each in enumerate(self.members) if each}
        for left, right in self.apart:
            self._foes.setdefault(left, set()).add(right)
            self._foes.setdefault(right, set()).add(left)

    def find(self, record: int) -> int:
        """Return the set of a record, identified by the smallest record in it."""
        return _root(self._parent, record)

    def find_all(self) -> Ints:
        """Return the set of each record."""
        sets = np.array(self._parent, np.int64)
        while (sets != sets[sets]).any():
            sets = sets[sets]
        return sets

    def join(self, left: int, right: int, *, is_decided: bool = False, excused: frozenset[str] = frozenset()) -> bool:
        """Join the sets of two records; return False if they were not joined, because they can't be one person.

        Args:
            left: A record.
            right: Another record.
            is_decided: Whether a reviewer decided that they are the same. Then the evidence can't prevent it; only a pair of `apart` can.
            excused: Names of the evidence that does not prevent it, because one of two values is an error: that of fewer records.
        """
        ours, theirs = sorted((_root(self._fitting, left), _root(self._fitting, right)))
        if ours == theirs:
            return True
        a, b = sorted((self.find(left), self.find(right)))
        if a != b and self._is_apart(a, b):
            return False
        if self._fits(ours, theirs):
            self._weigh_together(ours, theirs)
        elif excused and self._find_conflicts(ours, theirs) <= excused:
            self._weigh_together(ours, theirs, excused)
        elif a != b and not is_decided:
            return False
        if a != b:
            self._parent[b] = a
            if foes := self._foes.pop(b, None):
                self._foes.setdefault(a, set()).update(foes)
        return True

    def join_parts(self, parts: Ints, decided: Ints) -> Mask:
        """Join the records of each part in which nothing can separate two records. The other parts are left as they are.

        Most parts are such. To join all their records at once is several times faster than pair by pair.

        Args:
            parts: Per record, the smallest record of its part. No record has been joined yet, and no pair connects two parts.
            decided: Records that a reviewer decided on; their parts are left.

        Returns:
            The records of the parts that are left.
        """
        rest = self._find_separable(parts, decided)
        sets = np.where(rest, np.arange(self.count), parts)
        self._parent, self._fitting = sets.tolist(), sets.tolist()
        self._sizes = np.bincount(sets, minlength=self.count).tolist()
        moved = np.flatnonzero(sets != np.arange(self.count))
        moves = list(zip(moved.tolist(), sets[moved].tolist(), strict=True))
        for held in self._values:
            for record, root in moves:
                if value := held.pop(record, None):
                    held[root] = value  # the part has no other
        for record, root in moves:
            if homes := self._homes.pop(record, None):
                self._homes.setdefault(root, {}).update(homes)
        return rest

    def _find_separable(self, parts: Ints, decided: Ints) -> Mask:
        """Return the records of the parts with two different values, two members of a household, or a decided record."""
        separable = np.zeros(self.count, np.bool_)
        separable[parts[decided]] = True
        for evidence in self.evidence:
            codes = pa.array(evidence.values, pa.string()).dictionary_encode().indices.fill_null(-1).to_numpy()
            known = np.flatnonzero(codes >= 0)
            separable[parts[known][_differ(codes[known], parts[known], self.count)]] = True
        members = [(parts[at], *each) for at, each in enumerate(self.members) if each]
        part, home, member = np.array(members, np.int64).reshape(-1, 3).T
        homes = np.unique(part * self.count + home, return_inverse=True)[1]
        separable[part[_differ(member, homes, self.count)]] = True
        return separable[parts]

    def separate(self, records: Collection[int]) -> None:
        """Take sets apart, so that each of their records is a set again, as at first.

        Args:
            records: All records of these sets.
        """
        for record in records:
            self._parent[record] = self._fitting[record] = record
            self._sizes[record] = 1
            self._foes.pop(record, None)
            self._homes.pop(record, None)
            for evidence, held in zip(self.evidence, self._values, strict=True):
                held.pop(record, None)
                value = evidence.values[record]
                if value is not None:
                    held[record] = (value,)
            if self.members and (member := self.members[record]):
                self._homes[record] = dict([member])
        for pair in self.apart:
            for record, other in (pair, pair[::-1]):
                if record in records:
                    self._foes.setdefault(record, set()).add(other)

    def find_conflicts(self, left: int, right: int) -> set[str]:
        """Return the names of the evidence by which the people of two records can't be one."""
        return self._find_conflicts(*sorted((_root(self._fitting, left), _root(self._fitting, right))))

    def _find_conflicts(self, a: int, b: int) -> set[str]:
        """Return the names of the evidence by which two groups conflict."""
        conflicts = {"household"} if self._are_members(a, b) else set()
        return conflicts | {
            evidence.name
            for evidence, held in zip(self.evidence, self._values, strict=True)
            if not _agree(evidence, held.get(a, ()), held.get(b, ()))
        }

    def _fits(self, a: int, b: int) -> bool:
        """Return whether evidence and household members allow two groups to be merged."""
        if self._are_members(a, b):
            return False
        values = zip(self.evidence, self._values, strict=True)
        return all(_agree(evidence, held.get(a, ()), held.get(b, ())) for evidence, held in values)

    def _are_members(self, a: int, b: int) -> bool:
        """Return whether a vendor lists two groups as two members of one household."""
        ours, theirs = self._homes.get(a), self._homes.get(b)
        return bool(ours and theirs and any(ours.get(home, member) != member for home, member in theirs.items()))

    def _weigh_together(self, a: int, b: int, excused: frozenset[str] = frozenset()) -> None:
        """Merge two groups. Of excused evidence, the values of the larger group count from now on: the others are errors."""
        self._fitting[b] = a
        is_smaller = self._sizes[a] < self._sizes[b]
        self._sizes[a] += self._sizes[b]
        for evidence, held in zip(self.evidence, self._values, strict=True):
            ours, other = held.get(a, ()), held.pop(b, ())
            if other and ours != other:
                is_error = evidence.name in excused and not _agree(evidence, ours, other)
                held[a] = tuple(sorted({*ours, *other})) if not is_error else other if is_smaller else ours
        if homes := self._homes.pop(b, None):
            self._homes.setdefault(a, {}).update(homes)

    def _is_apart(self, a: int, b: int) -> bool:
        return any(self.find(foe) == b for foe in self._foes.get(a, ()))


def _differ(values: Ints, groups: Ints, count: int) -> Mask:
    """Return which values are not the largest of their group, of `count` groups: none of a group with a single value."""
    largest = np.full(count, -1, np.int64)
    np.maximum.at(largest, groups, values)
    is_other: Mask = values != largest[groups]
    return is_other


def _agree(evidence: Evidence, ours: Values, theirs: Values) -> bool:
    return ours == theirs or all(evidence.is_compatible(x, y) for x in ours for y in theirs if x != y)


def _root(parent: list[int], record: int) -> int:
    while parent[record] != record:
        parent[record] = parent[parent[record]]
        record = parent[record]
    return record


@cache
def is_slip(left: str, right: str) -> bool:
    """Return whether two numbers differ by one typing error: a digit wrong, missing, doubled or swapped with its neighbor.

    Also true for equal numbers. Always false for hashes, even for equal ones; a text of more than 16 characters is treated as a hash.
    """
    if len(left) > 16 or abs(len(left) - len(right)) > 1:
        return False
    if len(left) == len(right):
        at = [n for n, (x, y) in enumerate(zip(left, right, strict=True)) if x != y]
        return len(at) < 2 or (
            len(at) == 2 and at[1] == at[0] + 1 and left[at[0]] == right[at[1]] and left[at[1]] == right[at[0]]
        )
    short, long = sorted((left, right), key=len)
    return any(long[:n] + long[n + 1 :] == short for n in range(len(long)))


@cache
def is_same_day(left: str, right: str) -> bool:
    """Return whether two birth dates, as `yyyymmdd`, may be the same date.

    True in each of these cases:

    - They differ by one typing error.
    - Day and month are swapped.
    - They have the same year, and one is 1 January, which often stands for an unknown day.

    Always false if they are `GENERATION_YEARS` or more apart, because they are a parent's and a child's.
    """
    if abs(int(left[:4]) - int(right[:4])) >= GENERATION_YEARS:
        return False
    if left[:4] == right[:4] and ((left[4:6], left[6:]) == (right[6:], right[4:6]) or "0101" in (left[4:], right[4:])):
        return True
    return is_slip(left, right)


def is_same(left: str, right: str) -> bool:
    """Return whether two texts are equal."""
    return left == right
