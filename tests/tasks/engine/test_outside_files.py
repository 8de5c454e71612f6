"""Files that others may change: their stamps, where they are looked for, what is remembered."""

import hashlib
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tasks.engine import digests, outside
from tasks.engine.digests import cache_folder, known_digest, recall, remember, stamp_of
from tasks.engine.outside import check_unchanged, outside_file
from tasks.engine.units import StoredFile
from tasks.errors import UserError


@dataclass(frozen=True)
class Part:
    number: int
    file: StoredFile


class Model(BaseModel):
    file: StoredFile


@pytest.fixture
def known(tmp_path: Path) -> StoredFile:
    path = tmp_path / "text.txt"
    path.write_bytes(b"before")
    return outside_file(path)


def test_a_file_is_known_by_path_bytes_size_and_stamp(
    tmp_path: Path, known: StoredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (tmp_path / "text.txt").stat()
    stamp = (found.st_dev, found.st_ino, 6, found.st_mtime_ns, found.st_ctime_ns)
    digest = hashlib.sha256(b"before").hexdigest()
    assert known == StoredFile(str(tmp_path / "text.txt"), digest, 6, stamp=stamp)
    monkeypatch.chdir(tmp_path)
    assert outside_file(Path("text.txt")) == known


def test_a_file_that_is_written_to_while_it_is_hashed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"before")

    def meanwhile(file: Path) -> str:
        digest = known_digest(file)
        file.write_bytes(b"behind it")
        return digest

    monkeypatch.setattr(outside, "known_digest", meanwhile)
    with pytest.raises(UserError, match=r"text\.txt: the file was changed while"):
        outside_file(path)


@pytest.mark.parametrize(
    "payload",
    [
        lambda file: file,
        lambda file: {"a": {"b": [1, (file,)]}},
        lambda file: Part(1, file),
        lambda file: [Part(1, file)],
        lambda file: Model(file=file),
        lambda file: {"a": Model(file=file)},
    ],
    ids=["itself", "in lists", "in a dataclass", "in a list of them", "in a model", "in both"],
)
def test_a_changed_file_is_found_wherever_it_stands(known: StoredFile, payload: Any) -> None:
    check_unchanged(payload(known))
    Path(known.url).write_bytes(b"behind")
    with pytest.raises(UserError, match="changed while it was being read"):
        check_unchanged(payload(known))


def test_the_second_of_two_files_is_looked_at_too(tmp_path: Path, known: StoredFile) -> None:
    (tmp_path / "other.txt").write_bytes(b"other")
    files = [outside_file(tmp_path / "other.txt"), known]
    Path(known.url).write_bytes(b"behind")
    with pytest.raises(UserError, match=r"text\.txt"):
        check_unchanged({"files": files, "words": "abc", "kind": Part})


def test_a_file_that_is_gone_has_changed(known: StoredFile) -> None:
    Path(known.url).unlink()
    with pytest.raises(UserError, match="changed while it was being read"):
        check_unchanged([known])


def test_a_file_of_the_same_stamp_is_not_read(
    known: StoredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "file_digest", lambda path: pytest.fail(f"{path} is read"))
    check_unchanged([known])


def test_what_holds_no_file_is_passed_by(known: StoredFile) -> None:
    check_unchanged({"words": ["abc", b"x", bytearray(b"y")], "kind": Part, "n": 1, "file": known})


def test_files_of_the_store_are_not_looked_at(known: StoredFile) -> None:
    check_unchanged([replace(known, url="/nothing/there", stamp=None)])


def test_a_touched_file_of_the_same_bytes_is_the_same(known: StoredFile) -> None:
    os.utime(known.url, (5, 5))
    check_unchanged([known])
    check_unchanged([replace(known, stamp=(1, 2, 3, 4, 5))])
    with pytest.raises(UserError):
        check_unchanged([replace(known, stamp=(1, 2, 3, 4, 5), sha256="0" * 64)])


def test_a_stamp_says_when_a_files_bytes_may_have_changed(tmp_path: Path) -> None:
    """Another size, another file in its place, and one whose time was put back."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    stamps = {stamp_of(path)}
    path.write_bytes(b"three")
    stamps.add(stamp_of(path))
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    stamps.add(stamp_of(path))
    (tmp_path / "b").write_bytes(b"three")
    os.replace(tmp_path / "b", path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    stamps.add(stamp_of(path))
    assert len(stamps) == 4
    assert known_digest(path) == hashlib.sha256(b"three").hexdigest()


def test_a_digest_is_remembered_under_all_that_a_stamp_says() -> None:
    stamps = [(1, 2, 3, 4, 5), (9, 2, 3, 4, 5), (1, 9, 3, 4, 5), (1, 2, 9, 4, 5)]
    stamps += [(1, 2, 3, 9, 5), (1, 2, 3, 4, 9), (12, 3, 4, 5, 0), (1, 23, 4, 5, 0)]
    assert len({digests._text(stamp) for stamp in stamps}) == len(stamps)


@pytest.mark.parametrize(("mtime", "ctime"), [(0, 1), (1, 0)])
@pytest.mark.parametrize(("age", "settled"), [(3_000_000_000, True), (1_000_000_000, False)])
def test_a_stamp_is_settled_two_seconds_after_the_later_of_its_times(
    mtime: int, ctime: int, age: int, settled: bool
) -> None:
    last = time.time_ns() - age
    old = last - 10**15
    stamp = (1, 2, 3, last if mtime else old, last if ctime else old)
    assert digests._is_settled(stamp) is settled


def test_a_digest_of_a_file_that_is_not_settled_is_neither_recalled_nor_remembered(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    text = digests._text(stamp_of(path))
    remember(text, "wrong")
    assert known_digest(path) == hashlib.sha256(b"one").hexdigest()
    assert recall(text) == "wrong"


def test_a_file_that_changes_under_its_digest_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    stamp = stamp_of(path)

    def meanwhile(file: Path) -> str:
        file.write_bytes(b"three")
        return "of what it was"

    monkeypatch.setattr(digests, "_SETTLED_NS", -(10**18))
    monkeypatch.setattr(digests, "file_digest", meanwhile)
    assert known_digest(path) == "of what it was"
    assert recall(digests._text(stamp)) is None
    assert recall(digests._text(stamp_of(path))) is None


def test_what_is_remembered_last_counts(tmp_path: Path) -> None:
    assert recall("a text of this test") is None
    remember("a text of this test", "1")
    remember("another text of this test", "3")
    remember("a text of this test", "2")
    assert recall("a text of this test") == "2"


def test_a_full_memory_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for count, kept in ((2, "1"), (3, None)):
        path = tmp_path / "new" / "folder" / f"{count}.sqlite"
        for number in range(count):
            digests._Memory(path).put(str(number), "1")
        monkeypatch.setattr(digests, "_MOST_ENTRIES", 2)
        assert digests._Memory(path).get("0") == kept
        monkeypatch.undo()


def test_the_cache_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBERTA_CACHE", "/c")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/c")
    monkeypatch.setenv("ROBERTA_CACHE", "")
    assert cache_folder() == Path("/x/roberta-pipeline")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/roberta-pipeline")
