"""Parting cleaned files by the splits of their documents; dropped ones with their reasons.

A split stands at the number that a document has in its cleaned file. Ids are compared on the way,
so that a split never reaches another document.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.arrow_files import validated_batches
from tasks.cleaning.cleaned import open_array
from tasks.cleaning.split import REASONS
from tasks.documents import Document, DocumentWriter, read_documents
from tasks.engine.units import StoredFile, UnitReport, UnitWork, shown_as
from tasks.errors import StageError


@shown_as("write documents")
def write_split(
    work: UnitWork, *, documents: StoredFile, ids: StoredFile, splits: StoredFile, split: int
) -> UnitReport:
    """Copy the documents of one split."""
    with DocumentWriter(work.path(".arrow")) as writer:
        for document, found in _with_splits(documents, ids, splits):
            if found == split:
                writer.add(document.record, document.text)
    rows = {".arrow": writer.num_documents}
    summary = {"documents": writer.num_documents, "bytes": writer.num_bytes}
    return UnitReport(rows=rows, summary=summary)


def _with_splits(
    documents: StoredFile, ids: StoredFile, splits: StoredFile
) -> Iterator[tuple[Document, int]]:
    """Documents with their splits, matched by id.

    Raises:
        StageError: the two files do not belong together.
    """
    known, decided = open_array(ids), open_array(splits)
    for number, document in enumerate(read_documents(documents.local())):
        if number >= len(decided) or document.id != known[number].tobytes():
            raise StageError(f"{documents.url}: the splits are of other documents.")
        yield document, int(decided[number])


REJECTS = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)
_REJECTS_A_BATCH = 4096


class RejectWriter:
    """Writes dropped documents with the reason; a context manager like `DocumentWriter`."""

    def __init__(self, path: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1))
        self._writer = pa.ipc.new_file(str(path), REJECTS, options=options)
        self._rows: list[dict[str, Any]] = []
        self.num_documents = 0

    def add(self, document: Document, reason: str) -> None:
        """Append one dropped document."""
        self._rows.append({**document._asdict(), "reason": reason})
        self.num_documents += 1
        if len(self._rows) >= _REJECTS_A_BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=REJECTS))
            self._rows = []

    def __enter__(self) -> "RejectWriter":
        return self

    def __exit__(self, *problem: object) -> None:
        self._flush()
        self._writer.close()


@shown_as("write what was dropped")
def write_rejects(
    work: UnitWork,
    *,
    documents: StoredFile,
    ids: StoredFile,
    splits: StoredFile,
    filtered: StoredFile,
) -> UnitReport:
    """One file's dropped documents: those the filters refused, then its duplicates."""
    with RejectWriter(work.path(".arrow")) as writer:
        for batch in validated_batches(filtered.local()):
            for row in batch.to_pylist():
                writer.add(Document(row["id"], row["record"], row["text"]), row["reason"])
        for document, split in _with_splits(documents, ids, splits):
            if split in REASONS:
                writer.add(document, REASONS[split])
    return UnitReport(rows={".arrow": writer.num_documents})
