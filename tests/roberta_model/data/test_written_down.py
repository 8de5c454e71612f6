"""Draws that were written down once: an upgrade amid a training must change none of them.

The first number is SplitMix64's published first one; the others are what earlier versions gave.
"""

import numpy as np
from small_models import byte_tables, small_config

from roberta_model.data.masking import Masking
from roberta_model.data.ordering import SampleOrder, row_at
from roberta_model.data.randomness import mix_in, random_bits, uniform, unit_interval
from roberta_model.recipe import MaskingRecipe
from roberta_model.training.start import position_frequencies

TABLES = byte_tables(740)
TOKENS_BT = np.arange(300, 380, dtype=np.uint16).reshape(2, 40)


def test_the_hash_is_splitmix64() -> None:
    """Its first output for the seed 0 is the published one."""
    (found,) = mix_in(np.zeros(1, dtype=np.uint64), 0)
    assert int(found) == 0xE220A8397B1DCDAF


def test_bits_follow_from_seed_purpose_and_every_index() -> None:
    found = random_bits(7, "masking", np.array([0, 1]), np.array([3, 4]))
    assert [int(bits) for bits in found] == [0xCB2C42C129B95BF4, 0x58DE6713605F8B7B]
    assert int(random_bits(7, "masking")[0]) == 0x6A15F8DFF7F38947
    assert uniform(7, 3, 5).round(8).tolist() == [0.76519875]
    others = {
        int(bits[0])
        for bits in (
            random_bits(7, "a", 1, 2),
            random_bits(8, "a", 1, 2),
            random_bits(7, "b", 1, 2),
            random_bits(7, "a", 2, 1),
            random_bits(7, "a", 1),
            random_bits(7, "a", 0, 2),
            random_bits(7, "a", 1, 3),
        )
    }
    assert len(others) == 7


def test_bits_become_numbers_below_one() -> None:
    """By the top 53: all bits set are still less than 1."""
    bits = np.array([0, 1 << 63, (1 << 64) - 1, (1 << 11) - 1], dtype=np.uint64)
    assert unit_interval(bits).tolist() == [0.0, 0.5, 1 - 2.0**-53, 0.0]


def test_the_order_of_rows() -> None:
    """Of three epochs and seeds, and of batches that cross the end of an epoch."""
    places = np.arange(11)
    assert row_at(3, 0, places, 11).tolist() == [3, 4, 1, 8, 5, 6, 10, 7, 2, 0, 9]
    assert row_at(3, 1, places, 11).tolist() == [7, 6, 9, 1, 3, 10, 0, 8, 2, 4, 5]
    assert row_at(4, 0, places, 11).tolist() == [1, 4, 5, 3, 9, 7, 0, 8, 6, 2, 10]
    order = SampleOrder(3, 5, 4)
    steps = [[part.tolist() for part in order.rows_of(step)] for step in range(3)]
    assert steps == [
        [[0, 0, 0, 0], [4, 2, 0, 3]],
        [[0, 1, 1, 1], [1, 0, 4, 3]],
        [[1, 1, 2, 2], [1, 2, 2, 3]],
    ]
    assert [part.tolist() for part in order.rows_of(1, 1, 3)] == [[1, 1], [0, 4]]


def hidden(whole_word: bool) -> tuple[list[int], list[int]]:
    """Where two rows of two epochs are hidden, and what stands there then."""
    recipe = MaskingRecipe(rate=0.25, whole_word=whole_word, mask_share=0.5, random_share=0.3)
    rows, epochs = np.array([3, 70_000]), np.array([0, 9])
    ids_BT, positions_M, targets_M = Masking(TABLES, recipe, 1).hide(TOKENS_BT, None, epochs, rows)
    assert targets_M.tolist() == (positions_M + 300).tolist()
    return positions_M.tolist(), ids_BT.reshape(-1)[positions_M].tolist()


def test_masks_of_single_tokens_and_what_replaces_them() -> None:
    """1000 is <mask>; of the others some are drawn and some are left as they were."""
    at, placed = hidden(whole_word=False)
    assert at == [
        *(3, 8, 10, 17, 20, 23, 26, 27, 29, 36),
        *(40, 43, 46, 47, 49, 51, 66, 69, 74, 75),
    ]
    first = [303, 308, 310, 859, 1000, 1000, 1000, 1000, 1000, 1000]
    assert placed == [*first, *(1000, 14, 1000, 75, 176, 311, 1000, 19, 1000, 682)]


def test_masks_of_whole_words_and_what_replaces_them() -> None:
    at, placed = hidden(whole_word=True)
    assert at[:10] == [3, 4, 9, 12, 16, 18, 24, 25, 34, 39]
    assert at[10:] == [40, 42, 46, 49, 51, 66, 69, 73, 74, 75]
    first = [303, 304, 539, 803, 840, 1000, 687, 118, 1000, 1000]
    assert placed == [*first, *(1000, 1000, 1000, 176, 311, 1000, 19, 1000, 1000, 682)]


def test_the_frequencies_of_a_local_start() -> None:
    found = position_frequencies(small_config(), 5)
    assert np.allclose(found.numpy(), [0.66162992, 1.36205935, 1.95223355, 2.91472363], atol=1e-6)
