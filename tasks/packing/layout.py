"""The layout of rows: which tokens of which documents make which row.

full_sentences cuts one long stream of all documents into rows:

    bos_eos   stream: d0 d0 d0 </s> d1 d1 </s> d2 ...      row: <s> + the next T - 1 of it
    none      stream: d0 d0 d0 d1 d1 d2 ...                row: the next T of it

This is how fairseq laid out RoBERTa's rows: every document is closed by `</s>`, every row
begins with `<s>`. doc_sentences cuts each document on its own:

    bos_eos   row: <s> + at most T - 2 tokens of one document + </s>, then <pad>
    none      row: at most T tokens of one document, then <pad>

Everything is arithmetic on token counts, so a row can be found without making those before it.

Shape letters: R rows, T tokens in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
        documents: Numbers of the rows' documents, in order.
        starts: Position in the row where each of them begins.
    """

    tokens_RT: NDArray[Any]
    lengths_R: NDArray[np.int32]
    list_offsets: NDArray[np.int32]
    documents: Int64s
    starts: NDArray[np.int32]


@dataclass(frozen=True)
class Piece:
    """A file's share of a shard: units start..stop of its stream (tokens or rows).

    `first_document` is the number of the file's first document.
    """

    encoded: Encoded
    first_document: int
    start: int
    stop: int


def stream_units(num_tokens: int, num_documents: int, has_specials: bool) -> int:
    """Length of a file's stream under full_sentences."""
    return num_tokens + (num_documents if has_specials else 0)


def row_capacity(row_tokens: int, full: bool, has_specials: bool) -> int:
    """Tokens of the stream, or of a document, that fit in one row."""
    if not has_specials:
        return row_tokens
    return row_tokens - 1 if full else row_tokens - 2


def chunks_of(lengths: Int64s, capacity: int) -> Int64s:
    """Rows that each document needs under doc_sentences; none for an empty one."""
    return -(-lengths // capacity)


def pack_stream(
    pieces: Sequence[Piece], row_tokens: int, has_specials: bool, dtype: np.dtype[Any]
) -> Rows:
    """Rows of consecutive pieces of the stream; the last one is padded when it is short."""
    capacity = row_capacity(row_tokens, full=True, has_specials=has_specials)
    parts = [_piece_of_stream(piece, has_specials) for piece in pieces]
    stream = np.concatenate([part[0] for part in parts] or [np.zeros(0, dtype=dtype)])
    at = np.cumsum([0] + [len(part[0]) for part in parts])
    begins = [part[1] + start for part, start in zip(parts, at, strict=False)]
    starts = np.concatenate([*begins, np.zeros(0, dtype=np.int64)])
    numbers = np.concatenate([*[part[2] for part in parts], np.zeros(0, dtype=np.int64)])
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
    return Rows(
        tokens_RT, lengths_R, *_documents_in_rows(starts, numbers, num_rows, capacity, lead)
    )


def _piece_of_stream(piece: Piece, has_specials: bool) -> tuple[NDArray[Any], Int64s, Int64s]:
    """A span of a file's stream, where its documents begin in it, and their numbers.

    A document that began before the span has a negative beginning.
    """
    offsets = piece.encoded.offsets
    extra = np.arange(len(offsets), dtype=np.int64) if has_specials else 0
    bounds = offsets + extra
    first = int(np.searchsorted(bounds, piece.start, side="right")) - 1
    last = int(np.searchsorted(bounds, piece.stop, side="left"))
    starts = bounds[first:last] - piece.start
    numbers = np.arange(first, last, dtype=np.int64) + piece.first_document
    if not has_specials:
        stream = np.asarray(piece.encoded.tokens[piece.start : piece.stop])
        return stream, starts, numbers
    stream = np.full(piece.stop - piece.start, EOS, dtype=piece.encoded.tokens.dtype)
    is_token = np.ones(len(stream), dtype=bool)
    closings = bounds[first + 1 : last + 1] - 1 - piece.start
    is_token[closings[(closings >= 0) & (closings < len(stream))]] = False
    begin = _tokens_before(offsets, bounds, piece.start)
    stream[is_token] = piece.encoded.tokens[begin : begin + int(is_token.sum())]
    return stream, starts, numbers


def _tokens_before(offsets: Int64s, bounds: Int64s, at: int) -> int:
    """How many of a file's tokens lie before a place in its stream."""
    document = int(np.searchsorted(bounds, at, side="right")) - 1
    if document >= len(offsets) - 1:
        return int(offsets[-1])
    return int(min(offsets[document] + at - bounds[document], offsets[document + 1]))


def _documents_in_rows(
    starts: Int64s, numbers: Int64s, num_rows: int, capacity: int, lead: int
) -> tuple[NDArray[np.int32], Int64s, NDArray[np.int32]]:
    """For each row, the documents in it and where they begin."""
    row_starts = np.arange(num_rows, dtype=np.int64) * capacity
    first = np.searchsorted(starts, row_starts, side="right") - 1
    last = np.searchsorted(starts, row_starts + capacity, side="left")
    counts = last - first
    list_offsets = np.zeros(num_rows + 1, dtype=np.int32)
    np.cumsum(counts, out=list_offsets[1:])
    row = np.repeat(np.arange(num_rows), counts)
    index = np.arange(len(row)) - list_offsets[row] + first[row]
    inside = np.maximum(starts[index] - row_starts[row], 0) + lead
    return list_offsets, numbers[index], inside.astype(np.int32)


def pack_documents(
    pieces: Sequence[Piece], row_tokens: int, has_specials: bool, dtype: np.dtype[Any]
) -> Rows:
    """Rows that each hold one document's tokens; a piece's span counts the file's rows."""
    capacity = row_capacity(row_tokens, full=False, has_specials=has_specials)
    lead = 1 if has_specials else 0
    tokens, lengths, numbers = [], [], []
    for piece in pieces:
        offsets = piece.encoded.offsets
        counts = chunks_of(np.diff(offsets), capacity)
        ends = np.cumsum(counts)
        for row in range(piece.start, piece.stop):
            document = int(np.searchsorted(ends, row, side="right"))
            chunk = row - int(ends[document] - counts[document])
            begin = int(offsets[document]) + chunk * capacity
            part = piece.encoded.tokens[begin : min(begin + capacity, int(offsets[document + 1]))]
            line = np.full(row_tokens, PAD, dtype=dtype)
            line[lead : lead + len(part)] = part
            if has_specials:
                line[0], line[lead + len(part)] = BOS, EOS
            tokens.append(line)
            lengths.append(len(part) + 2 * lead)
            numbers.append(document + piece.first_document)
    num_rows = len(lengths)
    return Rows(
        np.stack(tokens) if tokens else np.zeros((0, row_tokens), dtype=dtype),
        np.array(lengths, dtype=np.int32),
        np.arange(num_rows + 1, dtype=np.int32),
        np.array(numbers, dtype=np.int64),
        np.full(num_rows, lead, dtype=np.int32),
    )
