"""Group scored records into people or legal entities: by decisions, by pairs that may be joined, and by evidence that keeps them apart."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import learning, people
from include.identity.cluster import Clusters, Evidence, is_same, is_same_day, is_slip
from include.identity.graph import Edges, Mask, grow, label
from include.identity.policy import Policy
from include.identity.queue import AMBIGUOUS, CONFLICTS, build_doubts
from include.identity.record import DECISIONS, LINKS, conform
from include.identity.scored import EVIDENT, EXCUSES, Ints, Scored


@dataclass(frozen=True)
class Matched:
    """The result of matching one kind of records.

    Attributes:
        clusters: Table with the schema CLUSTERS.
        links: Table with the schema LINKS.
        doubts: Table with the schema REVIEW: the pairs that may be one, in no particular order.
        lessons: The applied lessons (schema LESSONS).
    """

    clusters: pa.Table
    links: pa.Table
    doubts: pa.Table
    lessons: pa.Table


def match(
    pairs: Scored,
    ids: Ints,
    evidence: list[Evidence],
    members: list[tuple[int, int] | None],
    decisions: pa.Table | None,
    policy: Policy,
    known: pa.Table | None,
    lessons: pa.Table,
) -> Matched:
    """Group scored records.

    Args:
        pairs: The scored pairs.
        ids: Ids of the records, in the order of `people.sort_by_rank`.
        evidence: Fields that separate records.
        members: The members of vendors' households, from `find_members`; empty for records without households.
        decisions: The reviewers' decisions (schema DECISIONS).
        policy: The thresholds.
        known: The people of the last run (schema KNOWN), whose ids are kept.
        lessons: LESSONS, which the scores of the pairs contain already.
    """
    same, apart = read_decisions(decisions, ids)

    clusters = Clusters(len(ids), evidence, apart, members)
    within = clusters.join_parts(label(len(ids), _list_edges(pairs, same)), np.array(same + apart, np.int64).ravel())
    refused = cluster_pairs(clusters, same, pairs, within=within)
    if doubtful := _find_ambiguous(clusters, pairs, refused, evidence):
        affected = _find_connected(doubtful, same, pairs, len(ids))
        clusters.separate(set(np.flatnonzero(affected).tolist()))
        cluster_pairs(clusters, same, pairs, doubtful, affected)
    roots = clusters.find_all()
    return Matched(
        people.assign_ids(ids, roots, known),
        _build_links(pairs, roots, ids, same),
        build_doubts(pairs, clusters, roots, same, apart, policy, learning.read_bits(lessons)),
        lessons,
    )


def collect_evidence(table: pa.Table, policy: Policy) -> list[Evidence]:
    """Return the fields that separate records of people (FEATURES)."""
    evidence = []
    if "tax_id" in policy.trusted:
        evidence.append(Evidence("tax id", table["tax"].to_pylist(), is_slip))
        # A vendor may have only the last four digits. If these differ by more than one edit, so do the complete ids.
        evidence.append(Evidence("tax id", table["tax_last4"].to_pylist(), is_slip))
    if "birth_date" in policy.trusted:
        evidence.append(Evidence("birth date", table["birth"].to_pylist(), is_same_day))
    if policy.has_households:
        evidence.append(Evidence("generation", table["generation"].to_pylist(), is_same))
    return evidence


def find_members(table: pa.Table, pairs: Scored) -> list[tuple[int, int] | None]:
    """Return the members of vendors' households, in the form of `Clusters.members`.

    Two records in one household of a vendor describe two members, unless the two records match each other.

    Returns:
        Per record: the number of its household, and the first record of the same member. None for a record without a household, and for
        the only record of a household.
    """
    ids = table["record_id"].to_numpy()
    is_registration = pc.fill_null(table["is_registration"], False).to_numpy()
    homes = (
        table["household"]
        .combine_chunks()
        .dictionary_encode()
        .indices.fill_null(-1)
        .to_numpy(zero_copy_only=False)
        .copy()
    )
    # A person may have several registrations. Only the two people of a joint one are two members.
    joint = np.isin(np.abs(ids), np.abs(ids[ids < 0]))
    homes[is_registration] = -1
    homes[is_registration & joint] = len(ids) + np.abs(ids[is_registration & joint])
    homes = np.unique(homes, return_inverse=True)[1] - int((homes < 0).any())
    listed_twice = (homes[pairs.left] == homes[pairs.right]) & (homes[pairs.left] >= 0) & pairs.may_join
    member = label(len(homes), (pairs.left[listed_twice], pairs.right[listed_twice]))
    is_several = (homes >= 0) & (np.bincount(homes[homes >= 0], minlength=1)[homes] > 1)
    places = zip(is_several.tolist(), homes.tolist(), member.tolist(), strict=True)
    return [(home, first) if is_member else None for is_member, home, first in places]


def read_decisions(decisions: pa.Table | None, ids: Ints) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the pairs that reviewers decided are the same, and the pairs that they decided are different, as positions of records."""
    table = conform(decisions if decisions is not None else DECISIONS.empty_table(), DECISIONS)
    ends = np.sort(
        [people.find_positions(ids, table[side].to_numpy()) for side in ("left", "right")], axis=0
    ).T.tolist()
    pairs = sorted(
        (a, b, is_same) for (a, b), is_same in zip(ends, table["is_same"].to_pylist(), strict=True) if a >= 0
    )
    return [(a, b) for a, b, is_same in pairs if is_same], [(a, b) for a, b, is_same in pairs if not is_same]


