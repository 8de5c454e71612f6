"""Packed rows by their number: over files and batches, and never another row than was asked for."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from roberta_model.data.rows import PackedRows
from tasks.packing import shards
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows


def write(path: Path, firsts: list[int], row_tokens: int = 4, kind: str = "uint16") -> Path:
    """Rows that begin with these ids; row n is n + 1 tokens long, of document n from place n on."""
    num = len(firsts)
    tokens_RT = np.array(firsts, dtype=kind).reshape(num, 1) + np.arange(row_tokens, dtype=kind)
    lengths_R = np.arange(1, num + 1, dtype=np.int32)
    offsets = np.arange(num + 1, dtype=np.int32)
    documents = np.arange(num, dtype=np.int64)
    write_rows(path, Rows(tokens_RT, lengths_R, offsets, documents, documents.astype(np.int32)))
    return path


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackedRows:
    """Three rows in batches of two, then a file without any, then two more."""
    monkeypatch.setattr(shards, "_BATCH_ROWS", 2)
    parts = {"a": [10, 20, 30], "b": [], "c": [40, 50]}
    return PackedRows([write(tmp_path / name, firsts) for name, firsts in parts.items()])


def test_rows_are_numbered_through_in_the_order_of_the_paths(three: PackedRows) -> None:
    assert (three.num_rows, three.row_tokens) == (5, 4)
    assert three.tokens(np.arange(5))[:, 0].tolist() == [10, 20, 30, 40, 50]
    assert three.tokens(2).tolist() == [[30, 31, 32, 33]]
    assert three.lengths(np.arange(5)).tolist() == [1, 2, 3, 1, 2]


def test_rows_come_in_the_order_asked_for_and_as_often(three: PackedRows) -> None:
    asked = [4, 0, 2, 2, 3, 1, 0]
    assert three.tokens(asked)[:, 0].tolist() == [50, 10, 30, 30, 40, 20, 10]
    assert three.lengths(asked).tolist() == [2, 1, 3, 3, 1, 2, 1]


def test_a_row_knows_its_file_by_its_place_among_the_paths(three: PackedRows) -> None:
    """A file without rows counts among them, and a batch is no file."""
    assert three.shards(np.arange(5)).tolist() == [0, 0, 0, 2, 2]
    assert three.shards([3, 0]).tolist() == [2, 0]


def test_the_documents_of_a_row_are_those_of_its_own_batch(three: PackedRows) -> None:
    assert [three.document_spans(row) for row in range(5)] == [
        [(0, 0)],
        [(1, 1)],
        [(2, 2)],
        [(0, 0)],
        [(1, 1)],
    ]


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_outside_is_an_error_and_not_another_row(three: PackedRows, row: int) -> None:
    """Numpy would take -1 for the last one."""
    for ask in (three.tokens, three.lengths, three.shards, three.document_spans):
        with pytest.raises(IndexError, match=f"rows {row}..{row} asked for, but there are 5"):
            ask(row)
    with pytest.raises(IndexError):
        three.tokens([0, row, 1])


def test_one_batch_alone_is_held_to_the_same(tmp_path: Path) -> None:
    """There is a shorter way for it."""
    rows = PackedRows([write(tmp_path / "a", [10, 20])])
    assert rows.tokens([1, 0, 1])[:, 0].tolist() == [20, 10, 20]
    for row in (-1, 2):
        with pytest.raises(IndexError):
            rows.tokens(row)


def test_no_file_and_empty_files_hold_no_rows(tmp_path: Path) -> None:
    for paths in ([], [write(tmp_path / "a", [])]):
        rows = PackedRows(paths)
        assert (rows.num_rows, rows.row_tokens) == (0, 0)


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    """Neither in the length of their rows nor in the type of their ids."""
    plain = write(tmp_path / "plain", [1])
    for other in (
        write(tmp_path / "long", [1], row_tokens=5),
        write(tmp_path / "wide", [1], kind="int32"),
    ):
        with pytest.raises(ValueError, match="shards differ in row length or token type"):
            PackedRows([plain, other])


def written_anew(path: Path, table: pa.Table, compression: str | None = None) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
        writer.write_table(table)
    return path


def test_a_file_that_is_no_packed_shard_is_named(tmp_path: Path) -> None:
    """Compressed, of other columns, or of other ids: it would be read whole, or wrong."""
    with pa.memory_map(str(write(tmp_path / "whole", [1, 2]))) as source:
        table = pa.ipc.open_file(source).read_all()
        squeezed = written_anew(tmp_path / "squeezed", table, "zstd")
        short = written_anew(tmp_path / "short", table.drop_columns(["starts"]))
        lists = table["tokens"].cast(pa.list_(pa.uint16()))
        loose = written_anew(tmp_path / "loose", table.set_column(0, "tokens", lists))
        wide = table["tokens"].cast(pa.list_(pa.int64(), 4))
        of_int64 = written_anew(tmp_path / "int64", table.set_column(0, "tokens", wide))
    for path, told in (
        (squeezed, "squeezed is compressed"),
        (short, r"short is not a packed shard: it has no column \['starts'\]"),
        (loose, "loose: tokens are list"),
        (of_int64, "int64: tokens are fixed_size_list"),
    ):
        with pytest.raises(ValueError, match=told):
            PackedRows([path])
    (tmp_path / "noise").write_bytes(b"no Arrow file")
    with pytest.raises(ValueError, match="noise is not a readable Arrow file"):
        PackedRows([tmp_path / "noise"])
