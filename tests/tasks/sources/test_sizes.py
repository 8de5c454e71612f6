"""How much text there is: exact for what is small, near for what is large."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.source_files import SourceFile, unkept
from tasks.sources import sizes
from tasks.sources.sizes import guessed, sampled


def written(path: Path, texts: list[str], **options: Any) -> SourceFile:
    if path.suffix == ".parquet":
        parquet.write_table(pa.table({"text": texts}), path, row_group_size=500)
        return unkept(path, ReadingOptions())
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    path.write_bytes(gzip.compress(lines.encode(), 1) if path.suffix == ".gz" else lines.encode())
    return unkept(path, ReadingOptions(**options))


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_what_is_small_is_counted(ending: str, tmp_path: Path) -> None:
    """Whatever the files are like: the first is short, the last packs far better."""
    texts = [[f"größe {n}"] * (30 * n) + [" ".join(map(str, range(9_000 * n)))] for n in range(7)]
    files = [written(tmp_path / f"{n}{ending}", its) for n, its in enumerate(texts)]
    assert sampled(files) == {
        "documents": sum(map(len, texts)),
        "bytes": sum(len(text.encode()) for its in texts for text in its),
    }


@pytest.mark.parametrize(
    ("ending", "options"),
    [(".jsonl", {}), (".jsonl", {"encoding": "auto"}), (".jsonl.gz", {}), (".parquet", {})],
)
def test_what_is_large_is_multiplied_up(
    ending: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """From a part of some of its files: within a tenth where they are alike."""
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 10**9, 200).tolist())) for _ in range(4000)]
    files = [written(tmp_path / f"{n}{ending}", texts, **options) for n in range(5)]
    assert sum(file.file.bytes for file in files) > 16 << 20
    found = sampled(files)
    assert found["documents"] == pytest.approx(5 * len(texts), rel=0.1)
    assert found["bytes"] == pytest.approx(5 * sum(map(len, texts)), rel=0.1)


def test_what_nobody_reads_is_guessed_as_packed_text() -> None:
    assert guessed(4000) == {"documents": 5, "bytes": 10_000}


def test_members_and_files_that_are_documents_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However uneven the archives: a directory has members and their sizes, nothing is read."""
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(sizes, "_SAMPLE_BYTES", 1 << 10)
    options = ReadingOptions(separator="file")
    files, texts = [], list[str]()
    for number, (members, words) in enumerate([(2, 40_000), (900, 30), (3, 50_000), (40, 200)] * 2):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("._left by a Mac", "x" * 500_000)
            for member in range(members):
                texts.append(f"{member} words and words" * words)
                archive.writestr(f"m/{member}", texts[-1])
        files.append(unkept(path, options))
    for number, size in enumerate([7, 90_000] * 5):
        texts.append("plain. " * size)
        (tmp_path / f"{number}.txt").write_text(texts[-1], encoding="utf-8")
        files.append(unkept(tmp_path / f"{number}.txt", options))
    found = sampled(files)
    assert found["documents"] == len(texts)
    assert found["bytes"] == pytest.approx(sum(map(len, texts)), rel=0.1)


def test_members_with_several_documents_are_multiplied_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number says nothing; a damaged directory is told as damage."""
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 0)
    path = tmp_path / "lines.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in range(30):
            archive.writestr(f"{member}.txt", "a line of text\n" * 20_000)
    file = unkept(path, ReadingOptions(separator="line"))
    found = sampled([file])
    assert found["documents"] == pytest.approx(600_000, rel=0.1)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="lines.zip"):
        sampled([file])
