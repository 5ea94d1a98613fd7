"""Find the pairs that a reviewer should decide: neither certain to be one nor certain to be two, those first whose answer matters most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import people
from include.identity.cluster import Clusters
from include.identity.policy import Policy
from include.identity.record import LINKS, WEIGHTS, conform
from include.identity.scored import Ints, Scored

Bools = npt.NDArray[np.bool_]


class Conflict(NamedTuple):
    """A kind of evidence by which two clusters conflict.

    Attributes:
        rule: Name of the conflict, as reviewers read it.
        off: Bits that it subtracts from the score.
        share: Share of the remaining score that counts.
        most: Highest score that a pair can have with this conflict.
    """

    rule: str
    off: float
    share: float
    most: float

    def lower(self, score: float) -> float:
        """Return a pair's score lowered by the conflict."""
        return min((score - self.off) * self.share, self.most)


AMBIGUOUS = 3.0
"""Minimum difference between a record's scores for its two best people. If it is smaller, the record may be of either."""

CONFLICTS = {
    (): Conflict("fits two people", off=3, share=0.15, most=2.2),
    ("birth date",): Conflict("other birth date", off=4, share=0.25, most=2.7),
    ("tax id",): Conflict("other tax id", off=5, share=0.25, most=2.9),
    ("household",): Conflict("two members of a household", off=5, share=0.25, most=0.1),
}
"""Evidence by which two clusters conflict -> how much less likely they are one person.

With any other conflict, a pair is not reviewed. Source of the numbers: decision 0060.
"""


def build_doubts(
    pairs: Scored,
    clusters: Clusters,
    roots: Ints,
    same: list[tuple[int, int]],
    apart: list[tuple[int, int]],
    policy: Policy,
    bits: Mapping[str, float],
) -> pa.Table:
    """Return the pairs to review as REVIEW, in no particular order: the most certain pair of any two people.

    Args:
        pairs: The scored pairs.
        clusters: The records, grouped into people.
        roots: Per record, the first record of its person.
        same: Pairs that reviewers decided are the same.
        apart: Pairs that reviewers decided are different. Other pairs of the same two people are reviewed only if the answer leaves them
            undecided.
        policy: The thresholds.
        bits: What reviewers' answers add to the score of the pairs of a conflict, by its rule. No answers link such a pair.
    """

    def people_of(left: Ints, right: Ints) -> Ints:
        low, high = np.sort([roots[left], roots[right]], axis=0)
        return np.where(low == high, -1, low * len(roots) + high)

    by_score = np.argsort(-pairs.score, kind="stable")
    two = people_of(pairs.left[by_score], pairs.right[by_score])
    settled = people_of(*np.array(same + apart, np.int64).reshape(-1, 2).T)
    is_open = (two >= 0) & ~np.isin(two, settled)
    if apart:
        is_open |= (two >= 0) & _find_undecided(pairs, by_score, roots, two, settled, same + apart)
    by_score, two = by_score[is_open], two[is_open]
    waiting = by_score[np.sort(np.unique(two, return_index=True)[1])]
    table = pairs.table.take(pa.array(waiting)).select(LINKS.names).cast(LINKS)
    scores, rules = _lower(table, pairs, clusters, waiting, policy, bits)
    sizes = np.bincount(roots, minlength=len(roots))
    small, large = np.sort([sizes[roots[pairs.left[waiting]]], sizes[roots[pairs.right[waiting]]]], axis=0)
    is_lonely = (small == 1) | np.isin(rules, [each.rule for conflict, each in CONFLICTS.items() if conflict])
    scores[~is_lonely] -= 4
    # The chance that the answer joins two people, with more weight for those of many records.
    matters = (1 + 0.05 * np.log2(small * large)) / (1 + 2.0**-scores)
    table = table.set_column(LINKS.get_field_index("score"), "score", pa.array(scores)).set_column(
        LINKS.get_field_index("rule"), "rule", pa.array(rules, pa.string())
    )
    table = table.append_column("rank", pa.array(matters))
    return table.filter(pa.array(scores >= policy.review_score))


