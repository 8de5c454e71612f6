"""Copies of remote files: what is fetched, what is refused, which go when there are too many."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.engine import copies, files
from tasks.engine.copies import local_copy
from tasks.engine.identity import file_digest
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError

DIGEST = hashlib.sha256(b"one").hexdigest()


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path / "cache"))
    store = open_store(f"memory://{tmp_path.name}")
    store.write("f/one", b"one")
    return store


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "files").iterdir())


def test_a_local_file_is_its_own_copy() -> None:
    assert local_copy("/a/b", "abc", 3) == Path("/a/b")


def test_a_copy_is_found_by_its_bytes_whatever_its_place(remote: Store, tmp_path: Path) -> None:
    copy = local_copy(remote.url("f/one"), DIGEST, 3)
    assert copy == tmp_path / "cache" / "files" / DIGEST
    assert copy.read_bytes() == b"one"
    remote.remove("f")
    assert local_copy(remote.url("elsewhere"), DIGEST, 3) == copy
    assert cached(tmp_path) == [f".{DIGEST}.used", DIGEST]


@pytest.mark.parametrize(
    ("digest", "size"), [(DIGEST, 4), (DIGEST, 2), (hashlib.sha256(b"two").hexdigest(), 3)]
)
def test_bytes_that_are_not_those_recorded_are_refused_and_not_kept(
    remote: Store, tmp_path: Path, digest: str, size: int
) -> None:
    with pytest.raises(StageError, match="f/one: the bytes that arrived are not those"):
        local_copy(remote.url("f/one"), digest, size)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("damaged", [b"two", b"ones", b""])
def test_a_damaged_copy_is_fetched_anew(remote: Store, tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "cache" / "files" / DIGEST
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged)
    assert local_copy(remote.url("f/one"), DIGEST, 3).read_bytes() == b"one"


def test_a_copy_is_read_in_full_once_a_process(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = file_digest

    def noted(path: Path) -> str:
        read.append(path)
        return digest(path)

    copy = local_copy(remote.url("f/one"), DIGEST, 3)
    monkeypatch.setattr(copies, "file_digest", noted)
    for _ in range(3):
        local_copy(remote.url("f/one"), DIGEST, 3)
    assert read == [copy]
    copy.write_bytes(b"two")
    assert local_copy(remote.url("f/one"), DIGEST, 3).read_bytes() == b"one"


def test_a_fetched_copy_is_flushed_before_and_after_it_gets_its_name(
    remote: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then room is made; a copy that is there already is neither fetched nor flushed."""
    said: list[str] = []

    def noted(name: str, action: Any) -> None:
        def note(path: Path) -> None:
            is_named = (tmp_path / "cache" / "files" / DIGEST).exists()
            said.append(f"{name} {'after' if is_named else 'before'}")
            action(path)

        monkeypatch.setattr(copies, name, note)

    noted("flush_file", files.flush_file)
    noted("sync_folder", files.sync_folder)
    noted("_make_room", copies._make_room)
    for _ in range(2):
        local_copy(remote.url("f/one"), DIGEST, 3)
    assert said == ["flush_file before", "sync_folder after", "_make_room after"]


def make(folder: Path, name: str, size: int, used: float, marked: float | None = None) -> None:
    """A copy of some bytes, written at a time, and last used at another, so many seconds ago."""
    now = time.time()
    (folder / name).write_bytes(b"x" * size)
    os.utime(folder / name, (now - used, now - used))
    if marked is not None:
        (folder / f".{name}.used").touch()
        os.utime(folder / f".{name}.used", (now - marked, now - marked))


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (600, ["a", "b", "c"]),
        (599, ["a", "c"]),
        (400, ["a", "c"]),
        (399, ["c"]),
        (1, ["c"]),
    ],
)
def test_the_copies_used_longest_ago_go_until_the_rest_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, kept: list[str]
) -> None:
    """What was used within the hour stays, whatever it takes."""
    monkeypatch.setenv("ROBERTA_CACHE_BYTES", str(limit))
    make(tmp_path, "a", 100, used=90_000, marked=4000)
    make(tmp_path, "b", 200, used=5000, marked=8000)
    make(tmp_path, "c", 300, used=90_000, marked=3000)
    copies._make_room(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == kept
    assert sorted(path.name for path in tmp_path.glob(".*")) == [f".{name}.used" for name in kept]


def test_a_copy_without_a_mark_was_used_when_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBERTA_CACHE_BYTES", "1")
    make(tmp_path, "a", 100, used=4000)
    make(tmp_path, "b", 100, used=3000)
    copies._make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_twenty_gibibytes_are_kept_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBERTA_CACHE_BYTES", raising=False)
    make(tmp_path, "a", 100, used=90_000)
    copies._make_room(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert copies.MOST_BYTES == 20 * 1024**3


def test_using_a_copy_marks_it_and_leaves_its_own_time(remote: Store, tmp_path: Path) -> None:
    copy = local_copy(remote.url("f/one"), DIGEST, 3)
    mark = copy.with_name(f".{DIGEST}.used")
    for path in (copy, mark):
        os.utime(path, (1000.0, 1000.0))
    local_copy(remote.url("f/one"), DIGEST, 3)
    assert copy.stat().st_mtime == 1000.0
    assert mark.stat().st_mtime > 1000.0
