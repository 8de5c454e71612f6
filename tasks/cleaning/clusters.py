"""Clusters: documents that say the same, or nearly so, whatever leads from one to the other.

    ids A B A C D, near duplicates (1, 3)   ──▶   clusters 0 1 0 1 4

A cluster is named by its lowest number. Which documents share one does not depend on the order
of documents or pairs; numbers only serve to name it.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]  # one for each document, or a list of documents


def first_of_same(ids: NDArray[np.uint8]) -> Numbers:
    """For each document the number of the first one with its id, [documents]."""
    if not len(ids):
        return np.zeros(0, dtype=np.int64)
    keys = np.ascontiguousarray(ids).view(f"V{ids.shape[1]}").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def join(firsts: Numbers, edges: Numbers) -> Numbers:
    """The cluster of each document, [documents].

    Args:
        firsts: For each document the first one that says the same; a document stands for all
            that say the same, so what is near to one is near to all.
        edges: Pairs of near duplicates, [edges, 2].
    """
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        path = []
        while (above := parent.get(node, node)) != node:
            path.append(node)
            node = above
        for below in path:
            parent[below] = node
        return node

    for left, right in firsts[edges].tolist():
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    clusters = firsts.copy()
    moved = list(parent)
    clusters[moved] = [root(node) for node in moved]
    return clusters[firsts]


def best_of_each(groups: Numbers, order: Numbers) -> NDArray[np.bool_]:
    """Marks in each group the document that comes first in `order`, [documents]."""
    _, places = np.unique(groups[order], return_index=True)
    is_best = np.zeros(len(groups), dtype=bool)
    is_best[order[places]] = True
    return is_best
