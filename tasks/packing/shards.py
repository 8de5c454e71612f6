"""Shard files of rows: Arrow IPC, uncompressed, so that training maps them without a copy.

    tokens     fixed_size_list<uint16 | int32>[T]
    length     int32                real tokens, the rest is <pad>
    documents  list<int64>          the row's documents by their number in the shard,
                                    which its table of documents tells apart
    starts     list<int32>          where in the row each of them begins

`datasets` reads them as they are: `load_dataset("arrow", data_files="4-pack/.../train/*")`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.packing.layout import Rows

# Rows in a record batch: large enough that a memory map has few, small enough to write early.
_BATCH_ROWS = 1 << 14
FILE_COLUMNS = ("digest", "name")


def write_rows(path: Path, rows: Rows) -> None:
    """Write one shard."""
    table = _table(rows)
    options = pa.ipc.IpcWriteOptions(compression=None)
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)


def _table(rows: Rows) -> Any:
    row_tokens = rows.tokens_RT.shape[1]
    flat = pa.array(rows.tokens_RT.reshape(-1))
    offsets = pa.array(rows.list_offsets, pa.int32())
    return pa.table(
        {
            "tokens": pa.FixedSizeListArray.from_arrays(flat, row_tokens),
            "length": pa.array(rows.lengths_R, pa.int32()),
            "documents": pa.ListArray.from_arrays(offsets, pa.array(rows.documents, pa.int64())),
            "starts": pa.ListArray.from_arrays(offsets, pa.array(rows.starts, pa.int32())),
        }
    )


def write_document_table(path: Path, ids: list[str], files: list[str], records: Any) -> None:
    """Write a shard's table of documents: document number n of the shard is row n.

    Columns: `id` (hex), `file` (digest of the clean file it came from) and `record` (its number
    in the download's file of that name).
    """
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "file": pa.array(files, pa.string()).dictionary_encode(),
            "record": pa.array(records, pa.int64()),
        }
    )
    _write(path, table)


def write_file_table(path: Path, files: Sequence[Mapping[str, str]]) -> None:
    """Write the names of files by digest, both text; equal files have the digest in common."""
    names = {name: pa.array([file[name] for file in files], pa.string()) for name in FILE_COLUMNS}
    _write(path, pa.table(names))


def _write(path: Path, table: Any) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
