"""How often each token stands in packed rows, padding left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.rows import PackedRows

# Tokens read at once: bincount makes int64 of them, 128 MB here.
_TOKENS_AT_ONCE = 1 << 24


def count_tokens(shards: Sequence[Path], vocab_size: int) -> NDArray[np.int64]:
    """Return how often each id stands in the rows of some shards, int64 [vocab_size].

    What lies in the files is counted, special tokens too; a row counts up to its length.
    """
    rows = PackedRows(shards)
    counts = np.zeros(vocab_size, dtype=np.int64)
    step = max(1, _TOKENS_AT_ONCE // max(rows.row_tokens, 1))
    for start in range(0, rows.num_rows, step):
        numbers = np.arange(start, min(start + step, rows.num_rows))
        is_real = np.arange(rows.row_tokens) < rows.lengths(numbers)[:, None]
        found = np.bincount(rows.tokens(numbers)[is_real], minlength=vocab_size)
        assert len(found) == vocab_size, "rows hold ids of their tokenizer only"
        counts += found
    return counts
