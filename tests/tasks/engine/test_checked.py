"""Nothing is recorded that was not checked: outside files, counts, redone units, formats."""

import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import catalog as catalog_module
from tasks.engine import copies, digests
from tasks.engine.computing import Place, Work, compute_unit
from tasks.engine.digests import known_digest
from tasks.engine.files import disk_problem
from tasks.engine.identity import file_digest
from tasks.engine.outside import check_unchanged, outside_file
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.sealing import FORMAT, seal, unseal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_files import count_rows
from tasks.engine.unit_records import read_unit
from tasks.engine.units import StoredFile, UnitReport, UnitWork
from tasks.errors import StageError, UserError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})


def run(store: Store, numbers: list[int], **options: Any) -> Outcome:
    first, _ = toy_stages(ToySlice(numbers=numbers))
    return run_stage(first, CONFIG, store, **options)


def compute(function: Any, payload: dict[str, Any], folder: Path, **libraries: str) -> None:
    """A unit into a folder of its own, as a worker does it."""
    compute_unit(Work(function, "u", payload, Place(str(folder.parent), folder.name), libraries))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def settle(path: Path, seconds: float = 3600.0) -> None:
    """Pretend that the clock has moved on since the file was written."""
    before = path.stat().st_mtime - seconds
    os.utime(path, (before, before))


def read_file(work: UnitWork, *, file: StoredFile) -> UnitReport:
    work.path(".txt").write_bytes(file.local().read_bytes())
    return UnitReport()


def change_and_read(work: UnitWork, *, file: StoredFile) -> UnitReport:
    content = file.local().read_bytes()
    file.local().write_bytes(content.swapcase())
    work.path(".txt").write_bytes(content)
    return UnitReport()


def test_a_source_that_changes_after_its_key_was_made_is_refused(tmp_path: Path) -> None:
    """Same size, mtime put back: the old key must not hold the new text."""
    source = tmp_path / "text.txt"
    source.write_bytes(b"before")
    known, times = outside_file(source), source.stat()
    source.write_bytes(b"behind")
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(UserError, match=r"text.txt: the file was changed while"):
        compute(read_file, {"file": known}, tmp_path / "w")


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """What the unit wrote of it is thrown away."""
    source = tmp_path / "text.txt"
    source.write_bytes(b"before")
    with pytest.raises(UserError, match="changed while it was being read"):
        compute(change_and_read, {"file": outside_file(source)}, tmp_path / "w")


def test_a_source_that_was_only_touched_is_read(tmp_path: Path) -> None:
    """Another time with the same bytes is the same file."""
    source = tmp_path / "text.txt"
    source.write_bytes(b"before")
    known = outside_file(source)
    settle(source)
    check_unchanged({"a": [known, (known,)], "b": {"c": known}})
    source.unlink()
    with pytest.raises(UserError, match="changed"):
        check_unchanged([known])


def test_a_digest_is_remembered_until_the_file_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cached run must not read every byte again; a changed byte must be seen at once."""
    reads: list[Path] = []

    def counted(path: Path) -> str:
        reads.append(path)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", counted)
    path = tmp_path / "big.bin"
    path.write_bytes(b"abc")
    first = known_digest(path)
    known_digest(path)
    assert len(reads) == 2  # just written: a further write could fall into the same tick
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    assert known_digest(path) == known_digest(path) == first
    assert len(reads) == 3
    times = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert known_digest(path) != first


def test_a_damaged_memory_of_digests_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a convenience: without it everything is read."""
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path))
    (tmp_path / "digests.sqlite").write_bytes(b"no database at all" * 100)
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    settle(path)
    assert known_digest(path) == file_digest(path)


