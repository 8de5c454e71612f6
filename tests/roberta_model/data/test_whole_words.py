"""Whole-word masking: a chosen word is hidden with all its tokens; long ones get their turn."""

from typing import Any

import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.recipe import MaskingRecipe

WHOLE = MaskingRecipe(whole_word=True)
CUTTER = ByteLevel(add_prefix_space=False)
# Only the first ordinary token can begin a word, so words have any length one likes.
CHAINS = MaskingTables.from_vocabulary(["<s>", "<pad>", "</s>", "<unk>", "Ġa", "b", "<mask>"])
FIRST, NEXT = 4, 5


def hide(tokens_BT: np.ndarray, tables: MaskingTables, first_row: int = 0) -> tuple[Any, Any]:
    """Ids after masking, and the positions chosen."""
    rows = np.arange(len(tokens_BT)) + first_row
    ids_BT, positions_M, _ = Masking(tables, WHOLE, 0).hide(tokens_BT, None, rows * 0, rows)
    return ids_BT, positions_M


def true_words(text: str, tokens: list[str]) -> np.ndarray:
    """The number of the word that each token belongs to, by the pre-tokenizer."""
    ends = np.cumsum([len(word) for word, _ in CUTTER.pre_tokenize_str(text)])
    begins = np.cumsum([0, *(len(token) for token in tokens[:-1])])
    return np.searchsorted(ends, begins, side="right")


def test_chosen_words_of_real_text_are_masked_whole(real_text: Any) -> None:
    """Words as the pre-tokenizer has them share one fate: all hidden, or none is."""
    num_words = num_long = num_torn = 0
    for number, text in enumerate(filter(str.strip, real_text.texts["english"][-1500:])):
        ids_T = np.array(real_text.encoder.encode(text, add_special_tokens=False).ids)[:512]
        words_T = true_words(text, [real_text.vocabulary[i] for i in ids_T])
        masked_BT, chosen = hide(ids_T[None], real_text.tables, number)
        hidden = masked_BT[0, chosen] == real_text.tables.mask_id
        sizes = np.bincount(words_T)
        for word in np.unique(words_T[chosen]):
            mine = words_T[chosen] == word
            num_words += 1
            num_long += sizes[word] > 1
            if sizes[word] <= WHOLE.max_word_tokens:
                num_torn += mine.sum() != sizes[word] or len(set(hidden[mine])) != 1

    assert num_long > 0.1 * num_words
    assert num_torn <= 1e-3 * num_words


def test_long_words_are_chosen_as_often_as_short_ones() -> None:
    """Whole-word masking must not shun the words that are hard to predict."""
    row = np.array([token for size in (1, 2, 3, 4) for token in [FIRST, *[NEXT] * (size - 1)]] * 6)
    _, positions_M = hide(np.tile(row, (4000, 1)), CHAINS)
    words_T = np.cumsum(row == FIRST) - 1
    chosen_BW = np.zeros((4000, 24), bool)
    chosen_BW[positions_M // len(row), words_T[positions_M % len(row)]] = True
    by_size = chosen_BW.mean(axis=0).reshape(6, 4).mean(axis=0)

    assert np.abs(by_size - 0.15).max() < 0.01
    sizes = np.bincount(words_T)
    assert len(positions_M) == (chosen_BW * sizes).sum(), "every chosen word is chosen whole"


def test_a_very_long_word_counts_as_several() -> None:
    """A word of 64 tokens, as in a script the BPE never saw, is hidden in pieces of 8."""
    _, positions_M = hide(np.full((500, 64), NEXT), CHAINS)
    counts_B = np.bincount(positions_M // 64, minlength=500)
    assert set(counts_B) <= {8, 16}
    assert counts_B.mean() / 64 == pytest.approx(0.15, abs=0.01)
