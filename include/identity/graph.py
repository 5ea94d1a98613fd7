"""Find the nodes that edges connect with some nodes. Nodes are numbers from 0; a set of nodes is a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from include.identity.people import Ints

Mask = npt.NDArray[np.bool_]
Edges = tuple[Ints, Ints]


def grow(marked: Mask, edges: Edges) -> Mask:
    """Return the marked nodes with all nodes that edges connect with them, over any number of steps."""
    grown, count = marked.copy(), -1
    while (size := int(grown.sum())) > count:
        count = size
        grown |= spread(grown, edges)
    return grown


def spread(marked: Mask, edges: Edges) -> Mask:
    """Return the ends of the edges that have a marked end."""
    left, right = edges
    meets = marked[left] | marked[right]
    reached = np.zeros_like(marked)
    reached[left[meets]] = reached[right[meets]] = True
    return reached


def label(count: int, edges: Edges) -> Ints:
    """Return for each node the smallest node that edges connect with it, over any number of steps."""
    labels, (left, right) = np.arange(count), edges
    while True:
        before, least = labels, np.minimum(labels[left], labels[right])
        labels = labels.copy()
        np.minimum.at(labels, left, least)
        np.minimum.at(labels, right, least)
        labels = labels[labels]
        if (labels == before).all():
            return labels