def test_a_unit_must_write_what_it_declares(tmp_path: Path) -> None:
    """A vanished file, rows that are not there, and files nobody asked for end the unit."""

    def forgets(work: UnitWork) -> UnitReport:
        work.path(".txt")
        return UnitReport()

    def reports_more(work: UnitWork) -> UnitReport:
        np.save(work.path(".npy"), np.zeros((3, 2)))
        return UnitReport(rows={".npy": 4})

    def reports_another(work: UnitWork) -> UnitReport:
        work.path(".txt").write_text("x")
        return UnitReport(rows={".arrow": 1})

    with pytest.raises(StageError, match=r"declared but not there: u.txt"):
        compute(forgets, {}, tmp_path / "a")
    with pytest.raises(StageError, match="holds 3 rows, but 4 were reported"):
        compute(reports_more, {}, tmp_path / "b")
    with pytest.raises(StageError, match=r"declared but not there: u.arrow"):
        compute(reports_another, {}, tmp_path / "c")


@pytest.mark.parametrize(
    ("summary", "named"),
    [
        ({"made": lambda: 1}, "summary.made: a function has no stable form"),
        ({"share": float("nan")}, "summary.share: nan has no stable JSON form"),
        ({"of": {9: "a", 10: "b"}}, "summary.of: the key 9 is not text"),
    ],
    ids=["a function", "no number", "numbers as keys"],
)
def test_a_summary_that_cannot_be_written_down_names_its_unit(
    tmp_path: Path, summary: dict[str, Any], named: str
) -> None:
    """Before it travels: the driver would fail without knowing whose it was."""

    def tells(work: UnitWork) -> UnitReport:
        return UnitReport(summary=summary)

    with pytest.raises(StageError, match=f"unit u: {named}"):
        compute(tells, {}, tmp_path / "work")


def test_a_unit_writes_only_where_it_was_told(tmp_path: Path) -> None:
    """A file that was not made through work.path() is a defect, not an output."""

    def stray(work: UnitWork) -> UnitReport:
        (work.folder / "elsewhere.txt").write_text("x")
        return UnitReport()

    with pytest.raises(StageError, match=r"not made by work.path"):
        compute(stray, {}, tmp_path / "work")


def test_a_worker_with_other_libraries_is_refused(tmp_path: Path) -> None:
    """On another machine: what it computes would not be what the key says."""
    with pytest.raises(StageError, match=r"has tokenizers \S+, not 0.0.1: .*same lock file"):
        compute(read_file, {}, tmp_path / "work", tokenizers="0.0.1")


def test_rows_are_counted_in_every_kind_of_file(tmp_path: Path) -> None:
    """Arrow files, arrays and lines; other files have no rows."""
    table = pa.table({"a": list(range(7))})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    np.save(tmp_path / "b.npy", np.zeros(5))
    (tmp_path / "c.jsonl").write_text("{}\n{}\n")
    (tmp_path / "d.txt").write_text("\n")
    found = [count_rows(path) for path in sorted(tmp_path.iterdir())]
    assert found == [7, 5, 2, None]


def test_a_redone_unit_that_comes_out_otherwise_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repair names the unit and both digests, and records nothing."""
    outcome = run(store, [4, 5])
    folder = Path(store.url(outcome.artifact.folder))
    (folder / "numbers/00001.txt").write_text("damaged")
    monkeypatch.setattr("toy_stage.write_number", _other_number)
    with pytest.raises(StageError, match=r"numbers/00001 was damaged.*was \w{16}, is \w{16} now"):
        run(store, [4, 5])
    assert (folder / "numbers/00001.txt").read_text() == "damaged"


def _other_number(work: UnitWork, *, number: int, value: int) -> UnitReport:
    work.path(".txt").write_text("another\n")
    return UnitReport(rows={".txt": 1})


_other_number.__name__ = "write_number"


def test_a_sibling_that_vanishes_is_made_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run prunes or repairs there: no reason to fail here."""
    run(store, [1, 2])
    read = read_unit

    def vanishing(where: Store, folder: str, name: str) -> Any:
        record = read(where, folder, name)
        if record is not None and not name.endswith("00002.json"):
            monkeypatch.setattr(type(record), "damaged", lambda *_, **__: [])
            where.remove(f"{folder}/{record.label}.txt")
        return record

    monkeypatch.setattr(catalog_module, "read_unit", vanishing)
    assert run(store, [1, 2, 3]).state == "done"


