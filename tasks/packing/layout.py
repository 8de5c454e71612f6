"""The layout of rows: which tokens of which documents make which row.

full_sentences cuts one long stream of all documents into rows:

    bos_eos   stream: d0 d0 d0 </s> d1 d1 </s> d2 ...      row: <s> + the next T - 1 of it
    none      stream: d0 d0 d0 d1 d1 d2 ...                row: the next T of it

This is how fairseq laid out RoBERTa's rows: every document is closed by `</s>`, every row
begins with `<s>`. doc_sentences cuts each document on its own:

    bos_eos   row: <s> + at most T - 2 tokens of one document + </s>, then <pad>
    none      row: at most T tokens of one document, then <pad>

A shard holds whole documents, and its last row is padded when it is short: so no token is lost,
and what lies in one shard has no influence on another.

Shape letters: R rows, T tokens in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.packing.encoded import Encoded

BOS, PAD, EOS = 0, 1, 2

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Packed rows.

    Attributes:
        tokens_RT: Token ids, padded with `<pad>`.
        lengths_R: Real tokens of each row.
        list_offsets: Where each row's documents begin in the two lists below, [R + 1].
        documents: Numbers of the rows' documents in the shard, in order.
        starts: Position in the row where each of them begins.
    """

    tokens_RT: NDArray[Any]
    lengths_R: NDArray[np.int32]
    list_offsets: NDArray[np.int32]
    documents: Int64s
    starts: NDArray[np.int32]


@dataclass(frozen=True)
class Piece:
    """Documents first..last of a file; numbers in rows count the documents of all pieces."""

    encoded: Encoded
    first: int
    last: int

    @property
    def offsets(self) -> Int64s:
        """Where each of the documents begins in `tokens`, and the end, [documents + 1]."""
        offsets = self.encoded.offsets[self.first : self.last + 1]
        return np.asarray(offsets - offsets[0])

    @property
    def tokens(self) -> NDArray[Any]:
        """Their tokens, one after the other."""
        begin, end = self.encoded.offsets[self.first], self.encoded.offsets[self.last]
        return np.asarray(self.encoded.tokens[begin:end])


def row_capacity(row_tokens: int, full: bool, has_specials: bool) -> int:
    """Tokens of the stream, or of a document, that fit in one row.

    >>> row_capacity(128, full=True, has_specials=True)
    127
    >>> row_capacity(128, full=False, has_specials=True)
    126
    """
    if not has_specials:
        return row_tokens
    return row_tokens - 1 if full else row_tokens - 2


