"""Datasets, rule by rule: which files are theirs, where reading ends, what names a unit."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.config.corpus import HubSource
from tasks.documents import read_documents
from tasks.engine.units import Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import TransientError, UserError
from tasks.sources import hub
from tasks.sources.hub import (
    HubDataset,
    check_columns,
    check_data_files,
    describe_folder,
    num_parts,
    read_dataset,
)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


class _Records(list[dict[str, Any]]):
    """Stands for a dataset of the library."""

    num_shards = 7

    def shard(self, num_shards: int, index: int, contiguous: bool) -> "_Records":
        assert contiguous, "files would be read out of order"
        size = len(self) // num_shards
        return _Records(self[index * size : (index + 1) * size])


def read(
    folder: Path, records: Sequence[Any], part: int = 0, parts: int = 1, **options: Any
) -> tuple[list[str], UnitReport]:
    """What is read of records, without the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "_open", lambda source: _Records(records))
        source, work = HubSource(dataset="owner/name", **options), UnitWork("u", folder)
        report = read_dataset(work, hub=source, folder={}, part=part, num_parts=parts)
    report.ledger.check("hub")
    return [document.text for document in read_documents(work.path(".arrow"))], report


TEXTS = [{"text": text} for text in ("ééé", "xxxx", "y", "zz")]


def test_reading_ends_before_the_record_that_would_be_too_much(tmp_path: Path) -> None:
    """Bytes of UTF-8; just the limit is taken, and nothing behind the first that is too much."""
    for limit, count in ((5, 0), (6, 1), (9, 1), (10, 2), (11, 3), (13, 4)):
        texts, report = read(tmp_path / str(limit), TEXTS, max_bytes=limit)
        assert texts == [record["text"] for record in TEXTS[:count]]
        assert report.ledger["documents"].taken == count
    assert read(tmp_path / "all", TEXTS)[0] == ["ééé", "xxxx", "y", "zz"]


def test_records_are_counted_up_to_the_limit_with_those_without_text(tmp_path: Path) -> None:
    texts, report = read(tmp_path, [{"text": None}, *TEXTS], max_documents=2)
    assert texts == ["ééé"]
    assert report.ledger.to_json()["documents"] == {"in": 2, "kept": 1, "dropped": {"empty": 1}}
    assert report.summary["parts"] == [[[0, "owner/name"]]]


def test_a_part_is_a_stretch_of_the_whole(tmp_path: Path) -> None:
    found = [read(tmp_path / str(part), TEXTS, part, 2)[0] for part in range(2)]
    assert found == [["ééé", "xxxx"], ["y", "zz"]]


def test_a_limit_is_on_the_whole_so_there_is_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_open", lambda source: _Records())
    assert num_parts(HubSource(dataset="owner/name")) == 7
    assert num_parts(HubSource(dataset="owner/name", max_documents=9)) == 1
    assert num_parts(HubSource(dataset="owner/name", max_bytes=9)) == 1
    monkeypatch.setattr(_Records, "num_shards", 0)
    assert num_parts(HubSource(dataset="owner/name")) == 1


