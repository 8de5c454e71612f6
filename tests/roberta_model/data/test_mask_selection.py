"""How many tokens are chosen and which, on rows small enough to do it by hand."""

from typing import Any

import numpy as np
import pytest

from roberta_model.data.mask_selection import choose_tokens, choose_words, target_counts
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.recipe import MaskingRecipe

QUARTER = np.uint64(1 << 62)


def quarters(*numbers: int) -> Any:
    """Random bits that stand for so many quarters."""
    return np.array(numbers, dtype=np.uint64) * QUARTER


def keys(*numbers: int) -> Any:
    """Random keys of one row; the low bits are for the positions."""
    return np.array([numbers], dtype=np.uint64) << np.uint64(32)


def test_a_share_of_a_row_is_rounded_at_random_and_is_one_at_least() -> None:
    """15 % of 10 are 1.5: with 1/2 and more it is 2. Of one token it is that one, of none none."""
    sizes_B = np.array([10, 10, 10, 1, 0, 3])
    assert target_counts(sizes_B, 0.15, quarters(1, 2, 3, 0, 3, 0)).tolist() == [1, 2, 2, 1, 0, 1]


def test_no_more_than_all_tokens_are_chosen() -> None:
    assert target_counts(np.array([4, 1, 0]), 1.0, quarters(3, 3, 3)).tolist() == [4, 1, 0]


def test_each_row_has_its_own_number_of_tokens() -> None:
    """The smallest keys of each row, at positions of the flattened batch, ascending."""
    maskable_BT = np.array([[True, True, True, False], [True, True, True, True]])
    keys_BT = np.concatenate([keys(3, 2, 1, 0), keys(9, 1, 5, 3)])
    assert choose_tokens(maskable_BT, np.array([2, 1]), keys_BT).tolist() == [1, 2, 5]
    assert choose_tokens(maskable_BT, np.array([0, 3]), keys_BT).tolist() == [5, 6, 7]
    assert choose_tokens(maskable_BT, np.array([0, 0]), keys_BT).tolist() == []


def test_of_equal_keys_the_first_position_comes_first() -> None:
    """Low bits of a key are the position's: whatever they were drawn as, they decide nothing."""
    maskable_BT = np.ones((1, 3), dtype=bool)
    same: Any = keys(7, 7, 7) | np.array([[9, 5, 1]], dtype=np.uint64)
    assert choose_tokens(maskable_BT, np.array([2]), same).tolist() == [0, 1]


def words_of(count: int, arc: int, *sizes: int) -> tuple[list[int], list[int]]:
    """Of a row of words of these sizes, in this order: the positions chosen, and their words'."""
    starts_BT = np.zeros((1, sum(sizes)), dtype=bool)
    starts_BT[0, np.cumsum([0, *sizes[:-1]])] = True
    all_BT = np.ones_like(starts_BT)
    counts_B, keys_BT = np.array([count]), keys(*range(sum(sizes)))
    found = choose_words(starts_BT, all_BT, counts_B, keys_BT, quarters(arc), 8)
    return found[0].tolist(), found[1].tolist()


