"""Ids of people: the smallest record's, kept for as long as it can be."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from include.identity.record import CLUSTERS, KNOWN, conform

Ints = npt.NDArray[np.int64]


def by_rank(ids: Ints) -> Ints:
    """Returns record ids by rank: the smaller number first, a joint record's second person right after the first."""
    return ids[np.lexsort((ids < 0, np.abs(ids)))]


def places(ids: Ints, wanted: Ints) -> Ints:
    """Returns where among `ids` each wanted one stands; -1 for what is not there."""
    order = np.argsort(ids)
    if not len(ids):
        return np.full(len(wanted), -1)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def name(ids: Ints, roots: Ints, known: pa.Table | None) -> pa.Table:
    """Names people.

    An id that a person had before is kept by those records that hold the record it is named by, else by most of its
    records; where several people became one, the smallest id stays.

    Args:
        ids: Record ids, by rank.
        roots: For each, the place of its person's first record.
        known: KNOWN from the last time.

    Returns:
        CLUSTERS, by rank.
    """
    names = ids[roots]
    if known is not None and len(known):
        kept = _keep(ids, roots, conform(known, KNOWN))
        taken = set(kept.values())
        for root in sorted(set(roots.tolist()) - kept.keys()):
            if int(ids[root]) in taken:  # somebody else kept it: the next of its records names it
                kept[root] = next(int(ids[at]) for at in np.flatnonzero(roots == root) if int(ids[at]) not in taken)
        names = np.array([kept.get(root, first) for root, first in zip(roots.tolist(), names.tolist(), strict=True)])
    return pa.table({"record_id": ids, "person_id": names}, schema=CLUSTERS)


def _keep(ids: Ints, roots: Ints, known: pa.Table) -> dict[int, int]:
    """Root -> the id that it keeps."""
    before = known["person_id"].to_numpy()
    at = places(ids, known["record_id"].to_numpy())
    heirs: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for person, root in zip(before[at >= 0].tolist(), roots[at[at >= 0]].tolist(), strict=True):
        heirs[person][root] += 1
    home = dict(zip(heirs, places(ids, np.array(list(heirs), np.int64)).tolist(), strict=True))
    kept: dict[int, int] = {}
    for person in sorted(heirs, key=lambda each: (abs(each), each < 0)):
        claims = heirs[person]
        named = int(roots[home[person]]) if home[person] >= 0 else -1
        heir = named if named in claims else min(claims, key=lambda root: (-claims[root], root))
        kept.setdefault(heir, person)
    return kept
