"""Cleaned files: the documents that passed the filters, and what finding duplicates needs.

    .arrow           the documents with their text put right (see tasks.documents), long ones
                     cut into spans that are documents of their own from here on
    .ids.npy         uint8  [documents, 16]      their ids, equal for exact duplicates
    .sizes.npy       int64  [documents]          UTF-8 bytes of the text
    .signatures.npy  uint32 [documents, hashes]  MinHash; no columns when near duplicates stay
    .rejects.arrow   dropped documents with the reason, see tasks.cleaning.parting

The arrays are read by memory map, so finding duplicates needs no text and little memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.filters import reason_to_drop
from tasks.cleaning.minhash import MinHasher
from tasks.cleaning.normalise import normalise
from tasks.cleaning.shingles import ShingleHasher
from tasks.cleaning.spans import cut_into_spans
from tasks.config.clean import FilterConfig, UnicodeConfig
from tasks.documents import document_id
from tasks.engine.units import StoredFile

ARRAYS = ("ids", "sizes", "signatures")
_NO_SIGNATURE: NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)


@dataclass(frozen=True)
class Judgement:
    """What became of one document: its spans put right, or the reason it was dropped.

    `spans` holds the text and signature of each, and is empty for a dropped document.
    """

    reason: str | None
    spans: tuple[tuple[str, NDArray[np.uint32]], ...] = ()


class Cleaner:
    """Puts one document after another right and judges it.

    Args:
        unicode: How characters are put right.
        filters: What is dropped.
        num_hashes: Numbers in a signature; None makes none.
    """

    def __init__(
        self, unicode: UnicodeConfig, filters: FilterConfig, num_hashes: int | None
    ) -> None:
        self.unicode, self.filters = unicode, filters
        self._shingles = ShingleHasher()
        self._hasher = None if num_hashes is None else MinHasher(num_hashes)

    def judge(self, raw: str) -> Judgement:
        """What becomes of one document, which depends on nothing but its text."""
        text = normalise(raw, self.unicode.repair, self.unicode.normalisation)
        if not text:
            return Judgement("empty")
        spans = cut_into_spans(text)
        shingles = [self._shingles.shingles(span) for span in spans]
        # The whole text is judged, but for the few shingles that reach over a cut.
        reason = reason_to_drop(text, np.concatenate(shingles), self.filters)
        if reason is not None:
            return Judgement(reason)
        if self._hasher is None:
            return Judgement(None, tuple((span, _NO_SIGNATURE) for span in spans))
        return Judgement(None, tuple(zip(spans, map(self._hasher.sign, shingles), strict=True)))


class CleanedArrays:
    """Collects one file's arrays, a document at a time."""

    def __init__(self, num_hashes: int | None) -> None:
        self._num_hashes = num_hashes or 0
        self._ids: list[bytes] = []
        self._sizes: list[int] = []
        self._signatures: list[NDArray[np.uint32]] = []

    def add(self, text: str, signature: NDArray[np.uint32]) -> None:
        """Note one document that passed."""
        self._ids.append(document_id(text))
        self._sizes.append(len(text.encode()))
        self._signatures.append(signature)

    def save(self, paths: Mapping[str, Path]) -> None:
        """Write each array to its file."""
        count = len(self._sizes)
        signatures = np.zeros((count, self._num_hashes), dtype=np.uint32)
        if count:
            np.stack(self._signatures, out=signatures)
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.frombuffer(b"".join(self._ids), dtype=np.uint8).reshape(count, 16),
            "sizes": np.array(self._sizes, dtype=np.int64),
            "signatures": signatures,
        }
        for name, array in arrays.items():
            np.save(paths[name], array, allow_pickle=False)


def open_array(file: StoredFile) -> NDArray[Any]:
    """Map one array; an empty one, which cannot be mapped, is read."""
    path = file.local()
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        array = np.load(path, allow_pickle=False)
    assert isinstance(array, np.ndarray)
    return array


def joined(files: Sequence[StoredFile]) -> NDArray[Any]:
    """The same array of several files as one, in their order."""
    return np.concatenate([open_array(file) for file in files])
