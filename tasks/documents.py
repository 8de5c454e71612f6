"""Document files: how text travels from one stage to the next.

A documents file is an Arrow IPC file with zstd buffers and three columns:

    id      fixed_size_binary(16)   the text's own hash, see `document_id`
    record  int64                   its number in the unit it was read by, from 0
    text    large_string

Writer and reader hold one record batch (about 8 MB of text) at a time, and the bytes follow
from the documents alone. What a document says is what it is: neither source, file nor place is
part of its id, so text that is moved, renamed, split or merged stays the same documents, and
copies share an id. Where a document lies is told by file and record.
"""

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc

from tasks.arrow_files import validated_batches
from tasks.errors import StageError

ID_BYTES = 16
BATCH_BYTES = 8 << 20
BATCH_DOCUMENTS = 1 << 16
_ZSTD_LEVEL = 1

SCHEMA = pa.schema(
    [
        pa.field("id", pa.binary(ID_BYTES), nullable=False),
        pa.field("record", pa.int64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)


class Document(NamedTuple):
    """One document on its way through the pipeline."""

    id: bytes
    record: int
    text: str


def document_id(text: str) -> bytes:
    """A document's identity: 128 bits of BLAKE2b of its text as UTF-8.

    Raises:
        UnicodeEncodeError: the text holds lone surrogates, which UTF-8 cannot carry.
    """
    return blake2b(text.encode(), digest_size=ID_BYTES).digest()


class DocumentWriter:
    """Writes a documents file; a context manager.

        with DocumentWriter(path) as writer:
            writer.add(record, text)

    `num_documents` and `num_bytes` (UTF-8 bytes of text) count what was added, `last_id` is the
    id of the last one. When it closes, the file is read again: what ledgers book of these
    figures lies in it.

    Raises:
        UnicodeEncodeError: a text holds lone surrogates, which UTF-8 cannot carry.
        StageError: at the end, the file holds other amounts than were added.
    """

    def __init__(self, path: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", _ZSTD_LEVEL))
        self._path = path
        self._writer = pa.ipc.new_file(str(path), SCHEMA, options=options)
        self.num_documents = 0
        self.num_bytes = 0
        self.last_id = b""
        self._clear()

    def _clear(self) -> None:
        self._ids: list[bytes] = []
        self._records: list[int] = []
        self._texts: list[bytes] = []
        self._waiting_bytes = 0

    def add(self, record: int, text: str) -> int:
        """Append one document under its id; returns the UTF-8 bytes of its text."""
        encoded = text.encode()
        self.last_id = blake2b(encoded, digest_size=ID_BYTES).digest()
        self._ids.append(self.last_id)
        self._records.append(record)
        self._texts.append(encoded)
        self._waiting_bytes += len(encoded)
        self.num_documents += 1
        self.num_bytes += len(encoded)
        if self._waiting_bytes >= BATCH_BYTES or len(self._texts) >= BATCH_DOCUMENTS:
            self._flush()
        return len(encoded)

    def _flush(self) -> None:
        if not self._texts:
            return
        # Valid by construction: the bytes come from str.encode.
        text = pa.array(self._texts, pa.large_binary()).view(pa.large_string())
        columns = [pa.array(self._ids, SCHEMA.field("id").type), pa.array(self._records), text]
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
        self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: object) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()

    def close(self) -> None:
        """Write what is left, and look whether all of it is in the file."""
        try:
            self._flush()
        finally:
            self._writer.close()
        self._check()

    def _check(self) -> None:
        found = count_documents(self._path)
        if found != (self.num_documents, self.num_bytes):
            raise StageError(
                f"{self._path.name} holds {found[0]:,} documents of {found[1]:,} bytes, but "
                f"{self.num_documents:,} of {self.num_bytes:,} were added. This is a defect in "
                "the stage; nothing was recorded."
            )


def count_documents(path: Path) -> tuple[int, int]:
    """The documents in a file and the UTF-8 bytes of their texts."""
    documents = text_bytes = 0
    for batch in validated_batches(path, SCHEMA):
        documents += batch.num_rows
        text_bytes += pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
    return documents, text_bytes


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file in order, one batch in memory at a time.

    Raises:
        StageError: the file is damaged.
    """
    for batch in validated_batches(path, SCHEMA):
        columns = (batch.column(name).to_pylist() for name in SCHEMA.names)
        yield from map(Document, *columns)
