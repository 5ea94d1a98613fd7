"""Records into people, with the reasons, and what a person should look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import features, people
from include.identity.cluster import Clusters, Evidence, is_same, is_same_day, is_slip
from include.identity.policy import Policy
from include.identity.record import DECISIONS, LINKS, conform
from include.identity.score import score

AMBIGUOUS = 3.0
"""A record that fits one person by less than so many points better than another is nobody's."""

LEAST_QUEUE = 20
"""Records that a queue may hold, however small the firm."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linked:
    """Who is who.

    Attributes:
        clusters: CLUSTERS, a row a record; the second person of a joint record has the negated record_id.
        links: LINKS within people, the surest first.
        review: LINKS between people that a person should decide on, the surest first; one for any two people.
        left_over: Further such pairs, for which the queue has no room.
    """

    clusters: pa.Table
    links: pa.Table
    review: pa.Table
    left_over: int


def link(
    persons: pa.Table,
    decisions: pa.Table | None = None,
    policy: Policy | None = None,
    threads: int = 2,
    known: pa.Table | None = None,
    on: date | None = None,
) -> Linked:
    """Links the records of all vendors.

    Args:
        persons: As `include.identity.record.PERSONS`.
        decisions: DECISIONS of people; on records that are not among `persons` they are left out.
        policy: Thresholds and trust; the default where None.
        threads: Cores to use.
        known: KNOWN from the last time, so that people keep their ids; without, a person's id is its smallest record's.
        on: Day on which this is asked, today where None: nobody is born later.

    Returns:
        The same, whatever the order of the rows and the number of threads.
    """
    policy = policy or Policy()
    table = features.read(persons, on)
    ids = people.by_rank(table["record_id"].to_numpy())
    table = table.take(people.places(table["record_id"].to_numpy(), ids))
    pairs = _Pairs(score(table, policy, threads), ids, policy)
    evidence = _evidence(table, policy)
    same, apart = _read(decisions, ids)
    members = _members(table, pairs) if policy.has_households else []

    def cluster(doubtful: frozenset[int]) -> tuple[Clusters, list[int]]:
        return _cluster(Clusters(len(ids), evidence, apart, members), same, pairs, doubtful)

    clusters, refused = cluster(frozenset())
    if doubtful := _ambiguous(clusters, pairs, refused, evidence):
        clusters, _ = cluster(doubtful)
    roots = np.array([clusters.find(place) for place in range(len(ids))], dtype=np.int64)
    most = max(int(policy.review_ratio * len(ids)), LEAST_QUEUE)
    return Linked(
        people.name(ids, roots, known),
        _links(pairs, roots, ids, same),
        *_review(pairs, roots, same + apart, most),
    )


class _Pairs:
    """The scored pairs: keys before scores, then the surest first; `left` before `right` by rank.

    Attributes:
        table: LINKS and `is_doubtful`.
        left: Places of the left records.
        right: Places of the right records.
        may_join: Whether the machine may join them.
    """

    def __init__(self, scored: pa.Table, ids: Ints, policy: Policy) -> None:
        ends = np.sort([people.places(ids, scored[side].to_numpy()) for side in ("left", "right")], axis=0)
        is_key = pc.equal(scored["how"], "key").to_numpy()
        order = np.lexsort((ends[1], ends[0], -scored["score"].to_numpy(), ~is_key))
        turned = scored.set_column(0, "left", pa.array(ids[ends[0]])).set_column(1, "right", pa.array(ids[ends[1]]))
        self.table = turned.take(order)
        self.left, self.right = ends[0][order], ends[1][order]
        self.score = self.table["score"].to_numpy()
        self.may_join = (self.score >= policy.link_score) & ~self.table["is_doubtful"].to_numpy()


def _evidence(table: pa.Table, policy: Policy) -> list[Evidence]:
    held = []
    if "tax_id" in policy.trusted:
        held.append(Evidence(table["tax"].to_pylist(), is_slip))
        # Two ends more than one edit apart are of two ids more than one edit apart: a vendor may have no more than the end.
        held.append(Evidence(table["tax_last4"].to_pylist(), is_slip))
    if "birth_date" in policy.trusted:
        held.append(Evidence(table["birth"].to_pylist(), is_same_day))
    if policy.has_households:
        held.append(Evidence(table["generation"].to_pylist(), is_same))
    return held


def _members(table: pa.Table, pairs: _Pairs) -> list[tuple[int, int] | None]:
    """The vendor's household of each record that is not alone there, and the first record of the same member.

    Two that a vendor lists are two members, unless their own records say that they are one.
    """
    homes = table["household"].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    listed_twice = (homes[pairs.left] == homes[pairs.right]) & (homes[pairs.left] >= 0) & pairs.may_join
    member = Clusters(len(homes), ())
    for at in np.flatnonzero(listed_twice).tolist():
        member.join(int(pairs.left[at]), int(pairs.right[at]))
    count = np.bincount(homes[homes >= 0], minlength=1)
    return [
        (home, member.find(at)) if home >= 0 and count[home] > 1 else None for at, home in enumerate(homes.tolist())
    ]


def _read(decisions: pa.Table | None, ids: Ints) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Places that a person said are the same, and that are not."""
    table = conform(decisions if decisions is not None else DECISIONS.empty_table(), DECISIONS)
    ends = np.sort([people.places(ids, table[side].to_numpy()) for side in ("left", "right")], axis=0).T.tolist()
    said = sorted((a, b, is_same) for (a, b), is_same in zip(ends, table["is_same"].to_pylist(), strict=True) if a >= 0)
    return [(a, b) for a, b, is_same in said if is_same], [(a, b) for a, b, is_same in said if not is_same]


