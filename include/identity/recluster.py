"""Group the records of a neighborhood again, as decisions would change it."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from include.identity import features, people
from include.identity.cluster import Clusters, Evidence
from include.identity.group import cluster_pairs, collect_evidence, find_members, read_decisions
from include.identity.policy import Policy
from include.identity.scored import EVIDENT, Ints, Scored


class Reclustering:
    """Clusters records again, without scoring a pair: from the links of the last run, and from decisions.

    The links contain no pairs that the last run did not link. So after a decision that separates records, a run may find links that this
    class does not.

    Args:
        persons: Table with the schema `include.identity.record.PERSONS`.
        links: The links of the last run (schema LINKS); those of other records are left out.
        policy: Thresholds, and the fields to trust.
        on: Today's date; birth dates after it are ignored.
    """

    def __init__(self, persons: pa.Table, links: pa.Table, policy: Policy, on: date) -> None:
        table, _ = features.read_features(persons, features.find_conventions(persons, on))
        ids = self._ids = people.sort_by_rank(table["record_id"].to_numpy())
        table = table.take(people.find_positions(table["record_id"].to_numpy(), ids))
        is_scored = pc.and_(pc.not_equal(links["how"], "person"), pc.is_valid(links["score"]))
        is_inside = pc.and_(*(pc.is_in(links[side], pa.array(ids)) for side in ("left", "right")))
        scored = links.filter(pc.and_(is_scored, is_inside))
        self._evidence = collect_evidence(table, policy)
        self._pairs = Scored(
            scored.append_column("excuse", _find_conflicting(scored, ids, self._evidence)), ids, policy
        )
        self._members = find_members(table, self._pairs)

    def cluster(self, decisions: pa.Table, known: pa.Table) -> pa.Table:
        """Return the clusters that apply these decisions.

        Args:
            decisions: Reviewers' decisions, with the schema `include.identity.record.DECISIONS`.
            known: Clusters of the last run, as KNOWN, so that ids change as little as possible.

        Returns:
            CLUSTERS.
        """
        same, apart = read_decisions(decisions, self._ids)
        clusters = Clusters(len(self._ids), self._evidence, apart, self._members)
        cluster_pairs(clusters, same, self._pairs)
        return people.assign_ids(self._ids, clusters.find_all(), known)


def _find_conflicting(links: pa.Table, ids: Ints, evidence: list[Evidence]) -> pa.Array:
    """Return `EVIDENT` for each link of the last run that joined two records although their evidence conflicts, else 0."""
    alone = Clusters(len(ids), evidence)
    ends = (people.find_positions(ids, links[side].to_numpy()).tolist() for side in ("left", "right"))
    conflicts = (alone.find_conflicts(left, right) for left, right in zip(*ends, strict=True))
    return pa.array([EVIDENT if each else 0 for each in conflicts], pa.int8())
