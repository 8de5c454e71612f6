"""How much text there is: exact for what is small, near for what is large."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.config.reading import ReadingOptions
from tasks.formats.source_files import SourceFile, unkept
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
