"""Group the vendors' records into people, with the reasons, and find the pairs that a reviewer must decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import entity, features, learning, people
from include.identity.cluster import Clusters, Evidence, is_same, is_same_day, is_slip
from include.identity.learning import LESSONS
from include.identity.naming import read_names
from include.identity.policy import Policy
from include.identity.queue import AMBIGUOUS, CONFLICTS, build_doubts, count_shown
from include.identity.record import DECISIONS, LINKS, PERSONS, REVIEW, conform
from include.identity.score import score
from include.identity.scored import EVIDENT, EXCUSES, Ints, Scored
from include.names.person import Name

LEAST_QUEUE = 20
"""Minimum size of the review queue, in records, however small the firm."""


@dataclass(frozen=True)
class Linked:
    """The result of matching persons.

    Attributes:
        clusters: CLUSTERS: the person of each record. The second person of a joint record has the negated record_id.
        links: LINKS: the pairs of records of one person, the most certain first.
        review: REVIEW: the pairs of records that may be one person and need a reviewer, those first whose answer matters most; one pair per
            two people.
        left_over: Number of further pairs to review, for which the queue has no room.
        lessons: LESSONS: what the decisions teach about the rules for people.
    """

    clusters: pa.Table
    links: pa.Table
    review: pa.Table
    left_over: int
    lessons: pa.Table


def link(
    persons: pa.Table,
    decisions: pa.Table | None = None,
    policy: Policy | None = None,
    threads: int = 2,
    known: pa.Table | None = None,
    on: date | None = None,
    lessons: pa.Table | None = None,
) -> Linked:
    """Match the records of all vendors to people.

    Args:
        persons: As `include.identity.record.PERSONS`.
        decisions: DECISIONS of reviewers; decisions on records that are not in `persons` are ignored.
        policy: Thresholds, and the fields to trust; None for the default.
        threads: Number of threads.
        known: KNOWN: the result of the previous run, so that people keep their ids. Without it, a person's id is the smallest record id.
        on: Today's date; None for the current day. Birth dates after it are ignored.
        lessons: LESSONS of the last run on all records, if `persons` are only some of them; None to learn from the decisions.

    Returns:
        The result, which does not depend on the order of the rows or the number of threads.
    """
    policy = policy or Policy()
    persons = conform(persons, PERSONS)
    names = read_names(persons)
    is_entity = pa.array([name is not None for name in names.entities], pa.bool_())
    people = [of_record for of_record, name in zip(names.people, names.entities, strict=True) if name is None]
    natural = _match_people(
        persons.filter(pc.invert(is_entity)), people, decisions, policy, threads, known, on, lessons
    )
    entities = _match_entities(
        persons.filter(is_entity), [name for name in names.entities if name is not None], decisions, policy, known
    )
    return _combine(natural, entities, policy)


def link_entities(
    records: pa.Table, decisions: pa.Table | None = None, policy: Policy | None = None, known: pa.Table | None = None
) -> Linked:
    """Match the records of all vendors to legal entities; like `link`, which matches people."""
    records, policy = conform(records, PERSONS), policy or Policy()
    return _combine(
        _match_entities(records, [name or "" for name in records["name"].to_pylist()], decisions, policy, known),
        None,
        policy,
    )


@dataclass(frozen=True)
class _Matched:
    """The result of matching one kind of records.

    Attributes:
        clusters: CLUSTERS.
        links: LINKS.
        doubts: REVIEW: the pairs that may be one, in no particular order.
        lessons: LESSONS that were applied.
    """

    clusters: pa.Table
    links: pa.Table
    doubts: pa.Table
    lessons: pa.Table


def _match_people(
    persons: pa.Table,
    names: list[tuple[Name, ...]],
    decisions: pa.Table | None,
    policy: Policy,
    threads: int,
    known: pa.Table | None,
    on: date | None,
    lessons: pa.Table | None,
) -> _Matched:
    table = features.read_features(persons, on, names)
    ids = people.by_rank(table["record_id"].to_numpy())
    table = table.take(people.places(table["record_id"].to_numpy(), ids))
    scored, evidence = score(table, policy, threads), _collect_evidence(table, policy)
    if lessons is None:
        lessons = learning.learn(_read_answers(scored, ids, decisions, evidence, policy))
    pairs = Scored(learning.apply(scored, lessons), ids, policy)
    members = _find_members(table, pairs) if policy.has_households else []
    return _match(pairs, ids, evidence, members, decisions, policy, known, lessons)


def _match_entities(
    records: pa.Table, names: list[str], decisions: pa.Table | None, policy: Policy, known: pa.Table | None
) -> _Matched:
    ids = people.by_rank(records["record_id"].to_numpy())
    order = people.places(records["record_id"].to_numpy(), ids)
    entities = entity.read_entities(records.take(order), [names[at] for at in order.tolist()])
    scored = entity.score_entities(entities)
    pairs = Scored(scored.append_column("excuse", pa.array(np.zeros(len(scored), np.int8))), ids, policy)
    return _match(pairs, ids, entity.collect_evidence(entities), [], decisions, policy, known, LESSONS.empty_table())


def _match(
    pairs: Scored,
    ids: Ints,
    evidence: list[Evidence],
    members: list[tuple[int, int] | None],
    decisions: pa.Table | None,
    policy: Policy,
    known: pa.Table | None,
    lessons: pa.Table,
) -> _Matched:
    same, apart = _read_decisions(decisions, ids)

    def cluster(doubtful: frozenset[int]) -> tuple[Clusters, list[int]]:
        return _cluster(Clusters(len(ids), evidence, apart, members), same, pairs, doubtful)

    clusters, refused = cluster(frozenset())
    if doubtful := _find_ambiguous(clusters, pairs, refused, evidence):
        clusters, _ = cluster(doubtful)
    roots = np.array([clusters.find(place) for place in range(len(ids))], dtype=np.int64)
    return _Matched(
        people.name(ids, roots, known),
        _build_links(pairs, roots, ids, same),
        build_doubts(pairs, clusters, roots, same, apart, policy, learning.read_bits(lessons)),
        lessons,
    )


def _combine(natural: _Matched, entities: _Matched | None, policy: Policy) -> Linked:
    """Return the result of both kinds of records, with the pairs that matter most in the queue."""
    parts = [natural] if entities is None else [natural, entities]
    clusters, links, doubts = (
        pa.concat_tables([getattr(part, name) for part in parts]) for name in ("clusters", "links", "doubts")
    )
    doubts = doubts.take(
        pc.sort_indices(doubts, [("rank", "descending"), ("left", "ascending"), ("right", "ascending")])
    )
    shown = count_shown(
        doubts, max(int(policy.review_ratio * (clusters["record_id"].to_numpy() > 0).sum()), LEAST_QUEUE)
    )
    return Linked(clusters, links, doubts.select(REVIEW.names).slice(0, shown), len(doubts) - shown, natural.lessons)


class Reclustering:
    """Clusters records again, without scoring a pair: from the links of the last run, and from decisions.

    The links contain no pairs that the last run did not link. So after a decision that separates records, a run may find links that this
    class does not.

    Args:
        persons: As `include.identity.record.PERSONS`.
        links: LINKS of the last run; those of other records are left out.
        policy: Thresholds, and the fields to trust.
        on: Today's date; birth dates after it are ignored.
    """

    def __init__(self, persons: pa.Table, links: pa.Table, policy: Policy, on: date) -> None:
        table = features.read_features(persons, on)
        ids = self._ids = people.by_rank(table["record_id"].to_numpy())
        table = table.take(people.places(table["record_id"].to_numpy(), ids))
        is_scored = pc.and_(pc.not_equal(links["how"], "person"), pc.is_valid(links["score"]))
        is_inside = pc.and_(*(pc.is_in(links[side], pa.array(ids)) for side in ("left", "right")))
        scored = links.filter(pc.and_(is_scored, is_inside))
        self._evidence = _collect_evidence(table, policy)
        self._pairs = Scored(
            scored.append_column("excuse", _find_conflicting(scored, ids, self._evidence)), ids, policy
        )
        self._members = _find_members(table, self._pairs)

    def cluster(self, decisions: pa.Table, known: pa.Table) -> pa.Table:
        """Return the clusters that apply these decisions.

        Args:
            decisions: Reviewers' decisions, as `include.identity.record.DECISIONS`.
            known: Clusters of the last run, as KNOWN, so that ids change as little as possible.

        Returns:
            CLUSTERS.
        """
        same, apart = _read_decisions(decisions, self._ids)
        empty = Clusters(len(self._ids), self._evidence, apart, self._members)
        clusters, _ = _cluster(empty, same, self._pairs, frozenset())
        roots = np.array([clusters.find(place) for place in range(len(self._ids))], dtype=np.int64)
        return people.name(self._ids, roots, known)


def _find_conflicting(links: pa.Table, ids: Ints, evidence: list[Evidence]) -> pa.Array:
    """Return `EVIDENT` for each link of the last run that joined two records although their evidence conflicts, else 0."""
    alone = Clusters(len(ids), evidence)
    ends = (people.places(ids, links[side].to_numpy()).tolist() for side in ("left", "right"))
    conflicts = (alone.find_conflicts(left, right) for left, right in zip(*ends, strict=True))
    return pa.array([EVIDENT if each else 0 for each in conflicts], pa.int8())


def _collect_evidence(table: pa.Table, policy: Policy) -> list[Evidence]:
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


def _find_members(table: pa.Table, pairs: Scored) -> list[tuple[int, int] | None]:
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
    member = Clusters(len(homes), ())
    for at in np.flatnonzero(listed_twice).tolist():
        member.join(int(pairs.left[at]), int(pairs.right[at]))
    count = np.bincount(homes[homes >= 0], minlength=1)
    return [
        (home, member.find(at)) if home >= 0 and count[home] > 1 else None for at, home in enumerate(homes.tolist())
    ]


def _read_decisions(decisions: pa.Table | None, ids: Ints) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the pairs that reviewers decided are the same, and the pairs that they decided are different, as positions of records."""
    table = conform(decisions if decisions is not None else DECISIONS.empty_table(), DECISIONS)
    ends = np.sort([people.places(ids, table[side].to_numpy()) for side in ("left", "right")], axis=0).T.tolist()
    pairs = sorted(
        (a, b, is_same) for (a, b), is_same in zip(ends, table["is_same"].to_pylist(), strict=True) if a >= 0
    )
    return [(a, b) for a, b, is_same in pairs if is_same], [(a, b) for a, b, is_same in pairs if not is_same]


