"""Rows and shards on documents small enough to lay them out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from roberta_model.data.rows import PackedRows
from tasks.documents import DocumentWriter, document_id, read_documents
from tasks.engine.ledger import Ledger
from tasks.engine.units import StoredFile, Unit, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.packing import encoded as encoded_module
from tasks.packing.counts import Written, count_tokens, count_written
from tasks.packing.cuts import Layout
from tasks.packing.encoded import PARTS, Encoded
from tasks.packing.layout import BOS, EOS, PAD, Piece, pack_documents, pack_stream, row_capacity
from tasks.packing.shards import write_document_table, write_file_table, write_rows
from tasks.packing.words import token_type
from tasks.stages import pack_rows

ONE = Encoded.of([[10, 11], [], [12, 13, 14, 15, 16]])
TWO = Encoded.of([[20], [21, 22, 23]])
U2 = np.dtype(np.uint16)


def test_the_special_ids_are_robertas() -> None:
    assert (BOS, PAD, EOS) == (0, 1, 2)


def test_a_row_holds_as_much_as_its_special_tokens_leave() -> None:
    assert [
        row_capacity(10, full, specials) for full in (True, False) for specials in (True, False)
    ] == [
        *(9, 10),
        *(8, 10),
    ]


def test_a_stream_goes_on_over_pieces_of_files() -> None:
    """The last two documents of one file, then all of another; numbers count them all."""
    rows = pack_stream([Piece(ONE, 1, 3), Piece(TWO, 0, 2)], 6, True, U2)
    assert rows.tokens_RT.tolist() == [
        [0, 2, 12, 13, 14, 15],
        [0, 16, 2, 20, 2, 21],
        [0, 22, 23, 2, 1, 1],
    ]
    assert rows.lengths_R.tolist() == [6, 6, 4]
    assert rows.list_offsets.tolist() == [0, 2, 5, 6]
    assert rows.documents.tolist() == [0, 1, 1, 2, 3, 3]
    assert rows.starts.tolist() == [1, 2, 1, 3, 5, 1]


def test_a_stream_without_special_tokens_is_text_alone() -> None:
    """A document that begins with a row begins at its first place; one that ends there is over."""
    rows = pack_stream([Piece(TWO, 0, 2), Piece(ONE, 0, 3)], 4, False, U2)
    assert rows.tokens_RT.tolist() == [[20, 21, 22, 23], [10, 11, 12, 13], [14, 15, 16, 1]]
    assert rows.lengths_R.tolist() == [4, 4, 3]
    assert rows.list_offsets.tolist() == [0, 2, 5, 6]
    assert rows.documents.tolist() == [0, 1, 2, 3, 4, 4]
    assert rows.starts.tolist() == [0, 1, 0, 2, 2, 0]


def test_a_stream_that_fills_its_rows_has_no_row_more() -> None:
    rows = pack_stream([Piece(TWO, 1, 2)], 5, True, U2)
    assert rows.tokens_RT.tolist() == [[0, 21, 22, 23, 2]]
    assert rows.lengths_R.tolist() == [5]
    nothing = pack_stream([Piece(TWO, 1, 1)], 5, True, U2)
    assert nothing.tokens_RT.shape == (0, 5)
    assert nothing.list_offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("has_specials", "tokens", "lengths"),
    [
        (True, [[0, 12, 13, 2], [0, 14, 15, 2], [0, 16, 2, 1], [0, 20, 2, 1]], [4, 4, 3, 3]),
        (False, [[12, 13, 14, 15], [16, 1, 1, 1], [20, 1, 1, 1]], [4, 1, 1]),
    ],
)
def test_documents_have_rows_of_their_own(
    has_specials: bool, tokens: list[list[int]], lengths: list[int]
) -> None:
    """An empty one has none, and keeps its number; those of the next piece count on."""
    rows = pack_documents([Piece(ONE, 1, 3), Piece(TWO, 0, 1)], 4, has_specials, U2)
    assert rows.tokens_RT.tolist() == tokens
    assert rows.lengths_R.tolist() == lengths
    assert rows.documents.tolist() == [1] * (len(tokens) - 1) + [2]
    assert rows.starts.tolist() == [int(has_specials)] * len(tokens)
    assert rows.list_offsets.tolist() == list(range(len(tokens) + 1))


def test_documents_of_a_third_piece_count_on_from_both_before_it() -> None:
    pieces = [Piece(ONE, 0, 3), Piece(TWO, 0, 1), Piece(TWO, 0, 2)]
    for pack in (pack_documents, pack_stream):
        rows = pack(pieces, 9, True, U2)
        assert sorted(set(rows.documents.tolist()) - {1}) == [0, 2, 3, 4, 5]


def test_a_piece_is_some_documents_of_a_file() -> None:
    piece = Piece(ONE, 1, 3)
    assert piece.offsets.tolist() == [0, 0, 5]
    assert piece.tokens.tolist() == [12, 13, 14, 15, 16]


@pytest.mark.parametrize(
    ("form", "specials", "row_size", "sizes"),
    [
        ("full_sentences", "bos_eos", 9, [1, 2, 9, 10, 18]),
        ("full_sentences", "none", 10, [0, 1, 8, 9, 17]),
        ("doc_sentences", "bos_eos", 1, [0, 1, 1, 2, 3]),
        ("doc_sentences", "none", 1, [0, 1, 1, 1, 2]),
    ],
)
def test_what_documents_take_of_a_shard(
    form: Any, specials: Any, row_size: int, sizes: list[int]
) -> None:
    """Rows of ten: tokens of the stream with each </s>, or rows; a shard ends by the same."""
    layout = Layout(10, form, specials, 7)
    assert layout.row_size == row_size
    assert layout.sizes(np.array([0, 1, 8, 9, 17])).tolist() == sizes
    assert layout.boundaries.target == 7 * row_size


def test_what_lies_in_rows_adds_up_field_by_field() -> None:
    assert Written(1, 20, 300, 4000) + Written(5, 60, 700, 8000) == Written(6, 80, 1000, 12_000)
    told = Written(1, 2, 3, 4).to_json()
    assert told == {"rows": 1, "tokens": 2, "special_tokens": 3, "documents": 4}


def test_padding_and_special_tokens_are_no_text_and_padding_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    write_rows(path, pack_stream([Piece(ONE, 0, 3), Piece(TWO, 0, 2)], 6, True, U2))
    assert count_written(path, has_specials=True) == Written(4, 11, 9, 4)
    assert count_written(path, has_specials=False) == Written(4, 20, 0, 5)
    counts = count_tokens([path, path], 30)
    assert counts.sum() == 2 * 20
    assert (counts[BOS], counts[EOS], counts[PAD], counts[16], counts[24]) == (8, 10, 0, 2, 0)


def test_rows_lie_uncompressed_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else training would decode a whole file for one row."""
    monkeypatch.setattr("tasks.packing.shards._BATCH_ROWS", 4)
    rows = pack_stream([Piece(ONE, 0, 3), Piece(TWO, 0, 2)], 4, True, U2)
    write_rows(tmp_path / "rows.arrow", rows)
    with pa.memory_map(str(tmp_path / "rows.arrow")) as source, pa.ipc.open_file(source) as reader:
        sizes = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
    assert sizes == [4, 2]
    assert (
        PackedRows([tmp_path / "rows.arrow"]).tokens(range(6)).tolist() == rows.tokens_RT.tolist()
    )


