"""Document files, rule by rule: batches, counts, and that nothing damaged is ever read."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tasks import documents
from tasks.arrow_files import validated_batches
from tasks.boundaries import Boundaries, draw
from tasks.documents import (
    SCHEMA,
    Document,
    DocumentWriter,
    count_documents,
    document_id,
    read_documents,
)
from tasks.errors import StageError


def write(path: Path, texts: Sequence[str], first: int = 0) -> DocumentWriter:
    with DocumentWriter(path) as writer:
        for record, text in enumerate(texts, start=first):
            writer.add(record, text)
    return writer


def batches(path: Path) -> list[int]:
    with pa.ipc.open_file(str(path)) as reader:
        return [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]


def test_an_id_is_half_of_a_blake2b_of_the_texts_bytes(tmp_path: Path) -> None:
    """The writer, which has the bytes already, gives the same one."""
    expected = blake2b("naïve".encode(), digest_size=16).digest()
    assert document_id("naïve") == expected
    writer = write(tmp_path / "a.arrow", ["x", "naïve"])
    assert writer.last_id == expected
    ids = [document.id for document in read_documents(tmp_path / "a.arrow")]
    assert ids == [document_id("x"), expected]


def test_records_keep_the_numbers_they_were_given(tmp_path: Path) -> None:
    write(tmp_path / "a.arrow", ["x", "y"], first=7)
    assert list(read_documents(tmp_path / "a.arrow")) == [
        Document(document_id("x"), 7, "x"),
        Document(document_id("y"), 8, "y"),
    ]


def test_a_batch_is_full_at_its_number_of_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty texts come to no bytes at all."""
    monkeypatch.setattr(documents, "BATCH_DOCUMENTS", 3)
    write(tmp_path / "a.arrow", [""] * 7)
    assert batches(tmp_path / "a.arrow") == [3, 3, 1]


def test_a_batch_is_full_at_its_very_number_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what waits is counted anew for each."""
    monkeypatch.setattr(documents, "BATCH_BYTES", 4)
    write(tmp_path / "a.arrow", ["ab", "cd", "e", "fgh", "i"])
    assert batches(tmp_path / "a.arrow") == [2, 2, 1]


def test_the_limits_of_a_batch_are_those_of_memory() -> None:
    assert (documents.BATCH_BYTES, documents.BATCH_DOCUMENTS) == (8_388_608, 65_536)


def test_text_is_compressed_with_zstd(tmp_path: Path) -> None:
    """A level more would change the bytes of every artifact, and their keys."""
    write(tmp_path / "a.arrow", ["again and again " * 5000])
    content = (tmp_path / "a.arrow").read_bytes()
    assert len(content) < 2000
    assert b"\x28\xb5\x2f\xfd" in content


def test_documents_and_bytes_are_counted_over_all_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BATCH_DOCUMENTS", 2)
    write(tmp_path / "a.arrow", ["日本", "ä", "x", "", "yz"])
    assert count_documents(tmp_path / "a.arrow") == (5, 11)
    write(tmp_path / "b.arrow", [])
    assert count_documents(tmp_path / "b.arrow") == (0, 0)


@pytest.mark.parametrize(
    ("added", "found"), [((2, 5), (2, 6)), ((2, 5), (3, 5)), ((2, 5), (1, 5)), ((2, 5), (2, 4))]
)
def test_a_file_of_other_documents_or_other_bytes_is_a_defect(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    added: tuple[int, int],
    found: tuple[int, int],
) -> None:
    monkeypatch.setattr(documents, "count_documents", lambda _: found)
    writer = DocumentWriter(tmp_path / "a.arrow")
    writer.add(0, "ab")
    writer.add(1, "cde")
    assert (writer.num_documents, writer.num_bytes) == added
    with pytest.raises(StageError, match=rf"a\.arrow holds {found[0]} .* of {found[1]} bytes"):
        writer.close()


def test_the_own_mistake_of_a_block_is_not_covered_by_that_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), DocumentWriter(tmp_path / "a.arrow") as writer:
        writer.add(0, str(1 // 0))


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    """Though they have the same names: an id of another width is another's file."""
    other = pa.schema([pa.field("id", pa.binary(8), nullable=False), *list(SCHEMA)[1:]])
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), other):
        pass
    for reads in (read_documents, count_documents):
        reader: Any = reads
        with pytest.raises(StageError, match=r"a\.arrow: this Arrow file is damaged \(its columns"):
            list(reader(tmp_path / "a.arrow"))
    assert list(validated_batches(tmp_path / "a.arrow")) == []


def test_offsets_that_lead_out_of_the_file_are_damage(tmp_path: Path) -> None:
    """Arrow would believe them, and read another process's memory."""
    path = tmp_path / "a.arrow"
    offsets = pa.py_buffer(b"".join(n.to_bytes(8, "little") for n in (0, 10**6, 3)))
    text = pa.Array.from_buffers(pa.large_string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    columns = [pa.array([b"x" * 16] * 2, SCHEMA.field("id").type), pa.array([0, 1]), text]
    with pa.ipc.new_file(str(path), SCHEMA) as writer:
        writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    with pytest.raises(StageError, match=r"is damaged .*verify CONFIG --repair"):
        list(read_documents(path))


def test_text_that_is_no_utf8_is_damage(tmp_path: Path) -> None:
    """Only a look at every byte finds it."""
    path = tmp_path / "a.arrow"
    text = pa.array([b"\xff\xfe"], pa.large_binary()).view(pa.large_string())
    columns = [pa.array([b"x" * 16], SCHEMA.field("id").type), pa.array([0]), text]
    with pa.ipc.new_file(str(path), SCHEMA) as writer:
        writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    with pytest.raises(StageError, match="is damaged"):
        list(validated_batches(path, SCHEMA))


def test_a_file_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    """Repairing would be in vain; the system's own error tells."""
    with pytest.raises(FileNotFoundError):
        list(validated_batches(tmp_path / "none.arrow"))
    (tmp_path / "empty.arrow").touch()
    with pytest.raises(StageError, match="is damaged"):
        list(validated_batches(tmp_path / "empty.arrow"))


def test_a_draw_is_made_of_the_second_half_of_an_id() -> None:
    """The first half draws the tokenizer's sample: the two must not hang together."""
    assert draw(b"\xff" * 8 + bytes(8)) == 0.0
    assert draw(bytes(8) + b"\x40" + bytes(7)) == 0.25
    assert draw(bytes(8) + bytes(7) + b"\x01") == 2.0**-64


def test_where_a_piece_may_end() -> None:
    """Never below half; by its draw to double; almost surely to four times; always from there."""
    piece = Boundaries(100)
    assert piece.longest == 400
    # (since, size, the draw below which it ends)
    for since, size, limit in (
        (49, 10, 0.0), (50, 10, 0.2), (199, 10, 0.2), (200, 1, 0.32), (399, 1, 0.32),
        (400, 1, 1.0),
    ):  # fmt: skip
        if limit > 0:
            assert piece.ends(since, size, limit - 0.001), since
        if limit < 1:
            assert not piece.ends(since, size, limit + 0.001), since
    assert not piece.ends(50, 10, 0.2), "a draw that is as high does not end it"
