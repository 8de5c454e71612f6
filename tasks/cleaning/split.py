"""The fate of every document: train, held out, or a repeat of an earlier one.

Documents are numbered in the corpus's order; of repeats the first stays. What is held out
follows from a document's id and the seed, so it stays held out when the corpus grows.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

TRAIN, HELD_OUT, EXACT, NEAR = 0, 1, 2, 3
REASONS = {EXACT: "exact_duplicate", NEAR: "near_duplicate"}

Fates = NDArray[np.uint8]


def mark_exact(fates: Fates, contents: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Mark documents whose content hash ([n, 16]) was seen before.

    Returns the number of the first document with the same content, for each document.
    """
    if not len(contents):
        return np.zeros(0, dtype=np.int64)
    keys = np.ascontiguousarray(contents).view("V16").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    originals = first[inverse].astype(np.int64)
    fates[originals != np.arange(len(keys))] = EXACT
    return originals


def mark_near(fates: Fates, edges: NDArray[np.int64], originals: NDArray[np.int64]) -> None:
    """Mark documents joined to an earlier one by edges, directly or by way of others.

    An exact repeat stands for its original: what is near to the one is near to the other.
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

    for left, right in originals[edges].tolist():
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    for node in list(parent):
        if root(node) != node:
            fates[node] = NEAR


def hold_out(fates: Fates, ids: NDArray[np.uint8], shares: NDArray[np.float64], seed: int) -> None:
    """Hold out the share of the documents that each one's source asks for.

    When a share is asked for but chance holds out nothing, the one that came closest is taken,
    so a small corpus can be evaluated too. A corpus of one document keeps it for training.
    """
    candidates = np.flatnonzero((fates == TRAIN) & (shares > 0))
    draws = np.array([draw(ids[i].tobytes(), seed) for i in candidates])
    chosen = candidates[draws < shares[candidates]] if len(candidates) else candidates
    if not len(chosen) and len(candidates) and int((fates == TRAIN).sum()) > 1:
        chosen = candidates[[int(np.argmin(draws / shares[candidates]))]]
    fates[chosen] = HELD_OUT


def draw(document_id: bytes, seed: int) -> float:
    """A number in [0, 1) that follows from a document's id and the seed."""
    digest = blake2b(document_id, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2**64
