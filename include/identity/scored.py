"""The scored pairs of records, in the order in which they are joined."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import people
from include.identity.policy import Policy

Ints = npt.NDArray[np.int64]

EXCUSABLE = ("tax id", "birth date")
"""Evidence that may be an error in one of the two records. Bit n of `excuse` states that the n-th does not keep the pair apart."""

EVIDENT = 2 ** len(EXCUSABLE)
"""Bit of `excuse`: nothing keeps the pair apart, because both systems have the same key of the person."""

EXCUSES = tuple(frozenset(name for at, name in enumerate(EXCUSABLE) if bits >> at & 1) for bits in range(2 * EVIDENT))
"""The names of the evidence that does not keep a pair apart, by `excuse`."""


class Scored:
    """The scored pairs of records: pairs that share a key first, then the most certain first.

    Attributes:
        table: LINKS, with the column `excuse`.
        left: Position of each pair's first record in the order of `people.sort_by_rank`.
        right: Position of each pair's second record, which is larger.
        score: Score of each pair.
        excuse: Which evidence against the pair is disregarded, because it may be an error in a record: position in `EXCUSES`.
        may_join: Whether the pair may be joined without a reviewer.
    """

    def __init__(self, scored: pa.Table, ids: Ints, policy: Policy) -> None:
        ends = np.sort([people.find_positions(ids, scored[side].to_numpy()) for side in ("left", "right")], axis=0)
        is_key = pc.equal(scored["how"], "key").to_numpy()
        order = np.lexsort((ends[1], ends[0], -scored["score"].to_numpy(), ~is_key))
        turned = scored.set_column(0, "left", pa.array(ids[ends[0]])).set_column(1, "right", pa.array(ids[ends[1]]))
        self.table = turned.take(order)
        self.left, self.right = ends[0][order], ends[1][order]
        self.score = self.table["score"].to_numpy()
        self.excuse = self.table["excuse"].to_numpy()
        self.may_join = self.score >= policy.link_score
