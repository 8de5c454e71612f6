"""A unit's files: where they go, that they are those declared, and what is counted of them."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.engine import computing, unit_files
from tasks.engine.computing import (
    ComputedUnit,
    Place,
    Waiting,
    Work,
    compute_unit,
    flush_units,
    hand_over,
)
from tasks.engine.identity import file_digest, library_versions
from tasks.engine.outside import outside_file
from tasks.engine.stores import open_store
from tasks.engine.unit_files import count_rows, describe_files
from tasks.engine.units import UnitReport, UnitWork, shown_as, words_for
from tasks.errors import StageError, UserError

UNICODE = library_versions(["unicode"])["unicode"]


def work_with(folder: Path, *suffixes: str) -> UnitWork:
    work = UnitWork("rows/u", folder)
    for suffix in suffixes:
        work.path(suffix).write_text(suffix)
    return work


def test_a_files_place_is_the_label_and_the_suffix(tmp_path: Path) -> None:
    work = UnitWork("rows/u", tmp_path)
    assert work.path(".txt") == tmp_path / "rows" / "u.txt"
    assert work.path("/a/b.txt") == tmp_path / "rows" / "u" / "a" / "b.txt"
    assert (tmp_path / "rows" / "u" / "a").is_dir()
    assert work.declared == {".txt", "/a/b.txt"}
    assert work.directory() == tmp_path / "rows" / "u"
    assert work.declared == {".txt", "/a/b.txt", ""}


def test_files_are_described_by_suffix_in_the_order_of_their_names(tmp_path: Path) -> None:
    work = work_with(tmp_path, ".b", "/z/1", ".c", ".a", "/y")
    described = describe_files(work, {".a": 7})
    assert list(described) == [".a", ".b", ".c", "/y", "/z/1"]
    assert described[".a"] == {
        "bytes": 2,
        "sha256": file_digest(tmp_path / "rows" / "u.a"),
        "rows": 7,
    }
    assert described["/z/1"]["bytes"] == 4
    assert described["/z/1"]["rows"] is None


def test_each_file_is_flushed_unless_that_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(unit_files, "flush_file", lambda path: flushed.append(path.name))
    work = work_with(tmp_path, ".b", ".a")
    describe_files(work, {}, flush=False)
    assert flushed == []
    describe_files(work, {})
    assert flushed == ["u.a", "u.b"]


@pytest.mark.parametrize(
    "stray", ["rows/u.b", "rows/u.a.part", "rows/uu.a", "rows/v.a", "u.a", ".a"]
)
def test_a_file_that_was_not_declared_is_refused(tmp_path: Path, stray: str) -> None:
    work = work_with(tmp_path, ".a")
    (tmp_path / stray).write_text("x")
    with pytest.raises(StageError, match=f"unit rows/u: {stray} was not made by work.path"):
        describe_files(work, {})


def test_a_declared_folder_holds_what_it_likes_but_something(tmp_path: Path) -> None:
    work = UnitWork("u", tmp_path)
    folder = work.directory()
    with pytest.raises(StageError, match="declared but not there: u"):
        describe_files(work, {})
    (folder / "a").write_text("x")
    (folder / "b").mkdir()
    (folder / "b" / "c").write_text("x")
    assert list(describe_files(work, {})) == ["/a", "/b/c"]
    (tmp_path / "u.txt").write_text("x")
    with pytest.raises(StageError, match=r"u\.txt was not made by work"):
        describe_files(work, {})


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    work = work_with(tmp_path, ".a")
    work.path(".c")
    work.path(".b")
    with pytest.raises(
        StageError, match=r"declared but not there: rows/u\.b, rows/u\.c, rows/u\.d"
    ):
        describe_files(work, {".d": 1})


@pytest.mark.parametrize("reported", [1, 3, 0])
def test_rows_that_are_not_those_reported_are_a_defect(tmp_path: Path, reported: int) -> None:
    work = UnitWork("u", tmp_path)
    work.path(".jsonl").write_text("{}\n{}\n")
    assert describe_files(work, {".jsonl": 2})[".jsonl"]["rows"] == 2
    assert describe_files(work, {})[".jsonl"]["rows"] is None, "nothing was said of them"
    with pytest.raises(StageError, match=f"u.jsonl holds 2 rows, but {reported} were reported"):
        describe_files(work, {".jsonl": reported})


def test_the_rows_of_each_kind_of_file(tmp_path: Path) -> None:
    """Of arrays the first length counts, of Arrow files all batches, of lines their ends."""
    schema = pa.schema([("a", pa.int64())])
    with pa.ipc.new_file(tmp_path / "a.arrow", schema) as writer:
        for values in ([1, 2, 3], [], [4]):
            writer.write_batch(pa.record_batch([pa.array(values, pa.int64())], schema))
    with pa.ipc.new_file(tmp_path / "none.arrow", schema):
        pass
    np.save(tmp_path / "b.npy", np.zeros((2, 5)))
    lines = b"x" * ((1 << 20) - 1) + b"\n" + b"y\n"
    (tmp_path / "c.jsonl").write_bytes(lines)
    (tmp_path / "d.jsonl").write_bytes(b"{}\n{}")
    (tmp_path / "e.jsonl").write_bytes(b"")
    names = ["a.arrow", "none.arrow", "b.npy", "c.jsonl", "d.jsonl", "e.jsonl"]
    assert [count_rows(tmp_path / name) for name in names] == [4, 0, 2, 2, 1, 0]


def test_an_array_of_anything_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match="Python objects|allow_pickle"):
        count_rows(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_files_wait_in_a_folder_of_the_store_under_numbers(
    kind: str, place: Any, tmp_path: Path
) -> None:
    store = open_store(place(kind)("store"))
    work = work_with(tmp_path / "work", ".a", "/b")
    sources = hand_over(store, work, describe_files(work, {}), "f/x")
    assert sources == {".a": "f/x/0", "/b": "f/x/1"}
    assert (store.read("f/x/0"), store.read("f/x/1")) == (b".a", b"/b")
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def test_what_waits_gets_the_names_of_the_label_it_is_wanted_under() -> None:
    files = {".a": {"bytes": 1}, "/b": {"bytes": 2}}
    unit = ComputedUnit(UnitReport(), files, {".a": "f/0", "/b": "f/1"}, {})
    assert unit.waiting("other/label") == [
        Waiting("f/0", "other/label.a", {"bytes": 1}),
        Waiting("f/1", "other/label/b", {"bytes": 2}),
    ]


def write_two(work: UnitWork, *, number: int) -> UnitReport:
    work.path(".a").write_text(str(number))
    work.path("/b").write_text(str(-number))
    return UnitReport(summary={"number": number}, rows={".a": number})


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_a_unit_is_computed_into_the_attempts_folder(kind: str, place: Any) -> None:
    """In a local store its files are named, so that they are flushed before they count."""
    url = place(kind)("store")
    units = [
        compute_unit(Work(write_two, "rows/u", {"number": number}, Place(url, "f/.work/1")))
        for number in (3, 4)
    ]
    store = open_store(url)
    for number, unit in zip((3, 4), units, strict=True):
        assert unit.report.summary == {"number": number}
        assert list(unit.files) == list(unit.sources) == [".a", "/b"]
        assert all(source.startswith("f/.work/1/") for source in unit.sources.values())
        assert store.read(unit.sources[".a"]) == str(number).encode()
        assert store.read(unit.sources["/b"]) == str(-number).encode()
        here = [Path(store.url(source)) for source in unit.sources.values()]
        assert unit.unflushed == (tuple(here) if kind == "local" else ())
        assert set(unit.provenance) >= {"host", "pid", "started", "ended"}
        assert 0 <= unit.provenance["seconds"] < 1000
    assert not set(units[0].sources.values()) & set(units[1].sources.values())
    desk = computing._desk(store, Place(url, "f/.work/1"))
    top = Path(store.url("f/.work/1")) if kind == "local" else Path(tempfile.gettempdir())
    assert desk.work.is_relative_to(top)


def test_a_unit_is_computed_only_with_its_libraries_its_files_and_a_plain_summary(
    tmp_path: Path,
) -> None:
    source = tmp_path / "text.txt"
    source.write_text("before")
    file = outside_file(source)
    place = Place(str(tmp_path / "store"), "f/.work/1")

    def changes(work: UnitWork, *, file: Any, to: str) -> UnitReport:
        source.write_text(to)
        work.path(".txt").write_text("x")
        return UnitReport(summary={"to": to})

    def tells(work: UnitWork) -> UnitReport:
        return UnitReport(summary={"of": {1}})

    compute_unit(Work(changes, "u", {"file": file, "to": "before"}, place))
    with pytest.raises(UserError, match="changed while it was being read"):
        compute_unit(Work(changes, "u", {"file": file, "to": "behind"}, place))
    with pytest.raises(UserError, match="changed while it was being read"):
        compute_unit(Work(changes, "u", {"file": file, "to": "before"}, place))
    with pytest.raises(StageError, match=r"unit u: summary\.of: a set has no stable form"):
        compute_unit(Work(tells, "u", {}, place))
    with pytest.raises(StageError, match=r"has numpy [\d.]+, not 0\.1"):
        compute_unit(
            Work(write_two, "u", {"number": 1}, place, {"unicode": UNICODE, "numpy": "0.1"})
        )


def write_one(work: UnitWork, *, number: int) -> UnitReport:
    assert not any(work.folder.iterdir())
    work.path(".a").write_text(str(number))
    return UnitReport()


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_units_of_one_name_do_not_write_over_each_other(kind: str, place: Any) -> None:
    """At a desk that is kept, where each unit finds nothing."""
    at = Place(place(kind)("store"), "f/.work/1")
    units = [compute_unit(Work(write_one, "u", {"number": n}, at)) for n in range(3)]
    store = open_store(at.store)
    assert [store.read(unit.sources[".a"]) for unit in units] == [b"0", b"1", b"2"]
    assert len({unit.sources[".a"] for unit in units}) == 3


def test_another_attempt_has_another_desk(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    one, two = Place(str(tmp_path), "f/1"), Place(str(tmp_path), "f/2")
    desk = computing._desk(store, one)
    assert computing._desk(store, one) is desk
    assert computing._desk(store, two) is not desk
    assert computing._desk(store, two).folder.startswith("f/2/")
    again = computing._desk(store, one)
    assert again is not desk
    again.work.rmdir()
    assert computing._desk(store, one) is not again, "its folder was swept"
    again = computing._desk(store, one)
    again.clear()
    assert not again.work.exists()
    assert computing._desk(store, one) is not again


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_all_files_of_all_units_are_flushed_before_they_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(computing, "flush_file", lambda path: flushed.append(path.name))
    paths = [tmp_path / str(number) for number in range(count)]
    units = [
        ComputedUnit(UnitReport(), {}, {"n": str(number)}, {}, (path,))
        for number, path in enumerate(paths)
    ]
    done = flush_units(units)
    assert sorted(flushed) == sorted(path.name for path in paths)
    assert [unit.unflushed for unit in done] == [()] * count
    assert [unit.sources for unit in done] == [unit.sources for unit in units]


def test_a_worker_must_have_every_library_of_the_key() -> None:
    have = library_versions(["numpy", "unicode"])
    computing._check_libraries(tuple(have.items()))
    for name in have:
        with pytest.raises(StageError, match=rf"has {name} {have[name]}, not 0\.1: what it"):
            computing._check_libraries(tuple({**have, name: "0.1"}.items()))


def test_progress_calls_a_units_work_by_its_function_unless_told() -> None:
    def count_all_words() -> None: ...

    assert words_for(count_all_words) == "count all words"
    assert words_for(shown_as("counting")(count_all_words)) == "counting"


def test_a_file_of_a_unit_may_be_read_by_whom_any_new_file_may(tmp_path: Path) -> None:
    work = work_with(tmp_path, ".a")
    path = tmp_path / "rows" / "u.a"
    os.chmod(path, 0o700)
    describe_files(work, {})
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
