"""The `datasets` library as a source, on local dataset folders and without a network."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.config.corpus import HubSource
from tasks.documents import Document, read_documents
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import UserError
from tasks.sources.hub import (
    check_columns,
    check_data_files,
    describe_folder,
    num_parts,
    read_dataset,
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "dataset"
    place.mkdir()
    for part in range(3):
        lines = (json.dumps({"n": n, "text": f"part {part} text {n}"}) for n in range(4))
        content = "".join(line + "\n" for line in lines).encode()
        (place / f"train-{part}.jsonl.gz").write_bytes(gzip.compress(content))
    (place / "test-0.jsonl").write_text('{"n": 0, "text": "held out"}\n')
    return place


def read(
    out: Path, folder: Path, part: int = 0, parts: int = 1, **options: Any
) -> tuple[list[Document], UnitReport]:
    hub = HubSource(dataset=str(folder), **options)
    work = UnitWork(f"u{part}", out / "out")
    report = read_dataset(work, hub=hub, folder=describe_folder(hub), part=part, num_parts=parts)
    report.ledger.check("hub")
    return list(read_documents(work.path(".arrow"))), report


def test_each_file_of_a_dataset_is_a_part_and_together_they_are_all(
    folder: Path, tmp_path: Path
) -> None:
    """Parts are disjoint and complete."""
    assert num_parts(HubSource(dataset=str(folder))) == 3
    found = [document for part in range(3) for document in read(tmp_path, folder, part, 3)[0]]
    expected = {f"part {part} text {n}" for part in range(3) for n in range(4)}
    assert {document.text for document in found} == expected
    assert len({document.id for document in found}) == 12


def test_limits_and_splits(folder: Path, tmp_path: Path) -> None:
    """max_documents and max_bytes stop in time; a split is read by its name."""
    assert num_parts(HubSource(dataset=str(folder), max_documents=5)) == 1
    assert len(read(tmp_path, folder, max_documents=5)[0]) == 5
    assert len(read(tmp_path, folder, max_bytes=33)[0]) == 2
    assert [d.text for d in read(tmp_path, folder, split="test")[0]] == ["held out"]


def test_mistakes_are_told_in_a_paragraph(folder: Path, tmp_path: Path) -> None:
    """A wrong field, a wrong split, no such dataset."""
    with pytest.raises(UserError, match=r"record 0: there is no 'txt'.* did you mean 'text'"):
        read(tmp_path, folder, text_field="txt")
    with pytest.raises(UserError, match=r"cannot be read \(.*split"):
        read(tmp_path, folder, split="dev")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path, tmp_path / "nowhere")


def test_a_local_dataset_is_known_by_its_files(folder: Path) -> None:
    """Editing a file changes what the stage depends on."""
    source = HubSource(dataset=str(folder))
    before = describe_folder(source)
    assert sorted(before) == ["test-0.jsonl"] + [f"train-{n}.jsonl.gz" for n in range(3)]
    (folder / "test-0.jsonl").write_text('{"text": "other"}\n')
    after = describe_folder(source)
    assert [name for name in before if before[name].sha256 != after[name].sha256] == [
        "test-0.jsonl"
    ]


CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: {path}
---
"""


@pytest.mark.parametrize("path", ["{outside}", "../outside.txt", "file://{outside}"])
def test_a_card_cannot_name_a_file_outside_the_dataset(
    path: str, folder: Path, tmp_path: Path
) -> None:
    """A stranger's folder must not put a file of ours into the corpus."""
    outside = tmp_path / "outside.txt"
    outside.write_text("private\n")
    (folder / "README.md").write_text(CARD.format(path=path.format(outside=outside)))
    for use in (lambda: num_parts(HubSource(dataset=str(folder))), lambda: read(tmp_path, folder)):
        with pytest.raises(UserError, match=r"names .*outside\.txt, which is no file of"):
            use()


def test_a_card_may_choose_among_the_datasets_own_files(folder: Path, tmp_path: Path) -> None:
    """By name, or by an absolute path into the folder."""
    for path in ("test-0.jsonl", str(folder / "test-0.jsonl")):
        (folder / "README.md").write_text(CARD.format(path=path))
        assert [document.text for document in read(tmp_path, folder)[0]] == ["held out"]


def test_files_of_the_hub_are_of_the_hub() -> None:
    """A card there cannot name a file of this machine either, nor another server's."""
    source = HubSource(dataset="owner/name")
    check_data_files(
        source, ["hf://datasets/owner/name@abc/a.txt", "zip://b::hf://datasets/o/c.zip"]
    )
    for file in ("/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/x"):
        with pytest.raises(UserError, match="is no file of the dataset"):
            check_data_files(source, [file])


def test_what_save_to_disk_wrote_is_told_apart(folder: Path, tmp_path: Path) -> None:
    """It is no dataset folder to the library."""
    (folder / "state.json").write_text("{}")
    with pytest.raises(UserError, match=r"`save_to_disk`.*`type: files`"):
        read(tmp_path, folder)


def test_arrow_files_of_a_dataset_are_looked_through_before_its_library_reads_them(
    tmp_path: Path,
) -> None:
    """An offset that leads out of one would end the process."""
    folder = tmp_path / "columns"
    folder.mkdir()
    table = pa.table({"text": ["a" * 30, "b" * 30], "more": [["x"], ["y", "z"]]})
    parquet.write_table(table, folder / "a.parquet")
    with pa.ipc.new_stream(str(folder / "b.arrow"), table.schema) as writer:
        writer.write_table(table)
    check_columns(describe_folder(HubSource(dataset=str(folder))))
    content = (folder / "b.arrow").read_bytes()
    offsets = struct.pack("<ii", 30, 60)
    assert offsets in content
    far = offsets[:4] + struct.pack("<i", 0x7FFFFFF0)
    (folder / "b.arrow").write_bytes(content.replace(offsets, far))
    with pytest.raises(UserError, match=r"b\.arrow: the data are damaged"):
        check_columns(describe_folder(HubSource(dataset=str(folder))))