def read_answers(
    scored: pa.Table, ids: Ints, decisions: pa.Table | None, evidence: list[Evidence], policy: Policy
) -> pa.Table:
    """Return the decided pairs that a rule or a conflict keeps apart, as `learning.learn` takes them; without contradictory decisions."""
    same, apart = (set(pairs) for pairs in read_decisions(decisions, ids))
    ends = np.sort([people.find_positions(ids, scored[side].to_numpy()) for side in ("left", "right")], axis=0)
    decided = np.array(sorted(same ^ apart), np.int64).reshape(-1, 2)
    wanted = np.flatnonzero(np.isin(ends[0] * len(ids) + ends[1], decided[:, 0] * len(ids) + decided[:, 1]))
    alone = Clusters(len(ids), evidence) if len(wanted) else None
    rows = []
    for at, row in zip(wanted.tolist(), scored.take(wanted).select(["score", "rule"]).to_pylist(), strict=True):
        left, right = (int(end) for end in ends[:, at])
        if alone and row["score"] >= policy.link_score:
            conflict = CONFLICTS.get(tuple(sorted(alone.find_conflicts(left, right))))
            row = {"score": conflict.lower(row["score"]), "rule": conflict.rule} if conflict else {"rule": None}
        if row["rule"]:
            rows.append(row | {"is_same": (left, right) in same})
    return pa.Table.from_pylist(rows, schema=learning.ANSWERS)


def cluster_pairs(
    clusters: Clusters,
    same: list[tuple[int, int]],
    pairs: Scored,
    doubtful: frozenset[int] = frozenset(),
    within: Mask | None = None,
) -> list[int]:
    """Join the decided pairs, then every pair that may be joined and has no doubtful record.

    Args:
        clusters: The records; changed.
        same: Pairs of records that reviewers decided are the same.
        pairs: The scored pairs.
        doubtful: Records that only a decision joins to others.
        within: The records whose pairs are joined; None for all. No pair connects them with other records.

    Returns:
        The numbers of the pairs that the evidence or a decision kept apart.
    """
    refused = []
    for left, right in same:
        if within is None or within[left]:
            clusters.join(left, right, is_decided=True)
    places = np.flatnonzero(pairs.may_join if within is None else pairs.may_join & within[pairs.left])
    ends = (each[places].tolist() for each in (pairs.left, pairs.right, pairs.excuse))
    for at, left, right, excuse in zip(places.tolist(), *ends, strict=True):
        is_closed = left in doubtful or right in doubtful
        if not is_closed and not clusters.join(left, right, is_decided=excuse >= EVIDENT, excused=EXCUSES[excuse]):
            refused.append(at)
    return refused


def _find_connected(records: Collection[int], same: list[tuple[int, int]], pairs: Scored, count: int) -> Mask:
    """Return some records with all that decisions, and pairs that may be joined, connect with them."""
    marked = np.zeros(count, np.bool_)
    marked[list(records)] = True
    return grow(marked, _list_edges(pairs, same))


def _list_edges(pairs: Scored, same: list[tuple[int, int]]) -> Edges:
    """Return the pairs that may be joined, and those that reviewers decided are the same."""
    decided = np.array(same, np.int64).reshape(-1, 2)
    joined = (each[pairs.may_join] for each in (pairs.left, pairs.right))
    left, right = (np.concatenate([ends, decided[:, side]]) for side, ends in enumerate(joined))
    return left, right


def _find_ambiguous(clusters: Clusters, pairs: Scored, refused: list[int], evidence: list[Evidence]) -> frozenset[int]:
    """Return the positions of the ambiguous records.

    An ambiguous record has no value in any field of `evidence`, and its scores for two people differ by less than `AMBIGUOUS`.

    Args:
        clusters: The clusters so far.
        pairs: The scored pairs.
        refused: Numbers of the pairs that were not joined, from `_cluster`.
        evidence: The fields that separate people.
    """
    other: dict[int, float] = {}
    for at in refused:
        if clusters.find(int(pairs.left[at])) == clusters.find(int(pairs.right[at])):
            continue  # joined later, by another pair of their people
        for record in (int(pairs.left[at]), int(pairs.right[at])):
            if all(each.values[record] is None for each in evidence):
                other[record] = max(other.get(record, 0.0), float(pairs.score[at]))
    own = dict.fromkeys(other, 0.0)
    candidates = np.array(list(other), np.int64)
    is_candidate = np.isin(pairs.left, candidates) | np.isin(pairs.right, candidates)
    for at in np.flatnonzero(pairs.may_join & is_candidate).tolist():
        left, right = int(pairs.left[at]), int(pairs.right[at])
        if clusters.find(left) == clusters.find(right):
            for record in own.keys() & {left, right}:
                own[record] = max(own[record], float(pairs.score[at]))
    return frozenset(record for record, points in other.items() if own[record] - points < AMBIGUOUS)


def _build_links(pairs: Scored, roots: Ints, ids: Ints, same: list[tuple[int, int]]) -> pa.Table:
    """Return the pairs of records of one person as LINKS. Pairs that a reviewer decided come first, with their scores if they have any."""
    inside = roots[pairs.left] == roots[pairs.right]
    decided: dict[tuple[int, int], dict[str, Any]] = {
        (a, b): {"left": ids[a], "right": ids[b], "agreed": [], "differed": [], "how": "person", "rule": None}
        for a, b in same
        if roots[a] == roots[b]
    }
    is_link = inside & pairs.may_join
    if decided:
        for at, pair in enumerate(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)):
            if pair in decided:
                decided[pair] = pairs.table.select(LINKS.names).slice(at, 1).to_pylist()[0] | {"how": "person"}
                is_link[at] = False
    links = pairs.table.filter(pa.array(is_link)).select(LINKS.names).cast(LINKS)
    return pa.concat_tables([pa.Table.from_pylist(list(decided.values()), schema=LINKS), links])
