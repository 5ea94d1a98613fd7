"""Assign ids to people: the id of the person's smallest record, which the person keeps in later runs."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from include.identity.record import CLUSTERS, KNOWN, conform

Ints = npt.NDArray[np.int64]


def sort_by_rank(ids: Ints) -> Ints:
    """Sort record ids by their absolute value; a negative id (the second person of a joint record) follows its positive one.

    This order is called the rank of a record.
    """
    return ids[np.lexsort((ids < 0, np.abs(ids)))]


def sort_distinct(ids: Ints) -> Ints:
    """Sort record ids, each of them once. It is much faster than `numpy.unique`, which hashes millions of ids."""
    ids = np.sort(ids)
    is_first = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
    return np.compress(is_first, ids)


def select_distinct_pairs(left: Ints, right: Ints) -> Ints:
    """Return the positions of the distinct pairs, sorted by `left`, then by `right`; of equal pairs, the position of the last one."""
    order = np.lexsort((right, left))  # equal pairs keep their order
    left, right = left[order], right[order]
    is_last = np.append((left[1:] != left[:-1]) | (right[1:] != right[:-1]), True)[: len(order)]
    return np.compress(is_last, order)


def find_positions(ids: Ints, searched: Ints) -> Ints:
    """Return for each searched id its position in `ids`; -1 if it is not there."""
    order = np.argsort(ids)
    if not len(ids):
        return np.full(len(searched), -1)
    at = order[np.minimum(np.searchsorted(ids, searched, sorter=order), len(ids) - 1)]
    return np.where(ids[at] == searched, at, -1)


def assign_ids(ids: Ints, roots: Ints, known: pa.Table | None) -> pa.Table:
    """Assign ids to people, keeping the ids of the previous run.

    If a person is split, the part that contains the record with the person's id keeps the id. If that record no longer exists, the part
    with the most records keeps it. If several people are merged, the smallest id stays.

    Args:
        ids: Record ids, sorted by rank.
        roots: For each record, the position of the first record of its person.
        known: Table with the schema KNOWN: the person of each record in the previous run; None for none.

    Returns:
        CLUSTERS, in the order of `ids`.
    """
    person_ids = ids.copy()
    if known is not None and len(known):
        kept_ids = _keep(ids, roots, conform(known, KNOWN))
        taken = set(kept_ids.values())
        for root in sorted(set(roots.tolist()) - kept_ids.keys()):
            if int(ids[root]) in taken:  # another person kept that id: use the next of its records
                kept_ids[root] = next(int(ids[at]) for at in np.flatnonzero(roots == root) if int(ids[at]) not in taken)
        person_ids[list(kept_ids)] = list(kept_ids.values())
    return pa.table({"record_id": ids, "person_id": person_ids[roots]}, schema=CLUSTERS)


def represent(clusters: pa.Table) -> pa.Table:
    """Return the record that represents each record, as KNOWN: that with the person's id, or else the smallest record of the person.

    The second person of a joint record has no record of its own, and is left out.
    """
    record, person = (clusters[name].to_numpy() for name in CLUSTERS.names)
    record, person = record[record > 0], person[record > 0]
    order = np.argsort(record)
    record, person = record[order], person[order]
    second = np.flatnonzero(person < 0)
    _, first, group = np.unique(person[second], return_index=True, return_inverse=True)
    anchors = person.copy()
    anchors[second] = record[second[first]][group]
    return pa.table([record, anchors], schema=KNOWN)


def _keep(ids: Ints, roots: Ints, known: pa.Table) -> dict[int, int]:
    """Return the ids that people keep, by the position of the person's first record; new people are left out."""
    at = find_positions(ids, known["record_id"].to_numpy())
    before, now = known["person_id"].to_numpy()[at >= 0], roots[at[at >= 0]]
    pairs = select_distinct_pairs(before, now)
    # Most people were neither split nor merged.
    _, at, parts = np.unique(before[pairs], return_index=True, return_counts=True)
    alone = pairs[at[parts == 1]]
    alone = alone[np.bincount(now[pairs], minlength=len(ids))[now[alone]] == 1]
    identity_ids = dict(zip(now[alone].tolist(), before[alone].tolist(), strict=True))
    others = ~np.isin(before, before[alone])
    heirs: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for person, root in zip(before[others].tolist(), now[others].tolist(), strict=True):
        heirs[person][root] += 1
    home = dict(zip(heirs, find_positions(ids, np.array(list(heirs), np.int64)).tolist(), strict=True))
    for person in sorted(heirs, key=lambda each: (abs(each), each < 0)):
        claims = heirs[person]
        root_id = int(roots[home[person]]) if home[person] >= 0 else -1
        heir = root_id if root_id in claims else min(claims, key=lambda root: (-claims[root], root))
        identity_ids.setdefault(heir, person)
    return identity_ids
