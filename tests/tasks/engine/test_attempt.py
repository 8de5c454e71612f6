"""An attempt: its own folders, the fence before every word, and how files get their places."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.attempt import Attempt, fingerprint, for_each
from tasks.engine.computing import Waiting
from tasks.engine.identity import digest_of
from tasks.engine.lease import Lease, LeaseLostError
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError

FOLDER = "1-first/0123"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, place: Any) -> Store:
    return open_store(place(request.param)("store"))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def begin(store: Store) -> Attempt:
    lease = Lease(store, FOLDER, 3600.0)
    assert lease.try_acquire()
    return Attempt(lease, FOLDER)


def waiting(attempt: Attempt, name: str, content: bytes = b"new") -> Waiting:
    source = f"{attempt.new_folder()}/0"
    attempt.store.write(source, content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "rows": None}
    return Waiting(source, name, entry)


def test_each_attempt_has_a_place_of_its_own_in_the_artifact(store: Store) -> None:
    lease = Lease(store, FOLDER, 3600.0)
    assert lease.try_acquire()
    attempt = Attempt(lease, FOLDER)
    assert attempt.place == f"{FOLDER}/.work/00000001-{lease.token[:8]}"
    assert attempt.work.is_dir()
    here = Path(store.url(attempt.place)) if store.is_local else Path(tempfile.gettempdir())
    assert attempt.work.is_relative_to(here)
    folders = {attempt.new_folder(), attempt.new_folder()}
    assert len(folders) == 2
    assert {folder.rpartition("/")[0] for folder in folders} == {attempt.place}
    scratches = {attempt.scratch(), attempt.scratch(), attempt.scratch("rows")}
    assert len(scratches) == 3
    assert all(scratch.is_dir() and scratch.parent == attempt.work for scratch in scratches)
    attempt.close()
    assert not attempt.work.exists()


def test_a_new_attempt_sweeps_what_a_dead_one_left(store: Store) -> None:
    store.write(f"{FOLDER}/.work/00000001-dead/u/0", b"left")
    store.write(f"{FOLDER}/rows/0.txt", b"kept")
    attempt = begin(store)
    assert [path for path in store.files(FOLDER) if not path.startswith(".lease/")] == [
        "rows/0.txt"
    ]
    attempt.close()


def test_closing_leaves_the_folder_of_another_attempt(local: Store) -> None:
    attempt = begin(local)
    local.write(f"{FOLDER}/.work/00000002-other/0", b"its")
    attempt.close()
    assert local.files(f"{FOLDER}/.work") == ["00000002-other/0"]
    local.remove(f"{FOLDER}/.work/00000002-other")
    begin_again = Attempt(attempt.lease, FOLDER)
    begin_again.close()
    assert not local.exists(f"{FOLDER}/.work")


def test_closing_removes_what_waits_in_an_object_store(place: Any) -> None:
    store = open_store(place("memory")("store"))
    attempt = begin(store)
    waiting(attempt, "a.txt")
    store.write(f"{FOLDER}/.work/00000002-other/0", b"its")
    attempt.close()
    assert store.files(f"{FOLDER}/.work") == ["00000002-other/0"]


def test_files_get_their_places_and_wait_no_more(store: Store) -> None:
    attempt = begin(store)
    files = [waiting(attempt, f"rows/{n}.txt", b"%d" % n) for n in range(3)]
    attempt.put_all(files)
    assert [store.read(f"{FOLDER}/rows/{n}.txt") for n in range(3)] == [b"0", b"1", b"2"]
    assert [store.exists(file.source) for file in files] == [False] * 3
    attempt.close()


def test_a_file_that_is_there_with_the_same_bytes_stays(local: Store) -> None:
    """It may be in use; the one that waited goes."""
    attempt = begin(local)
    local.write(f"{FOLDER}/a.txt", b"new")
    path = Path(local.url(f"{FOLDER}/a.txt"))
    before = path.stat().st_ino
    file = waiting(attempt, "a.txt")
    attempt.put_all([file])
    assert path.stat().st_ino == before
    assert not local.exists(file.source)


@pytest.mark.parametrize("there", [b"old", b"longer"])
def test_other_bytes_are_moved_over(store: Store, there: bytes) -> None:
    attempt = begin(store)
    store.write(f"{FOLDER}/a.txt", there)
    attempt.put_all([waiting(attempt, "a.txt")])
    assert store.read(f"{FOLDER}/a.txt") == b"new"
    attempt.close()


def test_bytes_that_are_there_are_read_and_not_remembered(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin(local)
    local.write(f"{FOLDER}/a.txt", b"old")
    asked: list[bool] = []
    digest = local.digest

    def noted(path: str, *, anew: bool = False) -> str | None:
        asked.append(anew)
        return digest(path, anew=anew)

    monkeypatch.setattr(local, "digest", noted)
    attempt.put_all([waiting(attempt, "a.txt")])
    assert asked == [True]


def test_the_lease_is_looked_at_before_every_32_moves(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin(local)
    said: list[str] = []
    move_new, flush_names = local.move_new, local.flush_names

    def noted_move(source: str, target: str) -> bool:
        said.append("move")
        return move_new(source, target)

    def noted_flush(paths: Any) -> None:
        said.append("flush")
        assert sorted(paths) == sorted(f"{FOLDER}/{n}.txt" for n in range(70))
        flush_names(paths)

    monkeypatch.setattr(local, "move_new", noted_move)
    monkeypatch.setattr(local, "flush_names", noted_flush)
    monkeypatch.setattr(attempt.lease, "check", lambda: said.append("check"))
    attempt.put_all([waiting(attempt, f"{n}.txt") for n in range(70)])
    full = ["check", *["move"] * 32]
    assert said == [*full, *full, "check", *["move"] * 6, "flush"]


def test_over_other_bytes_nothing_is_moved_without_another_look(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease was ours when the batch began, and is not when the file is found in the way."""
    attempt = begin(local)
    local.write(f"{FOLDER}/a.txt", b"old")
    file = waiting(attempt, "a.txt")
    move_new = local.move_new

    def loses(source: str, target: str) -> bool:
        attempt.lease.token = "another's"
        return move_new(source, target)

    monkeypatch.setattr(local, "move_new", loses)
    with pytest.raises(LeaseLostError):
        attempt.put_all([file])
    assert local.read(f"{FOLDER}/a.txt") == b"old"