def test_a_hub_that_cannot_be_reached_is_nobodys_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk is told as it is; all else is a mistake in the source."""

    def fails(problem: Exception) -> Callable[[Any], Any]:
        def raising(source: Any) -> Any:
            raise problem

        return raising

    source = HubSource(dataset="owner/name")
    for problem, kind in (
        (ConnectionResetError("gone"), TransientError),
        (TimeoutError("slow"), TransientError),
        (FileNotFoundError(2, "not there"), UserError),
        (OSError("no errno"), UserError),
        (OSError(28, "disk full"), OSError),
        (ValueError("bad split\nmore"), UserError),
    ):
        monkeypatch.setattr(hub, "_open", fails(problem))
        with pytest.raises(kind) as caught:
            num_parts(source)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, OSError) == (kind is OSError)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of one name at two depths, and hidden ones."""
    place = tmp_path / "set"
    for name in ("a.jsonl", "in/a.jsonl", ".git/a.jsonl", "in/.hidden"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(json.dumps({"text": name}) + "\n")
    return place


def test_a_folder_is_its_files_by_their_paths_but_for_hidden_ones(folder: Path) -> None:
    assert list(describe_folder(HubSource(dataset=str(folder)))) == ["a.jsonl", "in/a.jsonl"]
    assert describe_folder(HubSource(dataset="owner/name")) == {}
    labels = HubDataset(HubSource(dataset=str(folder)), 5).externals()
    assert list(labels) == ["05 a.jsonl", "05 in/a.jsonl"]


@pytest.mark.parametrize(
    "file", ["{0}/a.txt", "{0}/in/../a.txt", "zip://m::{0}/b.zip", "file://{0}/a"]
)
def test_files_below_a_local_dataset_are_its_own(file: str, folder: Path) -> None:
    check_data_files(HubSource(dataset=str(folder)), [file.format(folder)])


@pytest.mark.parametrize(
    "file",
    [
        "{0}/../other.txt",
        "{0}x/a.txt",
        "{0}/in/../../other.txt",
        "zip://{0}/m::/etc/b.zip",
        "zip://{0}/m::{0}/../b.zip",
        "hf://datasets/owner/name/a.txt",
        "https://h{0}/a.txt",
        "file://{0}/../b.txt",
    ],
)
def test_all_other_files_are_not(file: str, folder: Path) -> None:
    """However their path is spelt, and the first wrong one of several is named."""
    source, good = HubSource(dataset=str(folder)), f"{folder}/a.txt"
    with pytest.raises(UserError, match="which is no file of the dataset"):
        check_data_files(source, [good, file.format(folder), good])


@pytest.mark.parametrize(
    "file", ["hfx://datasets/o/n/a", "hf:/etc/passwd", "hf://x::/etc/passwd", "a.txt"]
)
def test_what_only_looks_like_the_hubs_is_not(file: str) -> None:
    with pytest.raises(UserError, match="which is no file of the dataset"):
        check_data_files(HubSource(dataset="owner/name"), [file])


@pytest.mark.parametrize("place", ["first", "last"])
def test_every_columnar_file_of_a_folder_is_looked_through(place: str, tmp_path: Path) -> None:
    """Every column and every batch of it."""
    table = pa.table({"n": ["x" * 30] * 2, "text": ["a" * 30] * 2})
    for name in ("a.parquet", "b.parquet"):
        parquet.write_table(table, tmp_path / name, compression="none", use_dictionary=False)
    check_columns(describe_folder(HubSource(dataset=str(tmp_path))))
    path = tmp_path / ("a.parquet" if place == "first" else "b.parquet")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"x" * 30, b"\xff" * 30))
    with pytest.raises(UserError, match=rf"{path.name}: the data are damaged"):
        check_columns(describe_folder(HubSource(dataset=str(tmp_path))))


def test_units_know_nothing_of_what_a_dataset_is_called(folder: Path) -> None:
    """Nor of what is held out of it: later stages' business must not read it again."""
    seen: list[list[Unit]] = []

    def run(function: Any, units: Sequence[Unit], *, outputs: bool = True) -> list[UnitResult]:
        seen.append(list(units))
        return []

    for options in ({}, {"name": "letters", "held_out": 0.5, "licence": "MIT"}):
        source = HubSource.model_validate({"dataset": str(folder), "max_documents": 1, **options})
        HubDataset(source, 0).read(run)
    assert seen[0][0].payload == seen[1][0].payload
    assert [unit.payload["part"] for unit in seen[0]] == [0]
    assert list(seen[0][0].payload["folder"]) == ["a.jsonl", "in/a.jsonl"]


def test_damaged_columns_are_found_before_a_unit_runs(folder: Path) -> None:
    (folder / "bad.arrow").write_bytes(b"ARROW1\0\0" + b"\0" * 99)

    def never(*_: Any, **__: Any) -> list[UnitResult]:
        raise AssertionError("units were run")

    with pytest.raises(UserError, match=r"bad\.arrow: the data are damaged"):
        HubDataset(HubSource(dataset=str(folder), max_documents=1), 0).read(never)


def test_a_dataset_is_guessed_by_its_limit_else_by_its_size(folder: Path) -> None:
    """Nothing is asked of the hub."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for source, expected in (
        (HubSource(dataset=str(folder)), int(size * 2.5)),
        (HubSource(dataset=str(folder), max_bytes=5000), 5000),
        (HubSource(dataset="owner/name", max_bytes=5000), 5000),
        (HubSource(dataset="owner/name"), 0),
    ):
        assert HubDataset(source, 0).estimate()["bytes"] == expected


def test_the_library_is_asked_for_the_very_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subset, split and revision; and only files of the dataset are then streamed."""
    import datasets

    asked: list[Any] = []

    class Builder:
        config = SimpleNamespace(data_files={"train": ["hf://datasets/owner/name/a.txt"]})

        def as_streaming_dataset(self, split: str) -> str:
            asked.append(split)
            return "a stream"

    def builder(*names: Any, **options: Any) -> Builder:
        asked.extend([names, options])
        return Builder()

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    source = HubSource(dataset="owner/name", subset="de", split="test", revision="abc")
    assert hub._open(source) == "a stream"
    assert asked == [("owner/name", "de"), {"revision": "abc"}, "test"]
    Builder.config = SimpleNamespace(data_files={"train": [], "test": ["/etc/passwd"]})
    with pytest.raises(UserError, match="names /etc/passwd"):
        hub._open(source)
    assert asked.count("test") == 1
