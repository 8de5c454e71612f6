"""A store on a disk: what is flushed and when, links and copies, what another disk changes."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.engine import files, local_store
from tasks.engine.local_store import local_root
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_the_users_mistake(
    local: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local_store, "write_whole", full)
    with pytest.raises(StageError, match="no space left"):
        local.check_writable()


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("/a/b/", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("local:///a//b", "/a/b"),
        ("/a/../b", "/b"),
        ("/", ""),
        ("simplecache::/a", None),
        ("s3://a/b", None),
        ("simplecache::file:///a", None),
        ("file://s3://a", None),
    ],
)
def test_only_a_folder_is_local(url: str, root: str | None) -> None:
    assert local_root(url) == root


def test_a_folder_may_be_relative_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert local_root("a") == f"{tmp_path}/a"
    assert local_root("~/a") == "/home/me/a"


def test_a_copy_on_one_disk_is_a_link(local: Store) -> None:
    local.write("a", b"a")
    local.copy("a", "b/c")
    assert os.path.samefile(local.url("a"), local.url("b/c"))
    local.write("d/e", b"before")
    local.copy("a", "d/e")
    assert os.path.samefile(local.url("a"), local.url("d/e"))


def test_where_a_disk_has_no_links_a_copy_is_flushed_and_appears_whole(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    flush, replace = files.flush_file, os.replace

    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    def noted_flush(path: Path) -> None:
        said.append(f"flush {path.read_bytes().decode()}")
        flush(path)

    def noted_replace(source: Any, target: Any) -> None:
        said.append(f"move to {Path(target).name}")
        replace(source, target)

    local.write("a", b"one")
    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(local_store, "flush_file", noted_flush)
    local.copy("a", "b")
    assert said == ["flush one", "move to b"]
    assert (local.read("a"), local.read("b")) == (b"one", b"one")
    assert local.files("", temporary=True) == ["a", "b"]


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose names are flushed."""
    said: list[str] = []
    monkeypatch.setattr(local_store, "sync_folder", lambda path: said.append(Path(path).name))
    return said


def test_a_name_that_must_last_is_flushed_with_its_folder(
    local: Store, tmp_path: Path, flushed: list[str]
) -> None:
    (tmp_path / "file").write_bytes(b"one")
    local.put(tmp_path / "file", "b/c")
    assert flushed == ["b"]
    local.move("b/c", "d/e")
    assert flushed == ["b", "d"]
    local.flush_names(["d/e", "x/1", "x/2", "d/f", "x/y/3"])
    assert flushed == ["b", "d", "d", "x", "y"]


def test_a_file_from_another_disk_is_copied_whole_and_then_removed(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: list[str]
) -> None:
    replace = os.replace

    def across(source: Any, target: Any) -> None:
        if Path(source).name == "file":
            raise OSError(errno.EXDEV, "another disk")
        replace(source, target)

    (tmp_path / "file").write_bytes(b"one")
    monkeypatch.setattr(os, "replace", across)
    local.put(tmp_path / "file", "b/c")
    assert local.read("b/c") == b"one"
    assert not (tmp_path / "file").exists()
    assert local.files("", temporary=True) == ["b/c"]
    assert flushed == ["b"]


def test_a_file_that_cannot_be_moved_stays(
    local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def refused(source: Any, target: Any) -> None:
        if Path(source).name == "file":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    (tmp_path / "file").write_bytes(b"one")
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OSError, match="Input/output"):
        local.put(tmp_path / "file", "b/c")
    assert (tmp_path / "file").read_bytes() == b"one"


def test_a_small_file_is_flushed_unless_that_is_not_wanted(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[int] = []
    monkeypatch.setattr(os, "fsync", flushes.append)
    local.write("a", b"1", flush=False)
    assert len(flushes) == 0
    local.write("a", b"1")
    assert len(flushes) == 2, "the file and its folder"
    local.create("b", b"1")
    assert len(flushes) == 4


def test_a_copy_that_fails_leaves_nothing_in_the_making(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    local.write("a", b"one")
    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(local_store, "flush_file", refused)
    with pytest.raises(OSError, match="Input/output"):
        local.copy("a", "b")
    assert local.files("", temporary=True) == ["a"]


def test_what_cannot_be_removed_is_told(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Any) -> None:
        raise FileNotFoundError(path)

    local.write("b/c/d.txt", b"one")
    monkeypatch.setattr(shutil, "rmtree", refused)
    with pytest.raises(FileNotFoundError):
        local.remove("b")


def test_removing_a_link_leaves_what_it_leads_to(local: Store, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "a").write_text("x")
    local.write("b", b"")
    os.symlink(tmp_path / "precious", local.url("link"))
    local.remove("link")
    assert local.names("") == ["b"]
    assert (tmp_path / "precious" / "a").read_text() == "x"
    local.remove("b/c")
    assert local.names("") == ["b"], "a file where its folder would be: nothing is there"


def test_what_another_removes_meanwhile_is_gone_anyway(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.write("b/c/d.txt", b"one")
    rmtree, tries = shutil.rmtree, []

    def interrupted(path: Any) -> None:
        tries.append(path)
        if len(tries) == 1:
            raise FileNotFoundError(path)
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    local.remove("b")
    assert not local.exists("b")
    assert len(tries) == 2


def test_the_time_of_a_file_is_when_it_was_written(local: Store) -> None:
    local.write("a", b"a")
    os.utime(local.url("a"), (5.0, 1234.5))
    assert local.modified("a") == 1234.5
    assert local.modified("z") is None
