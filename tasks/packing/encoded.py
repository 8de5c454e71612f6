"""Encoded documents: what one clean file is as token ids, in plain arrays read by memory map.

tokens   [tokens]         uint16, or int32 for a vocabulary above 65,536
offsets  [documents + 1]  int64, where each document's tokens begin
ids      [documents, 16]  uint8, the documents' ids
records  [documents]      int64, their numbers in the source file
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.documents import ID_BYTES, Document, read_documents
from tasks.packing.words import WordEncoder

PARTS = ("tokens", "offsets", "ids", "records")
_BATCH_CHARACTERS = 4_000_000


@dataclass(frozen=True)
class Encoded:
    """The arrays of one encoded file."""

    tokens: NDArray[Any]
    offsets: NDArray[np.int64]
    ids: NDArray[np.uint8]
    records: NDArray[np.int64]

    @property
    def num_documents(self) -> int:
        """Documents in the file."""
        return len(self.records)

    @classmethod
    def open(cls, paths: Mapping[str, Path]) -> "Encoded":
        """Map the arrays; `paths` has one file for each of `PARTS`."""
        return cls(**{part: _map(paths[part]) for part in PARTS})

    @classmethod
    def of(cls, documents: Sequence[Sequence[int]]) -> "Encoded":
        """Documents given as lists of ids, their own ids all zero."""
        return cls(
            np.array([token for document in documents for token in document], dtype=np.uint16),
            np.cumsum([0, *map(len, documents)]),
            np.zeros((len(documents), ID_BYTES), dtype=np.uint8),
            np.arange(len(documents)),
        )

    def save(self, paths: Mapping[str, Path]) -> None:
        """Write each array to its file."""
        for part in PARTS:
            np.save(paths[part], getattr(self, part), allow_pickle=False)


def _map(path: Path) -> NDArray[Any]:
    array = np.load(path, allow_pickle=False, mmap_mode=None if _is_empty(path) else "r")
    assert isinstance(array, np.ndarray)
    return array


def _is_empty(path: Path) -> bool:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        assert version == (1, 0)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
    return 0 in shape


def encode_documents(path: Path, encoder: WordEncoder) -> Encoded:
    """Encode a documents file; memory is bounded by its tokens, not by its text."""
    tokens, lengths = [np.zeros(0, dtype=encoder.dtype)], [np.zeros(1, dtype=np.int64)]
    ids, records = [], []
    for batch in _batches(read_documents(path)):
        batch_tokens, batch_lengths = encoder.encode([document.text for document in batch])
        tokens.append(batch_tokens)
        lengths.append(batch_lengths)
        ids += [document.id for document in batch]
        records += [document.record for document in batch]
    return Encoded(
        np.concatenate(tokens),
        np.cumsum(np.concatenate(lengths)),
        np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, ID_BYTES),
        np.array(records, dtype=np.int64),
    )


def _batches(documents: Iterator[Document]) -> Iterator[Sequence[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
