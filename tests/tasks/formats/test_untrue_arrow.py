"""Arrow and Parquet files that say something untrue of themselves are refused, and end nothing.

Each is read in a process of its own: before, some of them ended the process that read them.
"""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from small_models import write_random_rows

from roberta_model.data.rows import PackedRows
from tasks.documents import DocumentWriter, read_documents
from tasks.errors import StageError

ROOT = Path(__file__).resolve().parents[3]
FAR = struct.pack("<i", 0x7FFFFFF0)
READ = """
import sys
from pathlib import Path
from file_reading import read
from tasks.errors import UserError
for path in sys.argv[2:]:
    try:
        print("read", len(read(Path(path), Path(sys.argv[1], f"of-{Path(path).name}"))[0]))
    except UserError as problem:
        print(problem)
"""


def write_texts(path: Path, column: pa.Array, stream: bool = False) -> None:
    """An Arrow file of one column of text."""
    batch = pa.record_batch([column], names=["text"])
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), batch.schema) as writer:
        writer.write_batch(batch)


def damage(path: Path, old: bytes, new: bytes) -> None:
    """Change every place that holds some bytes."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def test_offsets_and_numbers_that_lead_out_of_a_file_are_refused(tmp_path: Path) -> None:
    """One wrong offset, index or byte, in a file and in a stream."""
    texts = pa.array(["a" * 30, "b" * 30, "c" * 30])
    offsets = struct.pack("<III", 30, 60, 90)
    for name, stream in (("file.arrow", False), ("stream.arrow", True)):
        write_texts(tmp_path / name, texts, stream)
        damage(tmp_path / name, offsets, FAR + offsets[4:])
    numbered = pa.DictionaryArray.from_arrays(pa.array([7, 8, 9]), list("abcdefghij"))
    write_texts(tmp_path / "index.arrow", numbered)
    damage(
        tmp_path / "index.arrow", struct.pack("<qqq", 7, 8, 9), struct.pack("<qqq", 7, 1 << 40, 9)
    )
    write_texts(tmp_path / "bytes.arrow", texts)
    damage(tmp_path / "bytes.arrow", b"b" * 30, b"\xff" * 30)
    names = ["file.arrow", "stream.arrow", "index.arrow", "bytes.arrow"]
    paths = [ROOT, ROOT / "tests/support"]
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), *(str(tmp_path / name) for name in names)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    told = done.stdout.splitlines()
    assert len(told) == len(names)
    for name, line in zip(names, told, strict=True):
        assert f"{name}: the data are damaged" in line


def test_a_damaged_file_of_documents_is_refused(tmp_path: Path) -> None:
    """A store's file with a wrong byte ends the stage in a paragraph, not the process."""
    path = tmp_path / "documents.arrow"
    with DocumentWriter(path) as writer:
        writer.add(0, "one")
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[at] ^= 0x7F
        (tmp_path / "damaged.arrow").write_bytes(damaged)
        try:
            list(read_documents(tmp_path / "damaged.arrow"))
        except StageError as problem:
            assert "verify CONFIG --repair" in str(problem)  # noqa: PT017


def test_a_packed_shard_with_a_wrong_offset_is_refused(tmp_path: Path) -> None:
    """Its documents are found by offsets."""
    path = tmp_path / "rows.arrow"
    write_random_rows(path, 5, 16, 100)
    damage(
        path,
        struct.pack("<6i", *range(6)),
        struct.pack("<i", 0) + FAR + struct.pack("<4i", *range(2, 6)),
    )
    with pytest.raises(ValueError, match="not a readable Arrow file"):
        PackedRows([path]).document_spans(1)
