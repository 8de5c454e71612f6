"""Dynamic masking: which tokens a row hides, as a pure function of (seed, epoch, row).

    tokens ──▶ maskable? word starts? ──▶ rate x n of them, at random ──▶ 80 % <mask>
               (one table lookup)          (sort of hashed keys)           10 % another token
                                                                           10 % left as it is
Masks differ every epoch (Liu et al. 2019, section 4.1) yet need no state: a restart, another
number of processes or another batch around a row all give it the same masks. Everything is
vectorised over the batch; there is no generator object and no loop over rows.

Shapes: B rows, T tokens in a row, V vocabulary, M chosen positions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.mask_selection import (
    MAX_ROW_TOKENS,
    choose_tokens,
    choose_words,
    target_counts,
)
from roberta_model.data.randomness import Bits, mix_in, random_bits, unit_interval
from roberta_model.data.word_boundaries import SPECIAL_CODE, segment_starts, word_codes
from roberta_model.recipe import MaskingRecipe

Int64s = NDArray[np.int64]

# Further draws from a row's or a token's random bits; positions take the numbers below these.
_COUNT_DRAW, _ARC_DRAW, _FATE_DRAW, _TOKEN_DRAW = (MAX_ROW_TOKENS + i for i in range(4))


@dataclass(frozen=True, eq=False)
class MaskingTables:
    """What masking must know of the vocabulary.

    Attributes:
        codes: uint16 [V], see word_boundaries; 0 marks the ids that are never chosen or drawn.
        mask_id: The id of <mask>.
    """

    codes: NDArray[np.uint16]
    mask_id: int

    @classmethod
    def from_vocabulary(
        cls,
        vocabulary: Sequence[str | None],
        special_ids: Collection[int] = (0, 1, 2, 3),
        mask_id: int | None = None,
    ) -> "MaskingTables":
        """Build the tables from the token strings of a byte-level BPE.

        Args:
            vocabulary: Each id's token in byte-level spelling, as in tokenizer.json; None
                where an id has no token.
            special_ids: Ids that stand for no text, <mask> not necessarily among them.
            mask_id: The id of <mask>; the last one unless given.

        Raises:
            ValueError: The mask id is not in the vocabulary, or every id is special.
        """
        mask = len(vocabulary) - 1 if mask_id is None else mask_id
        if not 0 <= mask < len(vocabulary):
            raise ValueError(f"<mask> has id {mask}, outside of {len(vocabulary)} tokens")
        tables = cls(word_codes(vocabulary, {*special_ids, mask}), mask)
        if tables.drawable_ids.size == 0:
            raise ValueError("every token of the vocabulary is special, so none can be masked")
        return tables

    @classmethod
    def load(cls, path: Path | str) -> "MaskingTables":
        """Read tables that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["codes"], int(arrays["mask_id"]))

    def save(self, path: Path | str) -> None:
        """Write the tables to one .npz file."""
        with Path(path).open("wb") as file:
            np.savez(file, codes=self.codes, mask_id=np.int64(self.mask_id))

    @property
    def vocab_size(self) -> int:
        """How many ids the vocabulary has."""
        return len(self.codes)

    @property
    def special_ids(self) -> Int64s:
        """The ids that stand for no text: never chosen, never drawn."""
        return np.flatnonzero(self.codes == SPECIAL_CODE)

    @cached_property
    def drawable_ids(self) -> Int64s:
        """The ids a random replacement is drawn from: all that are not special."""
        return np.flatnonzero(self.codes != SPECIAL_CODE)


class MaskedRows(NamedTuple):
    """Rows with some tokens hidden.

    Attributes:
        input_ids_BT: int64 token ids with the replacements.
        positions_M: Ascending indices of the chosen tokens into the flattened B x T.
        targets_M: The original ids there.
    """

    input_ids_BT: Int64s
    positions_M: Int64s
    targets_M: Int64s