def _read_answers(
    scored: pa.Table, ids: Ints, decisions: pa.Table | None, evidence: list[Evidence], policy: Policy
) -> pa.Table:
    """Return the decided pairs that a rule or a conflict keeps apart, as `learning.learn` takes them; without contradictory decisions."""
    same, apart = (set(pairs) for pairs in _read_decisions(decisions, ids))
    ends = np.sort([people.places(ids, scored[side].to_numpy()) for side in ("left", "right")], axis=0)
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


def _cluster(
    clusters: Clusters, same: list[tuple[int, int]], pairs: Scored, doubtful: frozenset[int]
) -> tuple[Clusters, list[int]]:
    """Join the decided pairs, then every pair that may be joined and has no doubtful record.

    Returns:
        The clusters, and the numbers of the pairs that the evidence or a decision kept apart.
    """
    refused = []
    for left, right in same:
        clusters.join(left, right, is_decided=True)
    places = np.flatnonzero(pairs.may_join)
    ends = (each[places].tolist() for each in (pairs.left, pairs.right, pairs.excuse))
    for at, left, right, excuse in zip(places.tolist(), *ends, strict=True):
        is_closed = left in doubtful or right in doubtful
        if not is_closed and not clusters.join(left, right, is_decided=excuse >= EVIDENT, excused=EXCUSES[excuse]):
            refused.append(at)
    return clusters, refused


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
