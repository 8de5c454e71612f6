"""Which documents are near duplicates of one another: all of them, in whatever order they come.

Documents with one band key lie in one bucket. To compare each with the first of its bucket only
would miss two that are alike when a third, unlike both, happens to stand before them, and then
text added elsewhere could part a held-out document from its copy. So a bucket is searched until
no unvisited document is like a visited one. That takes one comparison a document where all are
alike, as duplicates mostly are, and all pairs where none is.

    bucket A B C D, A~C and C~D alike        frontier   unvisited   found
                                             A          B C D       C
                                             C          B D         D
                                             D          B           none: A C D are joined
                                             B                      the search begins again at B
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.shingles import Hashes

Edges = NDArray[np.int64]
Signatures = NDArray[np.uint32]

# In smaller buckets all pairs are compared at once; most buckets hold two documents.
_SMALL_BUCKET = 8
_PAIRS_AT_ONCE = 1 << 12


def near_edges(keys: Hashes, signatures: Sequence[Signatures], threshold: float) -> Edges:
    """Pairs [edges, 2] of near duplicates that meet in one band, enough to join them all.

    Args:
        keys: The documents' keys for the band, [documents].
        signatures: Those of consecutive documents, file after file, mapped or in memory.
        threshold: Share of places in which the signatures of near duplicates agree.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(np.append(starts, len(ordered)))
    found = [_similar(pairs, signatures, threshold) for pairs in _small_pairs(order, starts, sizes)]
    for bucket in np.flatnonzero(sizes > _SMALL_BUCKET):
        members = order[starts[bucket] : starts[bucket] + sizes[bucket]]
        found.append(members[_search(_gather(signatures, members), threshold)])
    edges = np.concatenate([np.zeros((0, 2), dtype=np.int64), *found])
    return np.unique(np.sort(edges, axis=1), axis=0)


def _small_pairs(order: NDArray[np.int64], starts: Edges, sizes: Edges) -> Iterator[Edges]:
    """All pairs of documents in small buckets, by how far apart they stand in their bucket."""
    for distance in range(1, _SMALL_BUCKET):
        chosen = (sizes > distance) & (sizes <= _SMALL_BUCKET)
        times = sizes[chosen] - distance
        firsts = np.repeat(starts[chosen], times)
        within = np.arange(len(firsts)) - np.repeat(np.cumsum(times) - times, times)
        places = firsts + within
        yield np.stack([order[places], order[places + distance]], axis=1)


def _similar(pairs: Edges, signatures: Sequence[Signatures], threshold: float) -> Edges:
    """Those of the pairs that are near duplicates."""
    keep = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        left, right = (_gather(signatures, pairs[part, side]) for side in (0, 1))
        keep[part] = _agree(left, right, threshold)
    return pairs[keep]


def _agree(left: Signatures, right: Signatures, threshold: float) -> NDArray[np.bool_]:
    """Whether signatures agree in enough places, row by row; one row may face many."""
    return np.asarray((left == right).mean(axis=1) >= threshold)


def _search(signatures_DH: Signatures, threshold: float) -> Edges:
    """Pairs of rows that join all near duplicates of one bucket: a tree for each cluster."""
    rows = signatures_DH.view(f"V{signatures_DH.itemsize * signatures_DH.shape[1]}").reshape(-1)
    _, firsts, same = np.unique(rows, return_index=True, return_inverse=True)
    copies = np.stack([firsts[same], np.arange(len(rows))], axis=1)
    different = firsts[_search_different(signatures_DH[firsts], threshold)]
    return np.concatenate([copies[copies[:, 0] != copies[:, 1]], different])


def _search_different(signatures_DH: Signatures, threshold: float) -> Edges:
    """As `_search`, for rows of which no two are equal: here each pair may cost a comparison."""
    edges: list[tuple[int, int]] = []
    unvisited = np.arange(len(signatures_DH))
    rest_DH, frontier = signatures_DH, list[int]()
    while len(unvisited):
        if not frontier:
            frontier, unvisited, rest_DH = [int(unvisited[0])], unvisited[1:], rest_DH[1:]
        node = frontier.pop()
        alike = _agree(rest_DH, signatures_DH[node], threshold)
        if alike.any():
            new = unvisited[alike].tolist()
            edges += [(node, other) for other in new]
            frontier += new
            unvisited, rest_DH = unvisited[~alike], rest_DH[~alike]
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def _gather(parts: Sequence[Signatures], documents: NDArray[np.int64]) -> Signatures:
    """The signatures of some documents, which are numbered over all parts."""
    ends = np.cumsum([len(part) for part in parts])
    which = np.searchsorted(ends, documents, side="right")
    gathered = np.empty((len(documents), parts[0].shape[1]), dtype=np.uint32)
    for number in np.unique(which):
        places = np.flatnonzero(which == number)
        gathered[places] = parts[number][documents[places] - (ends[number] - len(parts[number]))]
    return gathered