@dataclass(frozen=True, eq=False)
class Masking:
    """How the rows of a run are hidden: all that a mask depends on but the visit of the row.

    Attributes:
        tables: What the vocabulary allows.
        recipe: Shares and word masking.
        seed: The run's.
        purpose: Separates independent uses of a seed, such as training and held-out data.
    """

    tables: MaskingTables
    recipe: MaskingRecipe
    seed: int
    purpose: str = "masking"

    def hide(
        self,
        tokens_BT: NDArray[np.integer],
        lengths_B: NDArray[np.integer] | None,
        epochs_B: NDArray[np.integer],
        rows_B: NDArray[np.integer],
        rate: float | None = None,
    ) -> MaskedRows:
        """Hide a share of each row's tokens.

        A row with n maskable tokens aims at k = floor(rate x n + u) of them, u uniform in
        [0, 1), and at least one. Single tokens: exactly k, every set of k as likely as any
        other. Whole words: the row's words, in random order, are laid end to end around a
        circle of n tokens and those that start within an arc of k tokens, at a random place,
        are chosen. So the count is k to within one word, k on average, and long words are
        chosen as often as short ones.

        Args:
            tokens_BT: Token ids, any integer type.
            lengths_B: Real tokens of each row; None when all rows are full.
            epochs_B: The epoch of each row.
            rows_B: The number of each row in the packed data.
            rate: Share of the maskable tokens to choose, where it is not the recipe's first
                one; see MaskingRecipe.rate_at.

        Raises:
            ValueError: The rows are too long.
        """
        num_columns = tokens_BT.shape[1]
        if num_columns > MAX_ROW_TOKENS:
            raise ValueError(f"rows of {num_columns} tokens are too long to mask")
        codes_BT = self.tables.codes.take(tokens_BT)
        maskable_BT = codes_BT != SPECIAL_CODE
        if lengths_B is not None:
            maskable_BT &= np.arange(num_columns) < np.asarray(lengths_B)[:, None]
        row_bits_B = random_bits(self.seed, self.purpose, epochs_B, rows_B)
        keys_BT = mix_in(row_bits_B[:, None], np.arange(num_columns))
        sizes_B = maskable_BT.sum(axis=1)
        rate = self.recipe.rate if rate is None else rate
        counts_B = target_counts(sizes_B, rate, mix_in(row_bits_B, _COUNT_DRAW))
        if self.recipe.whole_word:
            starts_BT = segment_starts(codes_BT, maskable_BT)
            arcs_B = mix_in(row_bits_B, _ARC_DRAW)
            positions_M, words_M = choose_words(
                starts_BT, maskable_BT, counts_B, keys_BT, arcs_B, self.recipe.max_word_tokens
            )
        else:
            positions_M = words_M = choose_tokens(maskable_BT, counts_B, keys_BT)
        targets_M = tokens_BT.reshape(-1).take(positions_M).astype(np.int64)
        input_ids_BT = tokens_BT.astype(np.int64)
        input_ids_BT.reshape(-1)[positions_M] = self._replacements(
            targets_M, keys_BT.reshape(-1), positions_M, words_M
        )
        return MaskedRows(input_ids_BT, positions_M, targets_M)

    def _replacements(
        self, targets_M: Int64s, keys: Bits, positions_M: Int64s, words_M: Int64s
    ) -> Int64s:
        """Return what stands in the row in place of each target; one fate for a whole word."""
        recipe = self.recipe
        fates_M = unit_interval(mix_in(keys.take(words_M), _FATE_DRAW))
        replaced_M = np.where(fates_M < recipe.mask_share, self.tables.mask_id, targets_M)
        drawn = np.flatnonzero(
            (fates_M >= recipe.mask_share) & (fates_M < recipe.mask_share + recipe.random_share)
        )
        shares = unit_interval(mix_in(keys.take(positions_M[drawn]), _TOKEN_DRAW))
        ids = self.tables.drawable_ids
        replaced_M[drawn] = ids.take((shares * len(ids)).astype(np.int64))
        return replaced_M