def test_a_file_that_a_worker_put_elsewhere_is_told(store: Store) -> None:
    attempt = begin(store)
    source = f"{attempt.place}/nowhere/0"
    entry = {"bytes": 1, "sha256": "abc", "rows": None}
    with pytest.raises(StageError, match="nowhere/0: a worker made this file, but here it is not"):
        attempt.put_all([Waiting(source, "a.txt", entry)])
    attempt.close()


def test_a_file_that_a_successor_swept_is_a_lost_lease(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin(local)

    def swept(source: str, target: str) -> bool:
        attempt.lease.token = "another's"
        raise FileNotFoundError(source)

    file = waiting(attempt, "a.txt")
    monkeypatch.setattr(local, "move_new", swept)
    with pytest.raises(LeaseLostError):
        attempt.put_all([file])


@pytest.mark.parametrize(
    "action",
    [
        lambda attempt: attempt.write("b", b"x"),
        lambda attempt: attempt.remove("a"),
        lambda attempt: attempt.put_all([waiting(attempt, "b")]),
        lambda attempt: attempt.check(),
    ],
    ids=["write", "remove", "put", "check"],
)
def test_nothing_is_said_without_the_lease(local: Store, action: Callable[[Attempt], None]) -> None:
    attempt = begin(local)
    attempt.write("a", b"mine")
    attempt.lease.token = "another's"
    with pytest.raises(LeaseLostError):
        action(attempt)
    assert local.read(f"{FOLDER}/a") == b"mine"
    assert not local.exists(f"{FOLDER}/b")


def test_the_lasting_scratch_outlives_its_attempt(local: Store) -> None:
    attempt = begin(local)
    folder = attempt.lasting_scratch()
    assert str(folder) == local.url(f"{FOLDER}/.lasting")
    (folder / "checkpoint").write_text("1")
    attempt.close()
    again = Attempt(attempt.lease, FOLDER)
    assert (again.lasting_scratch() / "checkpoint").read_text() == "1"
    again.drop_lasting()
    assert not folder.exists()
    again.drop_lasting()


def test_a_planted_link_is_no_lasting_scratch(local: Store, tmp_path: Path) -> None:
    """Its name is known beforehand; what it leads to keeps what it has."""
    attempt = begin(local)
    (tmp_path / "precious").mkdir()
    os.symlink(tmp_path / "precious", local.url(f"{FOLDER}/.lasting"))
    folder = attempt.lasting_scratch()
    (folder / "checkpoint").write_text("1")
    assert not folder.is_symlink()
    assert list((tmp_path / "precious").iterdir()) == []


def test_the_lasting_scratch_of_an_object_store_is_that_of_store_and_artifact(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path / "cache"))
    folders = []
    for name in ("one", "two"):
        attempt = begin(open_store(place("memory")(name)))
        folders.append(attempt.lasting_scratch())
        assert folders[-1] == attempt.lasting_scratch()
        attempt.close()
    assert folders[0] != folders[1]
    for folder in folders:
        assert folder.is_relative_to(tmp_path / "cache" / "scratch")
        assert str(folder).endswith(FOLDER)


def test_a_fingerprint_is_that_of_the_bytes_by_suffix() -> None:
    entries: dict[str, dict[str, Any]] = {".a": {"sha256": "1", "rows": 3}, ".b": {"sha256": "2"}}
    assert fingerprint(entries) == digest_of({".a": "1", ".b": "2"})[:16]
    swapped: dict[str, dict[str, Any]] = {".a": {"sha256": "2"}, ".b": {"sha256": "1"}}
    assert fingerprint(entries) != fingerprint(swapped)


@pytest.mark.parametrize("flushes", [False, True])
def test_each_is_done_once_and_a_problem_is_told(store: Store, flushes: bool) -> None:
    done: list[int] = []
    for_each(store, done.append, list(range(20)), flushes=flushes)
    assert sorted(done) == list(range(20))

    def refuse(item: int) -> None:
        raise KeyError(item)

    for items in ([0], [0, 1]):
        with pytest.raises(KeyError):
            for_each(store, refuse, items, flushes=flushes)
