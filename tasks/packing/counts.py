"""What lies in packed rows, counted from the files: the ledger rests on nothing else."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roberta_model.data.rows import PackedRows
from tasks.arrow_files import validated_batches
from tasks.packing.layout import BOS, EOS

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


@dataclass(frozen=True)
class Written:
    """What some rows hold.

    Attributes:
        rows: Rows.
        tokens: Tokens of text.
        special_tokens: <s> and </s>, where they are no text.
        documents: Documents of which there is at least one token of text.
    """

    rows: int = 0
    tokens: int = 0
    special_tokens: int = 0
    documents: int = 0

    def __add__(self, other: "Written") -> "Written":
        """Rows that have no document in common, put together."""
        return Written(
            self.rows + other.rows,
            self.tokens + other.tokens,
            self.special_tokens + other.special_tokens,
            self.documents + other.documents,
        )

    def to_json(self) -> dict[str, int]:
        """Plain JSON, the inverse of `Written(**...)`."""
        return asdict(self)


def count_written(path: Path, *, has_specials: bool) -> Written:
    """Read a shard again and count what lies in it, batch by batch.

    `has_specials` says that rows were laid out with <s> and </s>; without, every token is text.
    """
    whole, last = Written(), -1
    for batch in validated_batches(path):
        tokens, specials, documents = _count_batch(batch, has_specials)
        goes_on = len(documents) > 0 and documents[0] == last
        whole += Written(batch.num_rows, tokens, specials, len(documents) - int(goes_on))
        last = int(documents[-1]) if len(documents) else last
    return whole


def _count_batch(batch: pa.RecordBatch, has_specials: bool) -> tuple[int, int, NDArray[np.int64]]:
    """Tokens of text, special tokens, and the numbers of the documents that have text in a batch.

    Of a row's [T] tokens each document has a run that starts somewhere.
    """
    rows = batch.num_rows
    lengths_R = batch.column("length").to_numpy()
    tokens_RT = batch.column("tokens").flatten().to_numpy().reshape(rows, -1)
    row_tokens = tokens_RT.shape[1] if rows else 0
    is_real_RT = np.arange(row_tokens) < lengths_R[:, None]
    is_text_RT = is_real_RT
    if has_specials:
        is_text_RT = is_real_RT & (tokens_RT != BOS) & (tokens_RT != EOS)
    tokens = int(is_text_RT.sum())
    numbers = batch.column("documents").flatten().to_numpy()
    runs_a_row = batch.column("starts").value_lengths().to_numpy()
    begins = np.repeat(np.arange(rows), runs_a_row) * row_tokens
    begins += batch.column("starts").flatten().to_numpy()
    before = np.concatenate([[0], np.cumsum(is_text_RT.reshape(-1))])
    ends = np.append(begins[1:], rows * row_tokens)  # past a row's end nothing is text
    present = np.unique(numbers[before[ends] > before[begins]])
    return tokens, int(is_real_RT.sum()) - tokens, present
