"""What every store promises, on a disk and behind a driver alike."""

from pathlib import Path
from typing import Any

import pytest

from tasks.engine import digests
from tasks.engine.local_store import LocalStore
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import UserError

ONE = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256 of `one`


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, place: Any) -> Store:
    return open_store(place(request.param)("store"))


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def fill(store: Store) -> None:
    for path in ("b/2.txt", "b/10.txt", "b/.x.tmp", "b/c/d.txt", "b/c/.y.tmp", "a.txt", ".hidden"):
        store.write(path, b"one")


def test_names_are_sorted_and_without_files_in_the_making(store: Store) -> None:
    fill(store)
    assert store.names("b") == ["10.txt", "2.txt", "c"]
    assert store.names("") == [".hidden", "a.txt", "b"]
    assert store.names("nothing") == []


def test_files_are_sorted_paths_below_a_folder(store: Store) -> None:
    fill(store)
    assert store.files("b") == ["10.txt", "2.txt", "c/d.txt"]
    everything = [".x.tmp", "10.txt", "2.txt", "c/.y.tmp", "c/d.txt"]
    assert store.files("b", temporary=True) == everything
    assert store.files("nothing") == []


def test_a_folder_has_no_size_no_bytes_and_no_digest(store: Store) -> None:
    fill(store)
    assert (store.size("a.txt"), store.size("b"), store.size("z")) == (3, None, None)
    assert (store.digest("a.txt"), store.digest("b"), store.digest("z")) == (ONE, None, None)
    assert (store.exists("a.txt"), store.exists("b"), store.exists("z")) == (True, True, False)
    assert (store.read("a.txt"), store.read("z")) == (b"one", None)


def test_a_file_is_written_over_and_created_once(store: Store) -> None:
    store.write("a", b"old")
    store.write("a", b"new")
    assert store.read("a") == b"new"
    assert [store.create("a", b"other"), store.create("b/c", b"1")] == [False, True]
    assert [store.create("b/c", b"2"), store.read("a"), store.read("b/c")] == [False, b"new", b"1"]


def test_a_put_file_is_here_no_more(store: Store, tmp_path: Path) -> None:
    for content in (b"one", b"three"):
        (tmp_path / "file").write_bytes(content)
        store.put(tmp_path / "file", "d/e")
        assert store.read("d/e") == content
        assert not (tmp_path / "file").exists()


def test_a_move_to_a_taken_name_leaves_both_as_they_are(store: Store) -> None:
    store.write("a", b"a")
    store.write("b", b"b")
    assert not store.move_new("a", "b")
    assert (store.read("a"), store.read("b")) == (b"a", b"b")
    assert store.move_new("a", "c/d")
    assert (store.read("a"), store.read("c/d")) == (None, b"a")
    store.move("c/d", "b")
    assert (store.read("c/d"), store.read("b")) == (None, b"a")
    store.move("b", "x/y/z")
    store.copy("x/y/z", "u/v/w")
    assert store.move_new("u/v/w", "r/s/t")
    assert store.files("") == ["r/s/t", "x/y/z"]
    for action in (store.copy, store.move, store.move_new):
        with pytest.raises(FileNotFoundError):
            action("nothing", "somewhere")


def test_a_copy_stands_beside_and_over_what_was_there(store: Store) -> None:
    store.write("a", b"a")
    store.write("b", b"b")
    store.copy("a", "b")
    store.copy("a", "c/d")
    assert [store.read(path) for path in ("a", "b", "c/d")] == [b"a"] * 3
    store.write("b", b"new")
    assert store.read("a") == b"a", "what is written to the copy is not written to the other"


def test_removing_takes_a_file_or_all_below_a_folder(store: Store) -> None:
    fill(store)
    store.remove("b/2.txt")
    assert store.files("b") == ["10.txt", "c/d.txt"]
    store.remove("b")
    store.remove("b")
    assert store.names("") == [".hidden", "a.txt"]


def test_a_file_is_sound_by_its_size_and_its_bytes(store: Store) -> None:
    store.write("a", b"one")
    assert store.is_sound("a", ONE, 3)
    assert not store.is_sound("a", ONE, 4)
    assert not store.is_sound("a", ONE[::-1], 3)
    assert not store.is_sound("b", ONE, 3)


def test_a_sound_file_is_read_anew_when_asked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", b"two")
    monkeypatch.setattr(digests, "_SETTLED_NS", -1 << 62)
    monkeypatch.setattr(digests, "recall", lambda _: ONE)
    assert store.digest("a", anew=True) != ONE
    assert not store.is_sound("a", ONE, 3, anew=True)
    if store.is_local:  # the driver of memory cannot tell whether a file was touched
        assert store.digest("a") == ONE
        assert store.is_sound("a", ONE, 3)


def test_trying_whether_a_place_can_be_written_leaves_nothing(store: Store) -> None:
    store.check_writable()
    assert store.files("", temporary=True) == []


def test_a_place_that_cannot_be_written_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"file/store cannot be written: .*Choose another folder"):
        open_store(str(tmp_path / "file" / "store")).check_writable()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://me:pw@bucket/a", r"s3://\*\*\*@bucket/a carries a secret"),
        ("s3://bucket/a?sig=Zm9v", r"s3://bucket/a\?sig=\*\*\* carries a secret"),
        ("file://me:pw@host/a", r"file://\*\*\*@host/a carries a secret"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_shown(url: str, shown: str) -> None:
    with pytest.raises(UserError, match=shown) as told:
        open_store(url)
    assert "pw" not in str(told.value)
    assert "Zm9v" not in str(told.value)


def test_a_folder_and_an_address_with_a_user_alone_carry_no_secret(tmp_path: Path) -> None:
    assert isinstance(open_store(f"{tmp_path}/a?sig=b"), LocalStore)
    assert open_store("memory://user@host/a").root.endswith("user@host/a")


def test_urls_are_full_paths(store: Store) -> None:
    assert store.url("a/b").endswith("/store/a/b")
    assert store.url("").endswith("/store")
    assert store.url("a") == f"{store.url('')}/a"
