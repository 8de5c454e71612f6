"""Near duplicates are found completely and in any order, in small buckets and large."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cleaning import near_pairs
from tasks.cleaning.clusters import join
from tasks.cleaning.near_pairs import near_edges

THRESHOLD = 0.75
# Few different numbers in a signature, so that many agree in part and some in enough places.
SIGNATURES = st.lists(st.lists(st.integers(0, 1), min_size=8, max_size=8), max_size=24)
KEYS = st.lists(st.integers(0, 2), min_size=24, max_size=24)


def clusters(edges: np.ndarray, count: int) -> list[int]:
    joined: list[int] = join(np.arange(count), edges).tolist()
    return joined


def plainly(keys: np.ndarray, signatures: np.ndarray) -> np.ndarray:
    """All pairs with one key that agree in enough places, the slow and plain way."""
    pairs = [
        (i, j)
        for i, j in itertools.combinations(range(len(keys)), 2)
        if keys[i] == keys[j] and (signatures[i] == signatures[j]).mean() >= THRESHOLD
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


@pytest.mark.parametrize("small_bucket", [2, 8])
@given(rows=SIGNATURES, numbers=KEYS, order=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_exactly_those_are_joined_that_a_chain_of_near_duplicates_joins(
    small_bucket: int, rows: list[list[int]], numbers: list[int], order: object
) -> None:
    """Whichever documents stand before them in the bucket, and whatever file they came from."""
    signatures = np.array(rows, dtype=np.uint32).reshape(-1, 8)
    keys = np.array(numbers[: len(rows)], dtype=np.uint64)
    parts = [signatures[: len(rows) // 3], signatures[len(rows) // 3 :]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_pairs, "_SMALL_BUCKET", small_bucket)
        edges = near_edges(keys, parts, THRESHOLD)
    expected = plainly(keys, signatures)
    assert clusters(edges, len(rows)) == clusters(expected, len(rows))
    assert len({tuple(edge) for edge in edges.tolist()}) == len(edges)


def test_documents_unlike_both_do_not_hide_a_pair() -> None:
    """B and C are alike; A stands first in their bucket, and X between them."""
    rows = np.array([[1] * 8, [2] * 8, [3] * 8, [2] * 7 + [9]], dtype=np.uint32)
    assert near_edges(np.zeros(4, dtype=np.uint64), [rows], THRESHOLD).tolist() == [[1, 3]]


def test_a_bucket_of_copies_costs_a_comparison_each() -> None:
    """Boilerplate that a hundred thousand documents consist of is no reason to wait."""
    rows = np.tile(np.arange(128, dtype=np.uint32), (100_000, 1))
    rows[::2, 0] = np.arange(50_000)
    edges = near_edges(np.zeros(len(rows), dtype=np.uint64), [rows], 0.8)
    assert len(edges) == len(rows) - 1
