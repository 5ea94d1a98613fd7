"""Find the pairs that a reviewer should decide: neither certain to be one nor certain to be two, those first whose answer matters most."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from include.identity.cluster import Clusters
from include.identity.policy import Policy
from include.identity.record import LINKS
from include.identity.scored import Ints, Scored

CONFLICTS = {
    (): ("fits two people", 2.0),
    ("birth date",): ("other birth date", 2.6),
    ("tax id",): ("other tax id", 2.9),
    ("household",): ("two members of a household", 0.5),
}
"""Evidence by which two clusters conflict -> the rule as reviewers read it, and the highest score that a pair of them has.

With any other conflict, a pair is not reviewed. Source of the numbers: decision 0060.
"""


def build_doubts(
    pairs: Scored, clusters: Clusters, roots: Ints, settled: list[tuple[int, int]], policy: Policy
) -> pa.Table:
    """Return the pairs to review as REVIEW, in no particular order: the most certain pair of any two people.

    Args:
        pairs: The scored pairs.
        clusters: The records, grouped into people.
        roots: Per record, the first record of its person.
        settled: Pairs that reviewers have decided; the two people of such a pair are not reviewed again.
        policy: The thresholds.
    """

    def people_of(left: Ints, right: Ints) -> Ints:
        low, high = np.sort([roots[left], roots[right]], axis=0)
        return np.where(low == high, -1, low * len(roots) + high)

    settled_ends = np.array(settled, np.int64).reshape(-1, 2).T
    by_score = np.argsort(-pairs.score, kind="stable")
    two = people_of(pairs.left[by_score], pairs.right[by_score])
    is_open = (two >= 0) & ~np.isin(two, people_of(*settled_ends))
    by_score, two = by_score[is_open], two[is_open]
    waiting = by_score[np.sort(np.unique(two, return_index=True)[1])]
    table = pairs.table.take(pa.array(waiting)).select(LINKS.names).cast(LINKS)
    scores, rules = _lower(table, pairs, clusters, waiting, policy)
    sizes = np.bincount(roots, minlength=len(roots))
    small, large = np.sort([sizes[roots[pairs.left[waiting]]], sizes[roots[pairs.right[waiting]]]], axis=0)
    is_lonely = (small == 1) | np.isin(rules, [rule for rule, _ in CONFLICTS.values() if rule != "fits two people"])
    scores[~is_lonely] -= 4
    # How many pairs of records an answer decides, times the chance that it joins them.
    matters = (1 + 0.2 * np.log2(large)) / (1 + 2.0**-scores)
    table = table.set_column(LINKS.get_field_index("score"), "score", pa.array(scores)).set_column(
        LINKS.get_field_index("rule"), "rule", pa.array(rules, pa.string())
    )
    table = table.append_column("rank", pa.array(matters))
    return table.filter(pa.array(scores >= policy.review_score))


def count_shown(doubts: pa.Table, most: int) -> int:
    """Return how many of the first pairs have no more than `most` different records."""
    ends = np.column_stack([doubts["left"].to_numpy(), doubts["right"].to_numpy()]).ravel()
    is_new = np.zeros(len(ends), np.int64)
    is_new[np.unique(ends, return_index=True)[1]] = 1
    return int(np.searchsorted(is_new.reshape(-1, 2).sum(axis=1).cumsum(), most, side="right"))


def _lower(
    table: pa.Table, pairs: Scored, clusters: Clusters, places: Ints, policy: Policy
) -> tuple[np.ndarray, list[str | None]]:
    """Return the score and the rule of each pair; a pair that was not joined because its people conflict has a lower score."""
    scores, rules = pairs.score[places].copy(), table["rule"].to_pylist()
    for at in np.flatnonzero(scores >= policy.link_score).tolist():
        place = int(places[at])
        conflict = clusters.find_conflicts(int(pairs.left[place]), int(pairs.right[place]))
        rules[at], most = CONFLICTS.get(tuple(sorted(conflict)), (None, -1.0))
        scores[at] = min(scores[at], most)
    return scores, rules
