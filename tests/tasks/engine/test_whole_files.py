"""Files written whole: flushed before they are moved, moved before their folder is flushed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.engine import files
from tasks.engine.files import (
    create_whole,
    disk_problem,
    explained,
    flush_file,
    give_usual_mode,
    is_temporary,
    move_new,
    temporary_beside,
    without_links,
    write_whole,
)
from tasks.errors import StageError


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed and what is moved, in order."""
    notes: list[str] = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def noted_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        kind = "folder" if path.is_dir() else "new" if is_temporary(path.name) else path.name
        size = "" if path.is_dir() else f" of {os.fstat(descriptor).st_size}"
        notes.append(f"flush {kind}{size}")
        fsync(descriptor)

    def noted_replace(source: Any, target: Any) -> None:
        notes.append(f"move to {Path(target).name}")
        replace(source, target)

    def noted_link(source: Any, target: Any) -> None:
        notes.append(f"link to {Path(target).name}")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(os, "link", noted_link)
    return notes


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_in_the_making_lies_beside_and_begins_with_a_dot() -> None:
    made = temporary_beside(Path("/a/b.txt"))
    assert made.parent == Path("/a")
    assert made.name.startswith(".b.txt.")
    assert made.name.endswith(".tmp")
    assert made != temporary_beside(Path("/a/b.txt"))
    assert is_temporary(str(made))


@pytest.mark.parametrize(
    ("path", "temporary"),
    [
        (".a.tmp", True),
        ("x/.a.tmp", True),
        ("a.tmp", False),
        (".a", False),
        (".a.tmp/b", False),
        (".x/a.tmp", False),
        (".a.tmpx", False),
    ],
)
def test_only_a_name_with_dot_and_ending_is_in_the_making(path: str, temporary: bool) -> None:
    assert is_temporary(path) is temporary


def test_a_file_is_flushed_then_moved_then_its_folder_flushed(
    tmp_path: Path, said: list[str]
) -> None:
    write_whole(tmp_path / "a", b"12345")
    assert said == ["flush new of 5", "move to a", "flush folder"]
    assert (tmp_path / "a").read_bytes() == b"12345"


def test_without_flush_it_still_appears_in_one_step(tmp_path: Path, said: list[str]) -> None:
    write_whole(tmp_path / "deep" / "er" / "a", b"12345", flush=False)
    assert said == ["move to a"]
    assert names(tmp_path / "deep" / "er") == ["a"]


def test_a_new_file_is_flushed_then_linked_then_its_folder_flushed(
    tmp_path: Path, said: list[str]
) -> None:
    assert create_whole(tmp_path / "deep" / "a", b"12345")
    assert said == ["flush new of 5", "link to a", "flush folder"]
    assert not create_whole(tmp_path / "deep" / "a", b"another")
    assert (tmp_path / "deep" / "a").read_bytes() == b"12345"
    assert names(tmp_path / "deep") == ["a"]


@pytest.mark.parametrize("write", [write_whole, create_whole])
def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any]
) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def refusing(number: int) -> Callable[[Any, Any], None]:
    def link(source: Any, target: Any) -> None:
        raise OSError(number, os.strerror(number), str(source))

    return link


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_a_disk_without_links_moves_to_a_free_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refusing(number))
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "taken").write_bytes(b"old")
    assert not move_new(tmp_path / "new", tmp_path / "taken")
    assert (tmp_path / "taken").read_bytes() == b"old"
    assert move_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == ["free", "taken"]
    assert (tmp_path / "free").read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT])
def test_what_no_move_would_help_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", refusing(number))
    (tmp_path / "new").write_bytes(b"new")
    with pytest.raises(OSError, match=os.strerror(number)):
        move_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == ["new"]


def test_a_moved_file_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    assert move_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == ["free"]
    (tmp_path / "new").write_bytes(b"newer")
    assert not move_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == ["free", "new"]
    assert (tmp_path / "free").read_bytes() == b"new"


def test_an_opener_makes_a_file_but_follows_no_link(tmp_path: Path) -> None:
    with open(tmp_path / "a", "w", opener=without_links) as file:
        file.write("x")
    assert (tmp_path / "a").stat().st_mode & 0o111 == 0
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OSError, match="symbolic links"):
        without_links(str(tmp_path / "link"), os.O_WRONLY | os.O_CREAT)
    assert not (tmp_path / "nowhere").exists()


def test_the_usual_mode_follows_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may run a file, who may read a folder may enter it, and the umask decides who."""
    monkeypatch.setattr(files, "_umask", lambda: 0o027)
    (tmp_path / "file").touch(0o600)
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "folder").mkdir(0o700)
    give_usual_mode(tmp_path / "file")
    give_usual_mode(tmp_path / "open")
    give_usual_mode(tmp_path / "folder", is_folder=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"file": 0o640, "open": 0o640, "folder": 0o750}
    monkeypatch.setattr(files, "_umask", lambda: 0)
    give_usual_mode(tmp_path / "file")
    give_usual_mode(tmp_path / "folder", is_folder=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777


def test_the_umask_is_this_processes() -> None:
    before = os.umask(0o035)
    try:
        files._umask.cache_clear()
        assert files._umask() == 0o035
        assert os.umask(0o035) == 0o035, "reading it leaves it as it is"
    finally:
        os.umask(before)
        files._umask.cache_clear()


def test_where_there_is_no_proc_the_umask_is_read_and_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: Any, **__: Any) -> str:
        raise OSError("no /proc")

    monkeypatch.setattr(Path, "read_text", none)
    before = os.umask(0o026)
    try:
        files._umask.cache_clear()
        assert files._umask() == 0o026
        assert os.umask(0o026) == 0o026
    finally:
        os.umask(before)
        files._umask.cache_clear()


def test_a_file_is_flushed_by_its_name(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"123")
    open_before = len(os.listdir("/proc/self/fd"))
    flush_file(tmp_path / "a")
    assert said == ["flush a of 3"]
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "there is no space left"),
        (errno.EDQUOT, "there is no space left"),
        (errno.EACCES, "the place cannot be written"),
        (errno.EROFS, "the place cannot be written"),
        (errno.EPERM, "the place cannot be written"),
    ],
)
def test_a_disks_refusal_is_told_with_its_place(number: int, words: str) -> None:
    with pytest.raises(StageError, match=f"^/a/b: {words}"), explained("/a/b"):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_is_known_without_its_number() -> None:
    for problem in (OSError("7 requested and 3 written"), KeyError("x: No space left on it")):
        assert "no space left" in (disk_problem(problem) or "")


def test_other_problems_are_not_the_disks() -> None:
    problem = OSError(errno.EIO, "Input/output error")
    assert disk_problem(problem) is None
    assert disk_problem(ValueError("1024 requested and 512 written")) is None
    assert disk_problem(OSError("so 1024 requested and 512 written")) is None
    with pytest.raises(OSError, match="Input/output"), explained("/a"):
        raise problem
