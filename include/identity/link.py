"""Group the vendors' records into people, with the reasons, and find the pairs that a reviewer must decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import entity, features, learning, people
from include.identity.group import Matched, collect_evidence, find_members, match, read_answers
from include.identity.learning import LESSONS
from include.identity.naming import Names, read_names
from include.identity.policy import Policy
from include.identity.queue import count_shown, select_doubtful, weigh
from include.identity.record import DECISIONS, PERSONS, REVIEW, conform
from include.identity.score import THREADS, Counts, score
from include.identity.scored import Ints, Scored

LEAST_QUEUE = 20
"""Minimum size of the review queue, in records, however small the firm."""


@dataclass(frozen=True)
class Linked:
    """The result of matching persons.

    Attributes:
        clusters: Table with the schema CLUSTERS: the person of each record. The second person of a joint record has the negated record_id.
        links: Table with the schema LINKS: the pairs of records of one person, the most certain first.
        review: Table with the schema REVIEW: the pairs of records that may be one person and need a reviewer, one pair per two people.
            Pairs whose answer has the largest effect are first.
        left_over: Number of further pairs to review that did not fit in the queue.
        lessons: Table with the schema LESSONS: corrections of the scores of the rules for people, learned from the decisions.
    """

    clusters: pa.Table
    links: pa.Table
    review: pa.Table
    left_over: int
    lessons: pa.Table


@dataclass(frozen=True)
class Matching:
    """All results of a run. With them, `include.identity.relink.relink` matches only the records that changed since then.

    Attributes:
        policy: The thresholds.
        conventions: Facts about all records on which the features depend.
        counts: Counts over all records on which the scores depend.
        features: The features of the records of people (schema FEATURES).
        scored: The scored pairs of these records, with the lessons applied to the scores.
        organizations: Table with the schema PERSONS: the records whose name is a legal entity's.
        natural: The result for people. After `relink`, `links` has only those of the matched records.
        entities: The result for organizations. After `relink`, `links` is empty unless they were matched again.
        decisions: The applied decisions (schema DECISIONS).
        core: Ids of the records whose result may differ from that of the last full run.
        touched: Ids of all records that were matched again: those of `core`, and of people who have a doubtful pair with them. None if all
            records were matched.
    """

    policy: Policy
    conventions: features.Conventions
    counts: Counts
    features: pa.Table
    scored: pa.Table
    organizations: pa.Table
    natural: Matched
    entities: Matched
    decisions: pa.Table
    core: Ints | None = None
    touched: Ints | None = None

    @property
    def linked(self) -> Linked:
        """Return the result, with the pairs that matter most in the queue."""
        return self.order()

    def order(self, weights: pa.Table | None = None) -> Linked:
        """Return the result, with the pairs that matter most in the queue.

        Args:
            weights: Table with the schema WEIGHTS: the dollars that depend on a record; None if unknown. They change only the order of the
                pairs.
        """
        return _combine([self.natural, self.entities], self.policy, weights)

    def list_doubtful(self) -> list[int]:
        """Return the ids of the records of all people that have a pair to review."""
        doubtful = [select_doubtful(each.doubts, each.clusters)["record_id"] for each in (self.natural, self.entities)]
        return sorted({abs(record) for ids in doubtful for record in ids.to_pylist()})

    def count_matched(self) -> int | None:
        """Return how many of the existing records were matched again; None if all were."""
        if self.touched is None:
            return None
        # A negative id is of the second person of a record.
        records = pa.array(self.touched[self.touched > 0], pa.int64())
        found = (pc.is_in(each.clusters["record_id"], value_set=records) for each in (self.natural, self.entities))
        return sum(pc.sum(each).as_py() or 0 for each in found)


def link(
    persons: pa.Table,
    decisions: pa.Table | None = None,
    policy: Policy | None = None,
    threads: int = THREADS,
    known: pa.Table | None = None,
    on: date | None = None,
    lessons: pa.Table | None = None,
    weights: pa.Table | None = None,
) -> Linked:
    """Match the records of all vendors to people; like `match_all` and `Matching.order`, but return only the result."""
    return match_all(persons, decisions, policy, threads, known, on, lessons).order(weights)


def match_all(
    persons: pa.Table,
    decisions: pa.Table | None = None,
    policy: Policy | None = None,
    threads: int = THREADS,
    known: pa.Table | None = None,
    on: date | None = None,
    lessons: pa.Table | None = None,
    baseline: Matching | None = None,
) -> Matching:
    """Match the records of all vendors to people, and those whose name is a legal entity's to legal entities.

    Args:
        persons: Table with the schema `include.identity.record.PERSONS`.
        decisions: The reviewers' decisions (schema DECISIONS); decisions on records that are not in `persons` are ignored.
        policy: Thresholds, and the fields to trust; None for the default.
        threads: Number of threads.
        known: Table with the schema KNOWN: the result of the previous run, so that people keep their ids. Without it, a person's id is the
            smallest record id.
        on: Today's date; None for the current day. Birth dates after it are ignored.
        lessons: LESSONS; None to learn from the decisions.
        baseline: An earlier result whose conventions, counts and lessons are used; None to find them in these records.

    Returns:
        The result, which does not depend on the order of the rows or the number of threads.
    """
    policy, decisions = (
        policy or Policy(),
        conform(DECISIONS.empty_table() if decisions is None else decisions, DECISIONS),
    )
    persons = conform(persons, PERSONS)
    conventions = baseline.conventions if baseline else features.find_conventions(persons, on)
    natural, organizations, names = split(persons, conventions)
    table, conventions = features.read_features(natural, conventions, names.people)
    entity_names = names.entities
    del persons, natural, names  # the largest tables of a run: free them before the pairs are scored
    table = sort_by_rank(table)
    scored, counts = score(table, policy, baseline.counts if baseline else None, threads=threads)
    if lessons is None:
        lessons = baseline.natural.lessons if baseline else learn(table, scored, decisions, policy)
    scored = learning.apply(scored, lessons)
    matched = match_people(table, scored, decisions, policy, known, organizations["record_id"], lessons)
    entities = match_entities(organizations, entity_names, decisions, policy, known, matched.clusters["person_id"])
    return Matching(policy, conventions, counts, table, scored, organizations, matched, entities, decisions)


def split(persons: pa.Table, conventions: features.Conventions) -> tuple[pa.Table, pa.Table, Names]:
    """Return the records of people, those of legal entities, and the names of both."""
    names = read_names(persons, conventions.family_first)
    is_entity = pa.array([name is not None for name in names.entities], pa.bool_())
    of_people = [each for each, name in zip(names.people, names.entities, strict=True) if name is None]
    of_entities: list[str | None] = [name for name in names.entities if name is not None]
    natural = persons.filter(pc.invert(is_entity)) if of_entities else persons
    return natural, persons.filter(is_entity), Names(of_entities, of_people)


def link_entities(
    records: pa.Table, decisions: pa.Table | None = None, policy: Policy | None = None, known: pa.Table | None = None
) -> Linked:
    """Match the records of all vendors to legal entities; like `link`, which matches people."""
    records, policy = conform(records, PERSONS), policy or Policy()
    names = [name or "" for name in records["name"].to_pylist()]
    return _combine([match_entities(records, names, decisions, policy, known, _NO_IDS)], policy)


def learn(table: pa.Table, scored: pa.Table, decisions: pa.Table, policy: Policy) -> pa.Table:
    """Return the LESSONS of decisions on records.

    Args:
        table: The features of the records (schema FEATURES), in the order of `people.sort_by_rank`.
        scored: The scored pairs of these records, with the built-in scores.
        decisions: The reviewers' decisions (schema DECISIONS).
        policy: The thresholds.
    """
    ids, evidence = table["record_id"].to_numpy(), collect_evidence(table, policy)
    return learning.learn(read_answers(scored, ids, decisions, evidence, policy))


def sort_by_rank(table: pa.Table) -> pa.Table:
    """Return a table with the column `record_id` in the order of `people.sort_by_rank`."""
    ids = table["record_id"].to_numpy()
    return table.take(people.find_positions(ids, people.sort_by_rank(ids)))


def match_people(
    table: pa.Table,
    scored: pa.Table,
    decisions: pa.Table | None,
    policy: Policy,
    known: pa.Table | None,
    taken: pa.ChunkedArray,
    lessons: pa.Table,
) -> Matched:
    """Match records of people.

    Args:
        table: Their FEATURES, in the order of `people.sort_by_rank`.
        scored: The scored pairs of these records, with the lessons applied to the scores.
        decisions: The reviewers' decisions (schema DECISIONS).
        policy: The thresholds.
        known: Table with the schema KNOWN.
        taken: Ids that a person can't keep: those of legal entities. A record may have become the other kind.
        lessons: Table with the schema LESSONS.
    """
    ids, evidence = table["record_id"].to_numpy(), collect_evidence(table, policy)
    pairs = Scored(scored, ids, policy)
    members = find_members(table, pairs) if policy.has_households else []
    return match(pairs, ids, evidence, members, decisions, policy, _leave_out(known, taken), lessons)


def match_entities(
    records: pa.Table,
    names: Sequence[str | None],
    decisions: pa.Table | None,
    policy: Policy,
    known: pa.Table | None,
    taken: pa.ChunkedArray,
) -> Matched:
    """Match records of legal entities.

    Args:
        records: Table with the schema `include.identity.record.PERSONS`.
        names: The entity's name in each record.
        decisions: The reviewers' decisions (schema DECISIONS).
        policy: The thresholds.
        known: Table with the schema KNOWN.
        taken: Ids that a legal entity can't keep: those of people.
    """
    ids = people.sort_by_rank(records["record_id"].to_numpy())
    order = people.find_positions(records["record_id"].to_numpy(), ids)
    entities = entity.read_entities(records.take(order), [names[at] or "" for at in order.tolist()])
    scored = entity.score_entities(entities)
    pairs = Scored(scored.append_column("excuse", pa.array(np.zeros(len(scored), np.int8))), ids, policy)
    evidence, none = entity.collect_evidence(entities), LESSONS.empty_table()
    return match(pairs, ids, evidence, [], decisions, policy, _leave_out(known, taken), none)


_NO_IDS = pa.chunked_array([], pa.int64())


def _leave_out(known: pa.Table | None, taken: pa.ChunkedArray) -> pa.Table | None:
    if known is None:
        return None
    return known.filter(pc.invert(pc.is_in(known["person_id"], value_set=taken.combine_chunks())))


def _combine(parts: Sequence[Matched], policy: Policy, weights: pa.Table | None = None) -> Linked:
    clusters, links, doubts = (
        pa.concat_tables([getattr(part, name) for part in parts]) for name in ("clusters", "links", "doubts")
    )
    doubts = doubts if weights is None else weigh(doubts, clusters, weights)
    doubts = doubts.take(
        pc.sort_indices(doubts, [("rank", "descending"), ("left", "ascending"), ("right", "ascending")])
    )
    shown = count_shown(
        doubts, max(int(policy.review_ratio * (clusters["record_id"].to_numpy() > 0).sum()), LEAST_QUEUE)
    )
    return Linked(clusters, links, doubts.select(REVIEW.names).slice(0, shown), len(doubts) - shown, parts[0].lessons)
