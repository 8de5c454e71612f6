"""Which documents of which encoded files make which shard.

    encoded file ──▶ the few documents that may end a shard ──▶ those that do, over all files

A shard ends where `tasks.boundaries` says so, so a file that is added, changed or removed makes
its own shards anew and at most a few beside them, and how documents lie in files changes
nothing. The driver reads the candidates only, some thirty for each shard; the lengths of all
documents only where nobody would end one, as among thousands of copies.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.boundaries import Boundaries, draws
from tasks.packing.encoded import Encoded
from tasks.packing.layout import chunks_of, row_capacity

Format = Literal["full_sentences", "doc_sentences"]
Specials = Literal["bos_eos", "none"]

# Documents of the file up to and with this one, their size together, its own size, its draw.
CANDIDATE = np.dtype([("documents", "<i8"), ("upto", "<i8"), ("size", "<i8"), ("draw", "<f8")])


@dataclass(frozen=True)
class Layout:
    """How rows are laid out, and how many make a shard.

    A document's size is what it takes of the shard's stream of tokens; where each has rows of
    its own, it is their number.
    """

    row_tokens: int
    format: Format
    special_tokens: Specials
    shard_rows: int

    @property
    def has_specials(self) -> bool:
        """Whether rows and documents have <s> and </s> around them."""
        return self.special_tokens == "bos_eos"

    @property
    def row_size(self) -> int:
        """What a full row takes."""
        if self.format == "doc_sentences":
            return 1
        return row_capacity(self.row_tokens, full=True, has_specials=self.has_specials)

    def sizes(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sizes of documents of so many tokens."""
        if self.format == "doc_sentences":
            capacity = row_capacity(self.row_tokens, full=False, has_specials=self.has_specials)
            return chunks_of(lengths, capacity)
        return lengths + 1 if self.has_specials else lengths

    @property
    def boundaries(self) -> Boundaries:
        """Where shards end."""
        return Boundaries(self.shard_rows * self.row_size)


def find_candidates(encoded: Encoded, layout: Layout) -> tuple[NDArray[Any], int]:
    """The documents of a file that may end a shard, and the size of all its documents."""
    sizes = layout.sizes(np.diff(encoded.offsets))
    drawn = draws(encoded.ids)
    upto = np.cumsum(sizes)
    numbers = np.flatnonzero(layout.boundaries.may_end(sizes, drawn))
    candidates = np.zeros(len(numbers), dtype=CANDIDATE)
    for name, values in (("upto", upto), ("size", sizes), ("draw", drawn)):
        candidates[name] = values[numbers]
    candidates["documents"] = numbers + 1
    return candidates, int(upto[-1]) if len(upto) else 0


@dataclass(frozen=True)
class Candidates:
    """What cutting must know of a file: its documents, their size, and who may end a shard.

    `sizes` gives those of all its documents; it is rarely asked.
    """

    documents: int
    size: int
    candidates: NDArray[Any]
    sizes: Callable[[], NDArray[np.int64]]

    def ends(self, boundaries: Boundaries, since_last: int) -> Iterator[tuple[int, int]]:
        """Where shards end: the documents up to there, and their size.

        `since_last` is what files before this one left over.
        """
        before = 0
        whole = (self.documents, self.size, 0, 1.0)
        for documents, upto, size, drawn in [*self.candidates.tolist(), whole]:
            while since_last + upto - before >= boundaries.longest:
                end = self._reaching(before + boundaries.longest - since_last)
                yield end
                since_last, before = 0, end[1]
            if boundaries.ends(since_last + upto - before, size, drawn):
                yield documents, upto
                since_last, before = 0, upto

    def _reaching(self, size: int) -> tuple[int, int]:
        """The first documents that are of this size together, and what they are."""
        upto = np.cumsum(self.sizes())
        last = int(np.searchsorted(upto, size))
        return last + 1, int(upto[last])


@dataclass(frozen=True)
class Span:
    """Documents first..last of the file of that number."""

    file: int
    first: int
    last: int


def cut(files: Iterable[Candidates], boundaries: Boundaries) -> list[Sequence[Span]]:
    """The spans that each shard is made of, in order; all documents but last ones of no size."""
    shards: list[Sequence[Span]] = []
    spans: list[Span] = []
    since_last = 0
    for number, file in enumerate(files):
        first = before = 0
        for documents, upto in file.ends(boundaries, since_last):
            shards.append([*spans, Span(number, first, documents)])
            spans, since_last = [], 0
            first, before = documents, upto
        if first < file.documents:
            spans.append(Span(number, first, file.documents))
        since_last += file.size - before
    return [*shards, spans] if since_last else shards
