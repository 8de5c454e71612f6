"""Every record is counted, what holds no text is dropped, and units hand on what they wrote."""

from pathlib import Path
from typing import Any

import pytest

from tasks.documents import read_documents
from tasks.engine.ledger import Ledger
from tasks.engine.units import StoredFile, UnitReport, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.sources.parts import DocumentParts
from tasks.sources.sink import DocumentSink
from tasks.sources.summaries import SourceSummary, documents_files


def added(folder: Path, texts: list[str | None], errors: str = "refuse") -> UnitReport:
    with DocumentParts(UnitWork("u", folder)) as writer:
        sink = DocumentSink(writer, errors)
        for number, text in enumerate(texts):
            size = len((text or "").encode("utf-8", "replace"))
            assert sink.add(text, "here") >= size
            assert sink.num_records == number + 1
        return sink.report(parts=[], bytes_read=7)


def test_records_keep_their_number_and_are_counted_in_utf8_bytes(tmp_path: Path) -> None:
    report = added(tmp_path, ["größe", None, "\u3000", "", " x "])
    found = [(document.record, document.text) for document in read_documents(tmp_path / "u.arrow")]
    assert found == [(0, "größe"), (4, " x ")]
    assert report.ledger.to_json() == {
        "documents": {"in": 5, "kept": 2, "dropped": {"empty": 3}},
        "bytes": {"in": 13, "kept": 10, "dropped": {"empty": 3}},
    }
    assert report.summary == {"documents": 2, "bytes": 10, "parts": [], "bytes_read": 7}
    assert report.rows == {".arrow": 2}


def test_a_unit_without_records_has_balances_of_nothing(tmp_path: Path) -> None:
    nothing = {"in": 0, "kept": 0, "dropped": {}}
    report = added(tmp_path, [])
    assert report.ledger.to_json() == {"documents": nothing, "bytes": nothing}
    assert report.summary["documents"] == report.summary["bytes"] == 0


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_half_of_a_pair_is_refused_or_replaced(code: int, tmp_path: Path) -> None:
    """The message says where it stands; nothing else of the text changes."""
    half = chr(code)
    with pytest.raises(UserError, match=rf"here: .*\(\\u{code:04x} at character 3\)"):
        added(tmp_path / "one", [f"ab {half}"])
    report = added(tmp_path, [f"é {half}{half}x"], "replace")
    (document,) = read_documents(tmp_path / "u.arrow")
    assert document.text == "é \ufffd\ufffdx"
    assert report.ledger.to_json()["bytes"] == {"in": 10, "kept": 10, "dropped": {}}


def result(label: str, summary: dict[str, Any], *suffixes: str) -> UnitResult:
    files = {suffix: StoredFile(label + suffix, "", 0) for suffix in suffixes}
    return UnitResult(label, "", files, Ledger(), summary, reused=False)


def test_a_source_is_the_sum_of_its_units() -> None:
    """Its files come unit by unit, the parts of each in their order."""
    units = [
        result(
            "a/0", {"documents": 2, "bytes": 7, "encodings": {"cp1252": 1, "utf-8": 2}}, ".arrow"
        ),
        result("a/1", {"documents": 1, "bytes": 4}, ".part-00001.arrow", ".arrow"),
        result("a/2", {"documents": 5, "bytes": 9, "encodings": {"utf-8": 3}}, ".arrow"),
    ]
    found = SourceSummary.of_units("letters", "files", units)
    assert (found.name, found.type, found.documents, found.bytes) == ("letters", "files", 8, 20)
    assert found.guessed_encodings == {"cp1252": 1, "utf-8": 5}
    assert found.files == ("a/0.arrow", "a/1.arrow", "a/1.part-00001.arrow", "a/2.arrow")
    assert SourceSummary.from_json(found.to_json()) == found
    assert isinstance(found.to_json()["files"], list)


def test_a_documents_file_is_of_the_source_that_names_it() -> None:
    """Numbered in the config's order, whatever the files are called."""
    sources = [
        SourceSummary("b", "files", 1, 1, ("d/00-0.arrow",)),
        SourceSummary("a", "http", 0, 0, ()),
        SourceSummary("c", "hub", 2, 2, ("d/02-0.arrow", "d/02-0.part-00001.arrow")),
    ]
    outputs = {path: StoredFile(path, path, 0) for each in sources for path in each.files}
    found = [
        (file.name, file.source, file.stored.url) for file in documents_files(sources, outputs)
    ]
    assert found == [
        ("00-0", 0, "d/00-0.arrow"),
        ("02-0", 2, "d/02-0.arrow"),
        ("02-0.part-00001", 2, "d/02-0.part-00001.arrow"),
    ]