def test_records_of_other_formats_get_a_sentence(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Later ones are refused, earlier ones made again; neither is a traceback."""
    outcome = run(store, [1])
    assert unseal(seal({"a": 1})) == {"a": 1}
    manifest = f"{outcome.artifact.folder}/manifest.json"
    content = json.loads(store.read(manifest) or b"")
    for number, raises in ((FORMAT + 1, True), (FORMAT - 1, False), (1, False)):
        changed = {**content, "format": number}
        del changed["digest"]
        store.write(manifest, seal(changed))  # the field that comes later wins
        if raises:
            with pytest.raises(StageError, match="written by a later version"):
                run(store, [1])
        else:
            assert run(store, [1]).state == "done"
            assert "earlier version" in caplog.text


FIELDS = {
    "manifest": "stage version libraries key config externals inputs outputs output_digest ledger "
    "summary headline figures provenance units",
    "unit": "key label function output files ledger summary provenance",
}


def test_fields_of_records_are_those_of_their_format(store: Store) -> None:
    """Others need another number: an artifact of before lacks them, and is not read then."""
    manifest = run(store, [1]).artifact.manifest
    assert (FORMAT, " ".join(manifest)) == (4, FIELDS["manifest"])
    assert " ".join(manifest["units"][0]) == FIELDS["unit"]


def test_force_leaves_nothing_of_the_earlier_run_to_go_on_from(store: Store) -> None:
    """A forced run after a kill must not adopt the killed run's checkpoints."""
    outcome = run(store, [1])
    lasting = Path(store.url(f"{outcome.artifact.folder}/.lasting"))
    found: list[list[str]] = []
    first, _ = toy_stages(ToySlice(numbers=[1]))

    def looks(context: Any) -> Any:
        found.append([path.name for path in context.lasting_scratch().iterdir()])
        return first.run(context)

    for force in (False, True):
        (lasting / "checkpoint").mkdir(parents=True)
        store.remove(f"{outcome.artifact.folder}/manifest.json")
        run_stage(replace(first, run=looks), CONFIG, store, force="again" if force else None)
    assert found == [["checkpoint"], []]


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("1024 requested and 512 written"),
        RuntimeError("[Errno 28] Error writing bytes to file. Detail: No space left on device"),
    ],
    ids=["C", "numpy", "arrow"],
)
def test_a_full_disk_is_known_however_it_is_told(problem: Exception) -> None:
    """Numpy forgets the number, Arrow hides it in its text."""
    assert "no space left" in (disk_problem(problem) or "")


def test_copies_of_remote_files_are_checked_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged copy is fetched again; the oldest go when there are too many bytes."""
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ROBERTA_CACHE_BYTES", "3000")
    remote = open_store(f"memory://{tmp_path.name}")
    files = []
    for number in range(3):
        content = bytes([number]) * 1000
        remote.write(f"file{number}", content)
        digest = remote.digest(f"file{number}")
        assert digest is not None
        files.append(StoredFile(remote.url(f"file{number}"), digest, 1000))
    copy = files[0].local()
    copy.write_bytes(b"\xff" * 1000)
    assert files[0].local().read_bytes() == bytes(1000)
    copy.write_bytes(b"\xff" * 1000)
    os.utime(copy, (time.time() - 9, time.time() - 9))
    copies._CHECKED.clear()  # another process, to which somebody's memory says that it is sound
    monkeypatch.setattr(digests, "recall", lambda stamp: files[0].sha256)
    assert files[0].local().read_bytes() == bytes(1000)
    files[1].local()
    old = time.time() - 7200
    for path in copy.parent.glob(".*.used"):
        os.utime(path, (old, old))
    files[0].local()
    monkeypatch.setenv("ROBERTA_CACHE_BYTES", "2000")
    files[2].local()
    kept = {path.name for path in copy.parent.glob("[!.]*")}
    assert kept == {files[0].sha256, files[2].sha256}