def _find_undecided(
    pairs: Scored, places: Ints, roots: Ints, two: Ints, settled: Ints, decided: list[tuple[int, int]]
) -> Bools:
    """Return which pairs of two people whom a decision separates are still open: one of the records may be of the other person.

    A record of no decision on the two people is open if it fits the other person about as well as its own.

    Args:
        pairs: The scored pairs.
        places: Numbers of the pairs to check.
        roots: Per record, the first record of its person.
        two: Number of the two people of each pair.
        settled: Number of the two people of each decided pair.
        decided: The decided pairs.
    """
    own = np.zeros(len(roots))
    for pair, number in zip(decided, settled.tolist(), strict=True):
        if number < 0:
            own[list(pair)] = np.inf  # of one person by a decision
    is_inside = pairs.may_join & (roots[pairs.left] == roots[pairs.right])
    for side in (pairs.left, pairs.right):
        np.maximum.at(own, side[is_inside], pairs.score[is_inside])
    separated: dict[int, set[int]] = {}
    for pair, number in zip(decided, settled.tolist(), strict=True):
        separated.setdefault(number, set()).update(pair)
    is_undecided = np.zeros(len(places), bool)
    for at in np.flatnonzero(np.isin(two, settled) & pairs.may_join[places]).tolist():
        place = places[at]
        is_undecided[at] = any(
            own[record] - pairs.score[place] < AMBIGUOUS
            for record in (int(pairs.left[place]), int(pairs.right[place]))
            if record not in separated[int(two[at])]
        )
    return is_undecided


def weigh(doubts: pa.Table, clusters: pa.Table, weights: pa.Table) -> pa.Table:
    """Return the pairs to review, with a higher rank for pairs of two people with a high worth.

    The factor is 1 for no worth, 1.05 for the pairs' median, and 0.05 more each time that the worth doubles.

    Args:
        doubts: Table with the schema REVIEW.
        clusters: The clusters of all records, or those of `select_doubtful` (schema CLUSTERS).
        weights: Table with the schema WEIGHTS. A missing record has a worth of 0. The second person of a joint record has the record's
            worth.
    """
    ids, worth = clusters["record_id"].to_numpy(), conform(weights, WEIGHTS)
    known = np.append(pc.fill_null(worth["worth"], 0.0).to_numpy(), 0.0)
    of_record = known[people.find_positions(worth["record_id"].to_numpy(), np.abs(ids))]
    person = np.unique(clusters["person_id"].to_numpy(), return_inverse=True)[1]
    of_person = np.bincount(person, weights=of_record)
    left, right = (of_person[person[people.find_positions(ids, doubts[side].to_numpy())]] for side in ("left", "right"))
    depends = left + right
    if not (depends > 0).any():
        return doubts
    factor = 1 + 0.05 * np.log2(1 + depends / np.median(depends[depends > 0]))
    return doubts.set_column(
        doubts.schema.get_field_index("rank"), "rank", pa.array(doubts["rank"].to_numpy() * factor)
    )


def select_doubtful(doubts: pa.Table, clusters: pa.Table) -> pa.Table:
    """Return the rows of CLUSTERS of the people that have a pair to review."""
    ends = np.concatenate([doubts[side].to_numpy() for side in ("left", "right")])
    at = people.find_positions(clusters["record_id"].to_numpy(), ends)
    return clusters.filter(
        pc.is_in(clusters["person_id"], value_set=clusters["person_id"].take(pa.array(at)).combine_chunks())
    )


def count_shown(doubts: pa.Table, most: int) -> int:
    """Return how many pairs, from the first one on, can be shown without showing more than `most` different records."""
    ends = np.column_stack([doubts["left"].to_numpy(), doubts["right"].to_numpy()]).ravel()
    is_new = np.zeros(len(ends), np.int64)
    is_new[np.unique(ends, return_index=True)[1]] = 1
    return int(np.searchsorted(is_new.reshape(-1, 2).sum(axis=1).cumsum(), most, side="right"))


def _lower(
    table: pa.Table, pairs: Scored, clusters: Clusters, places: Ints, policy: Policy, bits: Mapping[str, float]
) -> tuple[np.ndarray, list[str | None]]:
    """Return the score and the rule of each pair; a pair that was not joined because its people conflict has a lower score."""
    scores, rules = pairs.score[places].copy(), table["rule"].to_pylist()
    for at in np.flatnonzero(scores >= policy.link_score).tolist():
        place = int(places[at])
        conflict = clusters.find_conflicts(int(pairs.left[place]), int(pairs.right[place]))
        known = CONFLICTS.get(tuple(sorted(conflict)))
        rules[at], scores[at] = (known.rule, known.lower(scores[at])) if known else (None, -np.inf)
        if known and known.rule in bits:
            scores[at] = min(scores[at] + bits[known.rule], policy.link_score - 0.01)
    return scores, rules
