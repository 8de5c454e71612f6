"""A unit's documents, in files of about 64 MB of text: one huge input is many files later.

    documents/00-00003.arrow  documents/00-00003.part-00001.arrow  ...part-00002.arrow

Every later unit has one of these files to work on, so a single input of any size is cleaned and
encoded side by side in bounded memory. Where a file ends follows from its documents (see
`tasks.boundaries`): text put in at the front leaves the files behind it as they are.
"""

from typing import Self

from tasks.boundaries import Boundaries, draw
from tasks.documents import DocumentWriter
from tasks.engine.units import UnitWork

DOCUMENTS = ".arrow"
PART_BYTES = 64 << 20


class DocumentParts:
    """Writes the documents of a unit, beginning a new file when one is full; a context manager.

    `num_documents` and `num_bytes` count what was added, `rows` the documents of each file by
    its suffix.

    Raises:
        UnicodeEncodeError: a text holds lone surrogates, which UTF-8 cannot carry.
    """

    def __init__(self, work: UnitWork) -> None:
        self._work = work
        self._boundaries = Boundaries(PART_BYTES)
        self.num_documents = self.num_bytes = 0
        self.rows: dict[str, int] = {}
        self._is_full = False
        self._begin()

    def _begin(self) -> None:
        number = len(self.rows)
        self._suffix = DOCUMENTS if not number else f".part-{number:05}{DOCUMENTS}"
        self._writer = DocumentWriter(self._work.path(self._suffix))
        self.rows[self._suffix] = 0
        self._is_full = False

    def add(self, record: int, text: str) -> int:
        """Append one document under its id; returns the UTF-8 bytes of its text."""
        if self._is_full:
            self._writer.close()
            self._begin()
        size = self._writer.add(record, text)
        self.num_documents += 1
        self.num_bytes += size
        self.rows[self._suffix] += 1
        waiting, drawn = self._writer.num_bytes, draw(self._writer.last_id)
        self._is_full = self._boundaries.ends(waiting, size, drawn)
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: object) -> None:
        self._writer.__exit__(kind, *problem)
