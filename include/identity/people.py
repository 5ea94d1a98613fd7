"""Assign ids to people: the smallest record's id, kept stable between runs."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from include.identity.record import CLUSTERS, KNOWN, conform

Ints = npt.NDArray[np.int64]


def by_rank(ids: Ints) -> Ints:
    """Return record ids by rank: the smaller number first, a joint record's second person directly after the first."""
    return ids[np.lexsort((ids < 0, np.abs(ids)))]


def places(ids: Ints, searched: Ints) -> Ints:
    """Return the position in `ids` of each searched id; -1 if it is missing."""
    order = np.argsort(ids)
    if not len(ids):
        return np.full(len(searched), -1)
    at = order[np.minimum(np.searchsorted(ids, searched, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == searched, at, -1)


def name(ids: Ints, roots: Ints, known: pa.Table | None) -> pa.Table:
    """Assign ids to people.

    If a person was split, the part with the record that the id comes from keeps the id; without that record, the part with most
    of the records keeps it. If several people were merged, the smallest id stays.

    Args:
        ids: Record ids, by rank.
        roots: Per record, the position of its person's first record.
        known: KNOWN from the previous run.

    Returns:
        CLUSTERS, by rank.
    """
    names = ids[roots]
    if known is not None and len(known):
        kept_ids = _keep(ids, roots, conform(known, KNOWN))
        taken = set(kept_ids.values())
        for root in sorted(set(roots.tolist()) - kept_ids.keys()):
            if int(ids[root]) in taken:  # another person kept that id: use the next of its records
                kept_ids[root] = next(int(ids[at]) for at in np.flatnonzero(roots == root) if int(ids[at]) not in taken)
        names = np.array(
            [kept_ids.get(root, first) for root, first in zip(roots.tolist(), names.tolist(), strict=True)]
        )
    return pa.table({"record_id": ids, "person_id": names}, schema=CLUSTERS)


def _keep(ids: Ints, roots: Ints, known: pa.Table) -> dict[int, int]:
    """Return root -> the id that its person keeps."""
    before = known["person_id"].to_numpy()
    at = places(ids, known["record_id"].to_numpy())
    heirs: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for person, root in zip(before[at >= 0].tolist(), roots[at[at >= 0]].tolist(), strict=True):
        heirs[person][root] += 1
    home = dict(zip(heirs, places(ids, np.array(list(heirs), np.int64)).tolist(), strict=True))
    identity_ids: dict[int, int] = {}
    for person in sorted(heirs, key=lambda each: (abs(each), each < 0)):
        claims = heirs[person]
        root_id = int(roots[home[person]]) if home[person] >= 0 else -1
        heir = root_id if root_id in claims else min(claims, key=lambda root: (-claims[root], root))
        identity_ids.setdefault(heir, person)
    return identity_ids
