"""Document files: what goes in comes out, in bounded batches and in the same bytes."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import documents
from tasks.documents import Document, DocumentWriter, document_id, read_documents
from tasks.errors import StageError

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=30)


def write(path: Path, found: list[str]) -> list[Document]:
    with DocumentWriter(path) as writer:
        for record, text in enumerate(found):
            writer.add(record, text)
    return [Document(document_id(text), record, text) for record, text in enumerate(found)]


@given(found=texts)
@settings(max_examples=40, deadline=None)
def test_documents_come_back_as_they_were_written(found: list[str]) -> None:
    """Any valid text survives, empty texts and empty files included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.arrow"
        written = write(path, found)
        assert list(read_documents(path)) == written


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    """A documents file is a pure function of its documents."""
    found = [f"document {n} ".encode().decode() * (n % 50) for n in range(2000)]
    write(tmp_path / "a.arrow", found)
    write(tmp_path / "b.arrow", found)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_the_writer_flushes_when_enough_text_is_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch grows past the limit by more than one document, so memory stays bounded."""
    monkeypatch.setattr(documents, "BATCH_BYTES", 1000)
    written = write(tmp_path / "a.arrow", ["ä" * 200] * 10)
    with pa.ipc.open_file(str(tmp_path / "a.arrow")) as reader:
        sizes = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
    assert sizes == [3, 3, 3, 1]
    assert list(read_documents(tmp_path / "a.arrow")) == written


def test_the_writer_counts_documents_and_utf8_bytes(tmp_path: Path) -> None:
    """The counts are those of the text as UTF-8, which the ledger works with."""
    with DocumentWriter(tmp_path / "a.arrow") as writer:
        assert writer.add(0, "naïve") == 6
        writer.add(1, "日本")
    assert (writer.num_documents, writer.num_bytes) == (2, 12)


def test_lone_surrogates_are_refused(tmp_path: Path) -> None:
    """Text that UTF-8 cannot carry raises instead of reaching the file."""
    with DocumentWriter(tmp_path / "a.arrow") as writer, pytest.raises(UnicodeEncodeError):
        writer.add(0, "\ud800")


def test_an_id_is_made_of_the_text_alone() -> None:
    """Another text has another id, and the same text the same one on every machine."""
    assert document_id("a text").hex() == "706860d9e8c7ee1c65261bc1e5b75631"
    assert len({document_id(text) for text in ("a text", "a text ", "A text", "")}) == 4


@pytest.mark.parametrize("fault", ["lost", "twice", "cut"])
def test_a_writer_that_loses_text_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The file is counted after it is written, so a ledger cannot add up without the text."""
    flush = DocumentWriter._flush

    def faulty(self: DocumentWriter) -> None:
        if fault == "cut":
            self._texts = [text[:-1] for text in self._texts]
        else:
            parts: tuple[list[Any], ...] = (self._ids, self._records, self._texts)
            for part in parts:
                part[:] = part[::2] if fault == "lost" else part * 2
        flush(self)

    monkeypatch.setattr(DocumentWriter, "_flush", faulty)
    with pytest.raises(StageError, match=r"holds \d+ documents of [\d,]+ bytes, but 3 of 18 were"):
        write(tmp_path / "documents.arrow", ["one 11", "two 22", "six 66"])
