"""Match only the records that changed since the last run, and those that the changes can affect."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import features, learning, link, people
from include.identity.graph import Edges, Mask, grow, spread
from include.identity.group import Matched
from include.identity.link import Matching
from include.identity.record import DECISIONS, LINKS, PERSONS, conform
from include.identity.score import score
from include.identity.scored import Ints

_NONE = np.array([], np.int64)


def relink(
    before: Matching,
    changed: pa.Table,
    removed: Collection[int] = (),
    decisions: pa.Table | None = None,
    known: pa.Table | None = None,
    again: Ints | None = None,
) -> Matching:
    """Match records that changed and their neighborhood; the result is that of `match_all` over all records with the same baseline.

    Two records can become one person only through pairs that may be joined, decisions, and records that were one person before. So the
    records that these connect with a changed record are matched again, together with the people who share a doubtful pair with them.

    Args:
        before: The result of the last full run.
        changed: Table with the schema PERSONS: the records that are new since then, and those with another value.
        removed: Ids of records that no longer exist.
        decisions: All DECISIONS of reviewers.
        known: The people of the last run (schema KNOWN); None for the clusters of the full run.
        again: `Matching.core` of the last run since then: records whose result may differ from that of the full run.
    """
    decisions = conform(DECISIONS.empty_table() if decisions is None else decisions, DECISIONS)
    natural, organizations, names = link.split(conform(changed, PERSONS), before.conventions)
    fresh, _ = features.read_features(natural, before.conventions, names.people)
    gone = _add_second_people([*changed["record_id"].to_pylist(), *removed])
    table = pa.concat_tables([_select_without(before.features, gone), fresh])
    rescored, _ = score(table, before.policy, before.counts, fresh["record_id"].combine_chunks())
    rescored = learning.apply(rescored, before.natural.lessons)
    scored = pa.concat_tables([_select_without(before.scored, gone, "left", "right"), rescored])
    seeds = np.concatenate([gone, _find_redecided(before.decisions, decisions), _NONE if again is None else again])
    kept = _select_without(before.organizations, gone)
    is_kept = len(kept) == len(before.organizations) and not len(organizations) and decisions.equals(before.decisions)
    is_kept = is_kept and not len(_select_within(kept, seeds))
    after = replace(before, features=table, scored=scored, organizations=pa.concat_tables([kept, organizations]))
    after = replace(after, decisions=decisions, entities=replace(before.entities, links=LINKS.empty_table()))
    known = before.linked.clusters if known is None else known
    after = _match_neighborhood(before, after, seeds, known)
    return after if is_kept else _match_organizations(before, after, known)


def _match_neighborhood(before: Matching, after: Matching, seeds: Ints, known: pa.Table) -> Matching:
    graph = _Graph(before, after, seeds)
    core = graph.grow(graph.mark(seeds))
    near = graph.grow(graph.meet(core))
    inside = graph.nodes[near]
    scored, known = _select_within(after.scored, inside, "left", "right"), _select_within(known, inside)
    table, taken = link.sort_by_rank(_select_within(after.features, inside)), after.organizations["record_id"]
    lessons = before.natural.lessons
    local = link.match_people(table, scored, after.decisions, after.policy, known, taken, lessons)
    kept = _select_without(before.natural.doubts, graph.nodes[core], "left", "right")
    met = _select_touching(local.doubts, graph.nodes[core])
    clusters = pa.concat_tables([_select_without(before.natural.clusters, inside), local.clusters])
    return replace(
        after,
        natural=Matched(clusters, local.links, pa.concat_tables([kept, met]), lessons),
        core=graph.nodes[core],
        touched=inside,
    )


def _match_organizations(before: Matching, after: Matching, known: pa.Table) -> Matching:
    """Match all records of legal entities again if one of them changed: they are few."""
    _, rows, names = link.split(after.organizations, after.conventions)
    taken = after.natural.clusters["person_id"]
    matched = link.match_entities(rows, names.entities, after.decisions, after.policy, known, taken)
    ids = np.concatenate([each["record_id"].to_numpy() for each in (before.organizations, rows)])
    assert after.core is not None
    assert after.touched is not None
    return replace(after, entities=matched, core=np.union1d(after.core, ids), touched=np.union1d(after.touched, ids))


class _Graph:
    """The records of two runs, and what connects them.

    Attributes:
        nodes: Sorted ids of all records of both runs, of the seeds, and of people who kept the id of a record that no longer exists.
    """

    def __init__(self, before: Matching, after: Matching, seeds: Ints) -> None:
        clusters = before.natural.clusters
        own, person = (clusters[name].to_numpy() for name in ("record_id", "person_id"))
        self.nodes = people.sort_distinct(np.concatenate([own, person, after.features["record_id"].to_numpy(), seeds]))
        self._pairs = self._find(after.scored)
        joined = after.scored["score"].to_numpy() >= after.policy.link_score
        mates = (np.searchsorted(self.nodes, own), np.searchsorted(self.nodes, person))
        decided = after.decisions.filter(
            pc.and_(*(pc.is_in(after.decisions[side], pa.array(self.nodes)) for side in ("left", "right")))
        )
        left, right = zip((self._pairs[0][joined], self._pairs[1][joined]), mates, self._find(decided), strict=True)
        self._edges = (np.concatenate(left), np.concatenate(right))

    def mark(self, ids: Ints) -> Mask:
        """Return which nodes are among some ids."""
        return np.isin(self.nodes, ids)

    def grow(self, marked: Mask) -> Mask:
        """Return the marked nodes with all nodes that may be one with them."""
        return grow(marked, self._edges)

    def meet(self, marked: Mask) -> Mask:
        """Return the marked nodes with those that have a scored pair with one of them."""
        return marked | spread(marked, self._pairs)

    def _find(self, pairs: pa.Table) -> Edges:
        left, right = (np.searchsorted(self.nodes, pairs[side].to_numpy()) for side in ("left", "right"))
        return left, right


def _find_redecided(before: pa.Table, after: pa.Table) -> Ints:
    """Return the ids of the records on which a decision is new, changed or withdrawn."""
    old, new = ({tuple(row.values()) for row in table.to_pylist()} for table in (before, after))
    return np.array(sorted({end for row in old ^ new for end in row[:2]}), np.int64)


def _add_second_people(ids: Collection[int]) -> Ints:
    """Return ids with those of the second people of their records."""
    positive = np.array(sorted(ids), np.int64)
    return np.concatenate([positive, -positive])


def _is_inside(table: pa.Table, ids: Ints, name: str) -> pa.ChunkedArray:
    return pc.is_in(table[name], value_set=pa.array(ids, pa.int64()))


def _select_within(table: pa.Table, ids: Ints, *names: str) -> pa.Table:
    """Return the rows of which all columns `names` are among some ids."""
    for name in names or ("record_id",):
        table = table.filter(_is_inside(table, ids, name))
    return table


def _select_without(table: pa.Table, ids: Ints, *names: str) -> pa.Table:
    """Return the rows of which no column of `names` is among some ids: the pieces of the table between those that are, without a copy."""
    inside = [_is_inside(table, ids, name) for name in names or ("record_id",)]
    at = np.flatnonzero(reduce(pc.or_, inside).to_numpy())
    starts, ends = np.append(-1, at) + 1, np.append(at, len(table))
    pieces = [table.slice(start, end - start) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return pa.concat_tables([table.slice(0, 0), *(piece for piece in pieces if len(piece))])


def _select_touching(table: pa.Table, ids: Ints) -> pa.Table:
    """Return the pairs with an end among some ids."""
    return table.filter(pc.or_(_is_inside(table, ids, "left"), _is_inside(table, ids, "right")))
