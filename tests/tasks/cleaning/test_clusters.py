"""Clusters by hand: who stands for whom, who is joined to whom, and who is kept."""

import numpy as np

from tasks.cleaning.clusters import best_of_each, first_of_same, join

NONE = np.zeros((0, 2), dtype=np.int64)


def ids(letters: str) -> np.ndarray:
    """Ids that differ in their last byte alone."""
    return np.array([[0] * 15 + [ord(letter)] for letter in letters], dtype=np.uint8)


def test_each_document_is_led_to_the_first_that_says_the_same() -> None:
    assert first_of_same(ids("BACABB")).tolist() == [0, 1, 2, 1, 0, 0]
    assert first_of_same(np.zeros((0, 16), dtype=np.uint8)).tolist() == []


def test_ids_that_differ_in_any_byte_are_of_different_documents() -> None:
    rows = np.zeros((17, 16), dtype=np.uint8)
    rows[np.arange(1, 17), np.arange(16)] = 1
    assert first_of_same(rows).tolist() == list(range(17))


def test_a_copy_is_near_to_all_that_its_first_is_near_to() -> None:
    """A B A C D with B like the second A: three are joined through it."""
    firsts = first_of_same(ids("ABACD"))
    assert join(firsts, np.array([[1, 2]])).tolist() == [0, 0, 0, 3, 4]
    assert join(firsts, NONE).tolist() == [0, 1, 0, 3, 4]
    assert join(first_of_same(ids("ABBC")), np.array([[2, 0]])).tolist() == [0, 0, 0, 3]


def test_chains_are_one_cluster_named_by_its_lowest_number() -> None:
    """In whatever order and direction their links come."""
    links = [[5, 4], [3, 2], [4, 3], [1, 7]]
    for edges in (links, links[::-1], [link[::-1] for link in links]):
        assert join(np.arange(8), np.array(edges)).tolist() == [0, 1, 2, 2, 2, 2, 6, 1]


def test_of_each_group_that_is_kept_which_comes_first_in_order() -> None:
    groups, order = np.array([7, 7, 3, 7, 3]), np.array([4, 3, 0, 1, 2])
    assert best_of_each(groups, order).tolist() == [False, False, False, True, True]
