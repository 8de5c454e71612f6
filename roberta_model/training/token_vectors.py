"""What a token is, by the company it keeps: word embeddings from counts, without training.

    packed rows ──▶ how often token v stands 1 or 2 places before, after context c   X [V, 2C]
                ──▶ log(1 + X), divided by the roots of both margins
                ──▶ its leading left singular vectors, the first left out, one row a token

Tokens that stand between the same neighbours get near vectors, which a masked LM would else
find out first (Schütze 1993; Levy and Goldberg 2014 on counts and embeddings). The first
singular vector is only the tokens' frequency. Contexts are the commonest tokens, as many as the
memory allows, and a large corpus is sampled: cost is bounded for any corpus and vocabulary.

Shape letters: V vocabulary, C contexts, n dimensions of the vectors.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from roberta_model.data.rows import PackedRows

DISTANCES = {1: 1.0, 2: 0.5}  # how much a neighbour at a distance counts
MAX_TOKENS = 1 << 24
MAX_CELLS = 1 << 26  # fp32 numbers of X: 256 MB
MAX_CONTEXTS = 2048
_CHUNK_TOKENS = 1 << 20
_SPARE_DIMENSIONS = 8
_NUM_ITERATIONS = 4


def token_vectors(
    rows: PackedRows,
    counts_V: NDArray[np.int64],
    is_special_V: NDArray[np.bool_],
    num_dimensions: int,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Vectors of unit variance for every token that has neighbours; the others' are zero.

    Args:
        rows: The training rows; at most MAX_TOKENS of their tokens are read, spread evenly.
        counts_V: How often each token is among them.
        is_special_V: Tokens that are neither described nor contexts.
        num_dimensions: n; where the corpus gives fewer, the columns beyond are missing.
        seed: Of the random projection that the decomposition begins with.

    Returns:
        float32 [V, at most n].
    """
    V = len(counts_V)
    contexts = _contexts(counts_V, is_special_V)
    if not len(contexts):
        return np.zeros((V, 0), dtype=np.float32)
    X = _cooccurrences(rows, contexts, is_special_V)
    np.log1p(X, out=X)
    margins_V, margins_C = X.sum(axis=1), X.sum(axis=0)
    X /= np.sqrt(np.maximum(margins_V, 1e-9))[:, None]
    X /= np.sqrt(np.maximum(margins_C, 1e-9))[None, :]
    wanted = min(num_dimensions + 1, *X.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = min(wanted + _SPARE_DIMENSIONS, *X.shape)
        left, _, _ = torch.svd_lowrank(torch.from_numpy(X), q=size, niter=_NUM_ITERATIONS)
    vectors = left[:, 1:wanted].numpy()
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(wanted - 1)])
    sizes_V = np.sqrt(np.square(vectors).mean(axis=1))
    known_V = (margins_V > 0) & (sizes_V > 0)
    unit = np.zeros((V, wanted - 1), dtype=np.float32)
    unit[known_V] = vectors[known_V] / sizes_V[known_V, None]
    return unit


def _contexts(counts_V: NDArray[np.int64], is_special_V: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The commonest ordinary tokens, the smaller id first among equals."""
    V = len(counts_V)
    num_contexts = min(MAX_CONTEXTS, MAX_CELLS // (2 * V))
    usable_V = np.where(is_special_V, 0, counts_V)
    ranked = np.argsort(-usable_V, kind="stable")[:num_contexts]
    return ranked[usable_V[ranked] > 0]


def _cooccurrences(
    rows: PackedRows, contexts: NDArray[np.int64], is_special_V: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """X [V, 2C]: weighted counts of each context before a token (left half) and after it."""
    V, C = len(is_special_V), len(contexts)
    place_V = np.full(V, -1, dtype=np.int64)
    place_V[contexts] = np.arange(C)
    X = np.zeros((V, 2 * C), dtype=np.float32)
    num_rows = min(rows.num_rows, max(1, MAX_TOKENS // max(1, rows.row_tokens)))
    numbers = np.arange(num_rows, dtype=np.int64) * rows.num_rows // num_rows
    step = max(1, _CHUNK_TOKENS // max(1, rows.row_tokens))
    for start in range(0, num_rows, step):
        chosen = numbers[start : start + step]
        tokens = rows.tokens(chosen).astype(np.int64)
        is_word = ~is_special_V[tokens]
        is_word &= np.arange(rows.row_tokens) < rows.lengths(chosen)[:, None]
        for distance, weight in DISTANCES.items():
            both = is_word[:, :-distance] & is_word[:, distance:]
            first, second = tokens[:, :-distance][both], tokens[:, distance:][both]
            for token, context, half in ((second, first, 0), (first, second, C)):
                place = place_V[context]
                counted = place >= 0
                cells = token[counted] * (2 * C) + place[counted] + half
                np.add.at(X.reshape(-1), cells, np.float32(weight))
    return X