def _cluster(
    clusters: Clusters, same: list[tuple[int, int]], pairs: _Pairs, doubtful: frozenset[int]
) -> tuple[Clusters, list[int]]:
    """Joins what may be joined, the doubtful records only by a person's word; tells which pairs were refused."""
    refused = []
    for left, right in same:
        clusters.join(left, right, is_decided=True)
    places = np.flatnonzero(pairs.may_join)
    ends = (each[places].tolist() for each in (pairs.left, pairs.right))
    for at, left, right in zip(places.tolist(), *ends, strict=True):
        if left not in doubtful and right not in doubtful and not clusters.join(left, right):
            refused.append(at)
    return clusters, refused


def _ambiguous(clusters: Clusters, pairs: _Pairs, refused: list[int], evidence: list[Evidence]) -> frozenset[int]:
    """Records that say nothing decisive themselves, joined one person, and fit another nearly as well."""
    other: dict[int, float] = {}
    for at in refused:
        for record in (int(pairs.left[at]), int(pairs.right[at])):
            if all(each.values[record] is None for each in evidence):
                other[record] = max(other.get(record, 0.0), float(pairs.score[at]))
    own = dict.fromkeys(other, 0.0)
    wanted = np.array(list(other), np.int64)
    for at in np.flatnonzero(pairs.may_join & (np.isin(pairs.left, wanted) | np.isin(pairs.right, wanted))).tolist():
        left, right = int(pairs.left[at]), int(pairs.right[at])
        if clusters.find(left) == clusters.find(right):
            for record in own.keys() & {left, right}:
                own[record] = max(own[record], float(pairs.score[at]))
    return frozenset(record for record, points in other.items() if own[record] - points < AMBIGUOUS)


def _links(pairs: _Pairs, roots: Ints, ids: Ints, same: list[tuple[int, int]]) -> pa.Table:
    """Why people are one: a person's word first, with what was compared if it was."""
    inside = roots[pairs.left] == roots[pairs.right]
    said: dict[tuple[int, int], dict[str, Any]] = {
        (a, b): {"left": ids[a], "right": ids[b], "agreed": [], "differed": [], "how": "person"}
        for a, b in same
        if roots[a] == roots[b]
    }
    kept = inside & pairs.may_join
    if said:
        for at, pair in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)):
            if pair in said:
                said[pair] = pairs.table.select(LINKS.names).slice(at, 1).to_pylist()[0] | {"how": "person"}
                kept[at] = False
    links = pairs.table.filter(pa.array(kept)).select(LINKS.names).cast(LINKS)
    return pa.concat_tables([pa.Table.from_pylist(list(said.values()), schema=LINKS), links])


def _review(pairs: _Pairs, roots: Ints, settled: list[tuple[int, int]], most: int) -> tuple[pa.Table, int]:
    """The surest pair between any two people, up to so many records; and how many such pairs are beyond that."""

    def people_of(left: Ints, right: Ints) -> Ints:
        low, high = np.sort([roots[left], roots[right]], axis=0)
        return np.where(low == high, -1, low * len(roots) + high)

    settled_ends = np.array(settled, np.int64).reshape(-1, 2).T
    by_score = np.argsort(-pairs.score, kind="stable")
    two = people_of(pairs.left[by_score], pairs.right[by_score])
    is_open = (two >= 0) & ~np.isin(two, people_of(*settled_ends))
    by_score, two = by_score[is_open], two[is_open]
    waiting = by_score[np.sort(np.unique(two, return_index=True)[1])]
    ends = np.column_stack([pairs.left[waiting], pairs.right[waiting]]).ravel()
    is_new = np.zeros(len(ends), np.int64)
    is_new[np.unique(ends, return_index=True)[1]] = 1
    shown = int(np.searchsorted(is_new.reshape(-1, 2).sum(axis=1).cumsum(), most, side="right"))
    return pairs.table.take(pa.array(waiting[:shown])).select(LINKS.names).cast(LINKS), len(waiting) - shown