def chunks_of(lengths: Int64s, capacity: int) -> Int64s:
    """Rows that each document needs under doc_sentences; none for an empty one.

    >>> chunks_of(np.array([0, 1, 6, 7]), 6)
    array([0, 1, 1, 2])
    """
    return -(-lengths // capacity)


def pack_stream(
    pieces: Sequence[Piece], row_tokens: int, has_specials: bool, dtype: np.dtype[Any]
) -> Rows:
    """Rows of one stream of all documents; the last one is padded when it is short.

    Documents of two tokens and of three, rows of four:

    >>> two = Encoded.of([[7, 8], [9, 10, 11]])
    >>> rows = pack_stream([Piece(two, 0, 2)], 4, True, two.tokens.dtype)
    >>> rows.tokens_RT.tolist()
    [[0, 7, 8, 2], [0, 9, 10, 11], [0, 2, 1, 1]]
    >>> rows.lengths_R.tolist(), rows.documents.tolist(), rows.starts.tolist()
    ([4, 4, 2], [0, 1, 1], [1, 1, 1])
    """
    capacity = row_capacity(row_tokens, full=True, has_specials=has_specials)
    offsets = [piece.offsets for piece in pieces]
    lengths = np.concatenate([np.zeros(0, dtype=np.int64), *map(np.diff, offsets)])
    tokens = np.concatenate([np.zeros(0, dtype=dtype), *(piece.tokens for piece in pieces)])
    closing = 1 if has_specials else 0
    ends = np.cumsum(lengths + closing)
    starts = ends - lengths - closing
    stream = tokens
    if has_specials:
        stream = np.insert(tokens, np.cumsum(lengths), EOS)
    num_rows = -(-len(stream) // capacity)
    tokens_RT = np.full((num_rows, row_tokens), PAD, dtype=dtype)
    lead = row_tokens - capacity
    padded = np.full(num_rows * capacity, PAD, dtype=dtype)
    padded[: len(stream)] = stream
    tokens_RT[:, lead:] = padded.reshape(num_rows, capacity)
    if has_specials:
        tokens_RT[:, 0] = BOS
    lengths_R = np.full(num_rows, row_tokens, dtype=np.int32)
    if num_rows:
        lengths_R[-1] = lead + len(stream) - (num_rows - 1) * capacity
    return Rows(tokens_RT, lengths_R, *_documents_in_rows(starts, num_rows, capacity, lead))


def _documents_in_rows(
    starts: Int64s, num_rows: int, capacity: int, lead: int
) -> tuple[NDArray[np.int32], Int64s, NDArray[np.int32]]:
    """For each row, the documents in it and where they begin.

    Documents that begin at 0 and 3 of the stream, in two rows of four behind their <s>:

    >>> [part.tolist() for part in _documents_in_rows(np.array([0, 3]), 2, 4, 1)]
    [[0, 2, 3], [0, 1, 1], [1, 4, 1]]
    """
    row_starts = np.arange(num_rows, dtype=np.int64) * capacity
    first = np.searchsorted(starts, row_starts, side="right") - 1
    last = np.searchsorted(starts, row_starts + capacity, side="left")
    counts = last - first
    list_offsets = np.zeros(num_rows + 1, dtype=np.int32)
    np.cumsum(counts, out=list_offsets[1:])
    row = np.repeat(np.arange(num_rows), counts)
    numbers = np.arange(len(row)) - list_offsets[row] + first[row]
    inside = np.maximum(starts[numbers] - row_starts[row], 0) + lead
    return list_offsets, numbers, inside.astype(np.int32)


def pack_documents(
    pieces: Sequence[Piece], row_tokens: int, has_specials: bool, dtype: np.dtype[Any]
) -> Rows:
    """Rows that each hold one document's tokens, the last of a document padded.

    >>> two = Encoded.of([[7, 8], [9, 10, 11]])
    >>> rows = pack_documents([Piece(two, 0, 2)], 4, True, two.tokens.dtype)
    >>> rows.tokens_RT.tolist()
    [[0, 7, 8, 2], [0, 9, 10, 2], [0, 11, 2, 1]]
    >>> rows.lengths_R.tolist(), rows.documents.tolist(), rows.starts.tolist()
    ([4, 4, 3], [0, 1, 1], [1, 1, 1])
    """
    capacity = row_capacity(row_tokens, full=False, has_specials=has_specials)
    lead = 1 if has_specials else 0
    tokens, lengths, numbers = [], [], []
    before = 0
    for piece in pieces:
        offsets, whole = piece.offsets.tolist(), piece.tokens
        for document, (begin, end) in enumerate(pairwise(offsets), start=before):
            for start in range(begin, end, capacity):
                part = whole[start : min(start + capacity, end)]
                line = np.full(row_tokens, PAD, dtype=dtype)
                line[lead : lead + len(part)] = part
                if has_specials:
                    line[0], line[lead + len(part)] = BOS, EOS
                tokens.append(line)
                lengths.append(len(part) + 2 * lead)
                numbers.append(document)
        before += piece.last - piece.first
    num_rows = len(lengths)
    return Rows(
        np.stack(tokens) if tokens else np.zeros((0, row_tokens), dtype=dtype),
        np.array(lengths, dtype=np.int32),
        np.arange(num_rows + 1, dtype=np.int32),
        np.array(numbers, dtype=np.int64),
        np.full(num_rows, lead, dtype=np.int32),
    )
