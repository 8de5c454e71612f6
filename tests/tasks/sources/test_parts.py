"""A unit's documents in files of about the wanted size, none of them empty, none lost."""

import random
from pathlib import Path

import pytest

from tasks.documents import read_documents
from tasks.engine.units import UnitWork
from tasks.sources import parts
from tasks.sources.parts import DocumentParts
from tasks.sources.sink import DocumentSink

SIZE = 4000


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", SIZE)


def written(folder: Path, texts: list[str]) -> list[list[str]]:
    """The texts of each file, in order."""
    with DocumentParts(UnitWork("u", folder)) as writer:
        sink = DocumentSink(writer, "replace")
        for text in texts:
            sink.add(text, "here")
    report = sink.report()
    files = [
        [document.text for document in read_documents(folder / f"u{suffix}")]
        for suffix in sorted(report.rows)
    ]
    assert [len(file) for file in files] == [report.rows[suffix] for suffix in sorted(report.rows)]
    return files


def test_files_are_about_as_large_as_wanted(tmp_path: Path) -> None:
    """Each counts from its own beginning: half of it at least, but for the last."""
    lengths = random.Random(1)
    texts = [f"{n} " + "x" * lengths.randrange(200) for n in range(2000)]
    files = written(tmp_path, texts)
    assert [text for file in files for text in file] == texts
    sizes = [sum(map(len, file)) for file in files]
    assert min(sizes[:-1]) >= SIZE / 2
    assert SIZE * 0.8 < sum(sizes) / len(sizes) < SIZE * 1.2
    assert max(sizes) <= 4 * SIZE + 210


def test_no_file_is_without_documents(tmp_path: Path) -> None:
    """A text that has to be mended is added twice, and may be the first of a file."""
    files = written(tmp_path, [f"{n} \ud800 " + "x" * SIZE for n in range(5)])
    assert [len(file) for file in files] == [1] * 5
    assert written(tmp_path, []) == [[]]
