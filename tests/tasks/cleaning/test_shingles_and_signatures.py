"""Hashes that decide what is a duplicate: the same numbers on every machine and in every year."""

import numpy as np
import pytest

from tasks.cleaning import shingles
from tasks.cleaning.minhash import MinHasher, band_keys, band_shape
from tasks.cleaning.near_pairs import near_edges
from tasks.cleaning.shingles import ShingleHasher

HASHER = ShingleHasher()


def hashes(text: str) -> list[int]:
    found: list[int] = HASHER.shingles(text).tolist()
    return found


def test_the_numbers_are_what_they_always_were() -> None:
    """Others would make other duplicates of the same corpus."""
    assert hashes("one two three four five six") == [835595122071527612, 12002890092680862775]
    assert hashes("one") == [17680141597312669350]
    few, many = np.arange(3, dtype=np.uint64), np.arange(3000, dtype=np.uint64)
    assert MinHasher(4).sign(few).tolist() == [930044381, 665008188, 768095414, 545243851]
    assert MinHasher(2).sign(many).tolist() == [432385, 893166]
    signature = np.array([[1, 2, 3, 4]], dtype=np.uint32)
    assert band_keys(signature, 0, 2).tolist() == [4354685565462078397]
    assert band_keys(signature, 1, 2).tolist() == [6902214405387294080]


def test_a_shingle_is_five_words_in_their_order() -> None:
    """One more word is one more shingle; of fewer than five all make one."""
    counts = [len(hashes(" ".join("abcdefgh"[:n]))) for n in range(9)]
    assert counts == [1, 1, 1, 1, 1, 1, 2, 3, 4]
    assert hashes("a b c d e x")[0] == hashes("a b c d e y")[0]
    assert hashes("a b c d e x")[1] != hashes("a b c d e y")[1]
    assert (
        len({hashes(text)[0] for text in ("a b c d e", "b a c d e", "a b c e d", "a b c d")}) == 4
    )


def test_neither_case_nor_spacing_tells_shingles_apart() -> None:
    assert hashes("The  OLD\nhouse Is Éloigné") == hashes("the old house is éloigné")


def test_text_of_very_long_words_is_taken_character_by_character() -> None:
    """From a mean of more than sixteen characters a word, spaces between them counted."""
    assert len(hashes("x" * 16)) == 1
    assert len(hashes("x" * 17)) == 13
    assert len(hashes("x" * 15 + " " + "y" * 16)) == 1
    assert len(hashes("x" * 16 + " " + "y" * 16)) == 28
    assert len(hashes("北京是中华人民共和国的首都也是政治")) == 13


def test_a_zero_character_is_not_nothing() -> None:
    """Else texts of different lengths would share their only shingle."""
    assert HASHER.shingles("\0" * 17)[0] != HASHER.shingles("")[0]


def test_a_full_memory_of_words_changes_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shingles, "_MOST_WORDS_KNOWN", 2)
    forgetful, texts = ShingleHasher(), ["a b c d e f", "c d e f g h", "a b c d e f"]
    assert [forgetful.shingles(text).tolist() for text in texts] == [hashes(t) for t in texts]


def test_a_long_texts_signature_is_the_least_of_its_parts() -> None:
    """Parts of a thousand shingles are hashed at a time; none is left out, wherever it stands."""
    hasher = MinHasher(16)
    numbers = np.random.default_rng(0).integers(0, 2**64, 2500, dtype=np.uint64)
    parts = [hasher.sign(part) for part in np.split(np.sort(numbers), [700, 1024, 1025, 2048])]
    assert np.array_equal(hasher.sign(numbers), np.min(parts, axis=0))


@pytest.mark.parametrize(
    ("threshold", "num_hashes", "shape"),
    [(0.5, 64, (32, 2)), (0.7, 48, (12, 4)), (0.8, 128, (18, 7)), (0.9, 128, (10, 12))],
)
def test_bands_are_as_wide_as_they_may_be(
    threshold: float, num_hashes: int, shape: tuple[int, int]
) -> None:
    """One number more in each, and more than one pair in twenty would be missed."""
    assert band_shape(threshold, num_hashes) == shape
    width = shape[1] + 1
    assert 1 - (1 - threshold**width) ** (num_hashes // width) < 0.95


def test_where_no_bands_find_enough_each_number_is_one() -> None:
    assert band_shape(0.01, 4) == (4, 1)


def test_equal_parts_in_different_bands_do_not_meet() -> None:
    """A key says which band it is of."""
    signatures = np.array([[7, 8, 7, 8]], dtype=np.uint32)
    assert band_keys(signatures, 0, 2) != band_keys(signatures, 1, 2)


def test_order_and_every_place_of_a_band_count() -> None:
    rows = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 4], [9, 2, 3]], dtype=np.uint32)
    assert len(set(band_keys(rows, 0, 3).tolist())) == 4


@pytest.mark.parametrize("num_copies", [2, 8, 9])
def test_signatures_that_agree_in_just_the_threshold_are_near(num_copies: int) -> None:
    """In small buckets, where all pairs are compared, and in large ones."""
    rows = np.zeros((num_copies, 4), dtype=np.uint32)
    rows[-1, 0] = 1
    for threshold, joined in ((0.75, num_copies), (0.76, num_copies - 1)):
        edges = near_edges(np.zeros(num_copies, dtype=np.uint64), [rows], threshold)
        assert len({0, *edges.reshape(-1).tolist()}) == joined


def test_more_pairs_than_are_compared_at_once_lose_none() -> None:
    """Five thousand buckets of two."""
    rows = np.repeat(np.arange(5000, dtype=np.uint32), 2)[:, None]
    edges = near_edges(rows[:, 0].astype(np.uint64), [rows[:3], rows[3:]], 0.5)
    assert edges.tolist() == [[2 * n, 2 * n + 1] for n in range(5000)]


def test_documents_without_a_common_key_are_never_compared() -> None:
    rows = np.zeros((2, 4), dtype=np.uint32)
    assert near_edges(np.array([1, 2], dtype=np.uint64), [rows], 0.5).shape == (0, 2)