@pytest.mark.parametrize(
    ("count", "arc", "chosen"),
    [
        (1, 0, [0, 1]),  # an arc of [0, 1): the first word starts in it
        (2, 0, [0, 1]),  # [0, 2): the second starts at 2, which is outside
        (3, 0, [0, 1, 2, 3]),
        (2, 1, [2, 3]),  # [2, 4)
        (2, 3, [6, 7]),  # [6, 8)
        (3, 3, [0, 1, 6, 7]),  # [6, 9), which is [0, 1) as well
        (8, 2, list(range(8))),
        (0, 2, []),
    ],
)
def test_words_that_start_within_the_arc_are_chosen(
    count: int, arc: int, chosen: list[int]
) -> None:
    """Four words of two tokens, in order; an arc begins after so many quarters of them."""
    words = [position // 2 * 2 for position in chosen]
    assert words_of(count, arc, 2, 2, 2, 2) == (chosen, words)


def test_where_no_word_starts_within_the_arc_the_first_in_the_order_is_taken() -> None:
    """Of a word of seven tokens and one of one, an arc of [2, 3) holds no start."""
    assert words_of(1, 1, 7, 1) == ([0, 1, 2, 3, 4, 5, 6], [0] * 7)


@pytest.mark.parametrize(
    ("size", "pieces"),
    [(8, [8]), (9, [8, 1]), (16, [8, 8]), (17, [8, 8, 1])],
)
def test_a_longer_word_is_cut_into_pieces_of_the_most(size: int, pieces: list[int]) -> None:
    """The first one is chosen where it comes first in the order, the last where that does."""
    assert words_of(1, 0, size) == (list(range(pieces[0])), [0] * pieces[0])
    start = size - pieces[-1]
    starts_BT = np.arange(size)[None] == 0
    backwards = keys(*range(size, 0, -1))
    positions_M, words_M = choose_words(
        starts_BT, np.ones_like(starts_BT), np.array([1]), backwards, quarters(0), 8
    )
    assert positions_M.tolist() == list(range(start, size))
    assert words_M.tolist() == [start] * pieces[-1]


def test_rows_at_the_limit_can_be_masked_and_longer_ones_are_refused() -> None:
    """A position must fit into the low 16 bits of its key."""
    tables = MaskingTables.from_vocabulary(["<s>", "<pad>", "</s>", "<unk>", "a", "<mask>"])
    masking = Masking(tables, MaskingRecipe(rate=1.0), 0)
    zero = np.zeros(1, dtype=np.int64)
    longest = np.full((1, 1 << 16), 4, dtype=np.uint16)
    assert len(masking.hide(longest, None, zero, zero).positions_M) == 1 << 16
    with pytest.raises(ValueError, match="rows of 65537 tokens are too long to mask"):
        masking.hide(np.full((1, (1 << 16) + 1), 4, dtype=np.uint16), None, zero, zero)


def test_a_mask_outside_the_vocabulary_is_refused() -> None:
    words = ["<s>", "<pad>", "</s>", "<unk>", "a"]
    for mask in (-1, 5):
        with pytest.raises(ValueError, match=f"<mask> has id {mask}, outside of 5 tokens"):
            MaskingTables.from_vocabulary(words, mask_id=mask)
    with pytest.raises(ValueError, match="every token of the vocabulary is special"):
        MaskingTables.from_vocabulary(words, special_ids=(0, 1, 2, 3), mask_id=4)


def test_a_token_that_is_missing_or_misspelt_is_never_chosen_or_drawn() -> None:
    """An id without a token, an empty one, and one with a letter that stands for no byte."""
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", None, "", "b\u4e2d", "c", "<mask>"]
    tables = MaskingTables.from_vocabulary(words)
    assert tables.drawable_ids.tolist() == [4, 8]
    assert tables.special_ids.tolist() == [0, 1, 2, 3, 5, 6, 7, 9]
    given = MaskingTables.from_vocabulary(words, mask_id=4)
    assert (given.mask_id, given.drawable_ids.tolist()) == (4, [8, 9])


# Only the first ordinary token can begin a word, so words have any length one likes.
CHAINS = MaskingTables.from_vocabulary(
    ["<s>", "<pad>", "</s>", "<unk>", "\u0120a", *"bcdefghijkl", "<mask>"]
)


def of_words(mask_share: float, random_share: float) -> tuple[Any, Any]:
    """Rows of words of four tokens after masking, word by word, and which tokens are chosen."""
    rows = np.arange(60)
    tokens_BT = np.tile([4, 5, 5, 5], (60, 5))
    recipe = MaskingRecipe(0.3, None, True, mask_share, random_share)
    ids_BT, positions_M, _ = Masking(CHAINS, recipe, 0).hide(tokens_BT, None, rows * 0, rows)
    is_chosen = np.zeros(tokens_BT.size, dtype=bool)
    is_chosen[positions_M] = True
    return ids_BT.reshape(-1, 4), is_chosen.reshape(-1, 4)


def test_a_word_has_one_fate() -> None:
    """All of it is hidden or all of it stays, with a chance of one half."""
    ids, is_chosen = of_words(0.5, 0.0)
    chosen = is_chosen.any(axis=1)
    assert is_chosen[chosen].all()
    num_hidden = (ids[chosen] == CHAINS.mask_id).sum(axis=1)
    assert set(num_hidden.tolist()) == {0, 4}


def test_each_token_of_a_swapped_word_is_drawn_anew() -> None:
    """Else a word would become one token four times."""
    ids, is_chosen = of_words(0.0, 1.0)
    swapped = ids[is_chosen.all(axis=1)]
    assert len(swapped) > 40
    assert sum(len(set(word)) == 1 for word in swapped.tolist()) < 5
