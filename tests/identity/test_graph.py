"""Nodes that edges connect."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from include.identity.graph import grow, label

NODES = 8


@given(st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)), max_size=NODES))
def test_a_label_is_the_smallest_connected_node(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    labels = label(NODES, (left, right)).tolist()
    connected = [grow(np.arange(NODES) == node, (left, right)) for node in range(NODES)]
    assert labels == [int(np.flatnonzero(each)[0]) for each in connected]


def test_without_nodes_there_are_no_labels() -> None:
    none = np.array([], np.int64)
    assert label(0, (none, none)).tolist() == []