def test_tables_keep_ids_files_and_records_together(tmp_path: Path) -> None:
    write_document_table(tmp_path / "a", ["00", "11"], ["f", "g"], np.array([7, 5]))
    write_file_table(tmp_path / "b", [{"digest": "f", "name": "one"}, {"name": "2", "digest": "g"}])
    found = []
    for name in ("a", "b"):
        with pa.memory_map(str(tmp_path / name)) as source, pa.ipc.open_file(source) as reader:
            found.append(reader.read_all().to_pylist())
    assert found == [
        [{"id": "00", "file": "f", "record": 7}, {"id": "11", "file": "g", "record": 5}],
        [{"digest": "f", "name": "one"}, {"digest": "g", "name": "2"}],
    ]


def test_ids_are_wide_only_where_they_must_be() -> None:
    """65,536 ids end with 65,535."""
    assert token_type(1 << 16) == np.uint16
    assert token_type((1 << 16) + 1) == np.int32


def documents_file(folder: Path, texts: list[str]) -> Path:
    with DocumentWriter(folder / "texts.arrow") as writer:
        for number, text in enumerate(texts):
            writer.add(3 * number, text)
    return folder / "texts.arrow"


@pytest.mark.parametrize("most", [1, 4, 5, 1000])
def test_a_file_is_encoded_batch_by_batch(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every document once and in order, however many characters are in a batch."""
    monkeypatch.setattr(encoded_module, "_BATCH_CHARACTERS", most)
    texts = ["ab", "cd", "", "e", "fghijk", "l"]
    path = documents_file(tmp_path, texts)
    batches = list(encoded_module._batches(read_documents(path)))
    assert [document.text for batch in batches for document in batch] == texts
    sizes = [[sum(len(d.text) for d in batch[:n]) for n in (-1, None)] for batch in batches]
    assert all(before < most <= size for before, size in sizes[:-1])


def test_encoded_files_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    """Empty arrays too, which cannot be mapped."""
    for number, encoded in enumerate((ONE, Encoded.of([]), Encoded.of([[]]))):
        paths = {part: tmp_path / f"{number}{part}.npy" for part in PARTS}
        encoded.save(paths)
        found = Encoded.open(paths)
        assert found.num_documents == encoded.num_documents
        for part in PARTS:
            assert getattr(found, part).tolist() == getattr(encoded, part).tolist()


def stored_arrays(folder: Path, encoded: Encoded, name: str) -> dict[str, StoredFile]:
    paths = {part: folder / f"{name}.{part}.npy" for part in PARTS}
    encoded.save(paths)
    return {part: StoredFile(str(path), "", path.stat().st_size) for part, path in paths.items()}


def test_the_table_of_a_shard_is_of_its_pieces_in_order(tmp_path: Path) -> None:
    """Ids, files and record numbers of just these documents."""
    texts = ["a", "b", "c", "d"]
    ids = np.frombuffer(b"".join(map(document_id, texts)), dtype=np.uint8).reshape(-1, 16)
    whole = Encoded(np.arange(4, dtype=np.uint16), np.arange(5), ids, np.array([9, 8, 7, 6]))
    arrays = stored_arrays(tmp_path, whole, "x")
    pieces = [
        {"arrays": arrays, "file": "second", "first": 2, "last": 4},
        {"arrays": arrays, "file": "first", "first": 0, "last": 1},
    ]
    work = UnitWork("documents/train/00000", tmp_path / "work")
    report = pack_rows.tabulate_documents(work, pieces=pieces)
    assert report.rows == {".arrow": 3}
    with pa.memory_map(str(work.path(".arrow"))) as source, pa.ipc.open_file(source) as reader:
        lines = reader.read_all().to_pylist()
    assert [line["file"] for line in lines] == ["second", "second", "first"]
    assert [line["record"] for line in lines] == [7, 6, 9]
    assert [line["id"] for line in lines] == [document_id(text).hex() for text in "cda"]


@pytest.mark.parametrize(
    ("form", "specials", "summary"),
    [
        ("full_sentences", "bos_eos", [4, 7, 7, 2]),
        ("full_sentences", "none", [2, 7, 0, 2]),
        ("doc_sentences", "bos_eos", [4, 7, 8, 2]),
        ("doc_sentences", "none", [3, 7, 0, 2]),
    ],
)
def test_a_shard_tells_what_was_written(
    form: Any, specials: Any, summary: list[int], tmp_path: Path
) -> None:
    """Rows, tokens of text, special tokens, documents of which there is text."""
    piece = {"arrays": stored_arrays(tmp_path, ONE, "x"), "file": "f", "first": 0, "last": 3}
    work = UnitWork("train/00000", tmp_path / "work")
    report = pack_rows.write_shard(
        work, pieces=[piece], row_tokens=4, format=form, special_tokens=specials
    )
    assert list(report.summary.values()) == summary
    assert report.rows == {".arrow": summary[0]}


def result_of(label: str, **summary: Any) -> UnitResult:
    return UnitResult(label, "", {}, Ledger(), summary, reused=False)


def test_a_split_is_booked_by_what_lies_in_its_own_shards() -> None:
    """What was encoded came in; empty documents are told; the other split's shards are not its."""
    files = [
        pack_rows.EncodedFile(
            "a", "d", result_of("encoded/train/a", documents=3, tokens=50, empty=1)
        ),
        pack_rows.EncodedFile(
            "b", "e", result_of("encoded/train/b", documents=2, tokens=7, empty=0)
        ),
    ]
    written = [
        result_of("train/00000", rows=1, tokens=40, special_tokens=5, documents=2),
        result_of("train/00001", rows=2, tokens=16, special_tokens=6, documents=2),
        result_of("held_out/00000", rows=9, tokens=9, special_tokens=9, documents=9),
    ]
    ledger = Ledger()
    told = pack_rows._account("train", files, written, ledger)
    assert told == {"rows": 3, "documents": 4, "tokens": 56, "special_tokens": 11}
    assert ledger["documents"].to_json() == {"in": 5, "kept": 4, "dropped": {"empty": 1}}
    assert ledger["tokens"].to_json() == {"in": 57, "kept": 56, "dropped": {}}


def test_what_rows_are_made_of_says_neither_how_many_make_a_shard_nor_where_a_file_stands() -> None:
    """So the units of another order or shard size are taken over."""
    layout = Layout(10, "full_sentences", "none", 7)
    assert pack_rows._row_layout(layout) == {
        "row_tokens": 10,
        "format": "full_sentences",
        "special_tokens": "none",
    }


class Here:
    """A context that runs units in this process and keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def map(self, function: Any, units: list[Unit], **_: Any) -> list[UnitResult]:
        return [self._run(function, unit) for unit in units]

    def _run(self, function: Any, unit: Unit) -> UnitResult:
        work = UnitWork(unit.label, self.folder)
        report = function(work, **unit.payload)
        files = {suffix: StoredFile(str(work.path(suffix)), "", 0) for suffix in report.rows}
        return UnitResult(unit.label, "", files, report.ledger, report.summary, reused=False)


@pytest.mark.parametrize("form", ["full_sentences", "doc_sentences"])
def test_text_that_does_not_fill_one_row_is_refused_and_one_row_is_enough(
    form: Any, tmp_path: Path
) -> None:
    """Every token and </s> counts, the row's own <s> does not; of the training text alone."""

    def encoded_file(name: str, encoded: Encoded) -> pack_rows.EncodedFile:
        arrays = stored_arrays(tmp_path, encoded, name)
        files = {f".{part}.npy": file for part, file in arrays.items()}
        tokens = {"tokens": len(encoded.tokens)}
        unit = UnitResult(name, "", files, Ledger(), tokens, reused=False)
        return pack_rows.EncodedFile(name, name, unit)

    context: Any = Here(tmp_path / "work")
    files = {
        "train": [encoded_file("a", ONE), encoded_file("b", TWO)],
        "held_out": [encoded_file("c", Encoded.of([]))],
    }
    row_tokens = 17 if form == "full_sentences" else 6
    layout = Layout(row_tokens, form, "bos_eos", 1000)
    shards = pack_rows._cut(context, layout, files)  # type: ignore[arg-type]
    assert shards["held_out"] == []
    (shard,) = shards["train"]
    spans = [(piece["file"], piece["first"], piece["last"]) for piece in shard]
    assert spans == [("a", 0, 3), ("b", 0, 2)]
    if form == "full_sentences":
        longer = Layout(row_tokens + 1, form, "bos_eos", 1000)
        with pytest.raises(UserError, match=r"is 11 tokens long, less than one row of 18 "):
            pack_rows._cut(context, longer, files)  # type: ignore[arg-type]
    else:
        nothing = {"train": [encoded_file("d", Encoded.of([[]]))], "held_out": files["train"]}
        with pytest.raises(UserError, match=r"is 0 tokens long, less than one row of 6 "):
            pack_rows._cut(context, layout, nothing)  # type: ignore[arg-type]
