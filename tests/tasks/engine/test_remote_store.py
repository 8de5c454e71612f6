"""Behind a driver: what is looked at anew, what must arrive whole, when a digest is remembered."""

import hashlib
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tasks.engine import remote_store, retrying
from tasks.engine.remote_store import RemoteStore, open_filesystem
from tasks.errors import StageError, UserError


@pytest.fixture
def store(place: Any, impatient: None) -> RemoteStore:
    return RemoteStore(place("memory")("store"))


def test_a_root_has_no_slash_at_its_end(place: Any) -> None:
    assert RemoteStore(f"{place('memory')('store')}/").url("a").endswith("/store/a")


def test_a_file_that_arrived_in_part_is_sent_again_and_only_then_removed(
    store: RemoteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "file"
    local.write_bytes(b"12345")
    sizes = iter([4, 6, 5])
    sent: list[str] = []
    put = store.fs.put_file

    def noted(path: str, target: str) -> None:
        assert local.exists()
        sent.append(target)
        put(path, target)

    monkeypatch.setattr(store.fs, "put_file", noted)
    monkeypatch.setattr(store.fs, "info", lambda _: {"size": next(sizes)})
    store.put(local, "a")
    assert len(sent) == 3
    assert not local.exists()


def test_a_file_that_never_arrives_whole_stays_here(
    store: RemoteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "file"
    local.write_bytes(b"12345")
    monkeypatch.setattr(store.fs, "info", lambda _: {"size": 4})
    with pytest.raises(StageError, match=r"in 3 tries .* 4 of 5 bytes arrived"):
        store.put(local, "a")
    assert local.read_bytes() == b"12345"


@pytest.mark.parametrize(("size", "blocks"), [(0, 0), (1, 1), (10, 1), (11, 2), (30, 3)])
def test_a_file_is_read_in_blocks(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch, size: int, blocks: int
) -> None:
    monkeypatch.setattr(remote_store, "_BLOCK_BYTES", 10)
    content = bytes(range(size))
    store.write("a", content)
    found = list(store.blocks("a", size))
    assert len(found) == blocks
    assert b"".join(found) == content
    assert store.digest("a") == hashlib.sha256(content).hexdigest()


def test_a_block_that_was_cut_is_read_again(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", b"12345")
    read, cuts = store.fs.cat_file, iter([3, 0])

    def cut(path: str, start: int, end: int) -> bytes:
        return bytes(read(path, start=start, end=end))[: next(cuts, 5)]

    monkeypatch.setattr(store.fs, "cat_file", cut)
    assert list(store.blocks("a", 5)) == [b"12345"]
    cuts = iter([3, 3, 3])
    with pytest.raises(StageError, match="3 of 5 bytes arrived"):
        list(store.blocks("a", 5))


def test_what_the_driver_remembers_is_not_believed(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[int] = []
    monkeypatch.setattr(store.fs, "invalidate_cache", lambda *_: forgotten.append(1))
    store.write("a/b", b"1")
    for number, look in enumerate((store.exists, store.size, store.names, store.files), start=1):
        look("a/b")
        assert len(forgotten) == number


def test_a_digest_is_known_by_tag_size_time_and_place(store: RemoteStore) -> None:
    """Any put gives an object another tag or another time."""
    info = {"ETag": '"abc"', "size": 3, "LastModified": "now", "type": "file"}
    stamp = store._stamp("a", info)
    assert stamp == f" {store.url('a')} abc 3 now"
    others: list[dict[str, Any]] = [{"ETag": '"abd"'}, {"size": 4}, {"LastModified": "then"}]
    stamps = {store._stamp("a", {**info, **other}) for other in others}
    assert len(stamps | {stamp, store._stamp("b", info)}) == 5
    for untagged in ({"size": 3}, {**info, "ETag": ""}, {**info, "ETag": None}):
        assert store._stamp("a", untagged) is None
    store.fs.endpoint_url = "http://other"
    try:
        assert store._stamp("a", info) == f"http://other {store.url('a')} abc 3 now"
    finally:
        del store.fs.endpoint_url


def tagged(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the server tell the tag that stands here, whatever the object is."""
    tags, size = ["1"], len(store.read("a") or b"")
    monkeypatch.setattr(store.fs, "info", lambda _: {"type": "file", "size": size, "ETag": tags[0]})
    return tags


def test_an_object_that_changed_while_it_was_read_is_not_remembered(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    store.write("a", b"one")
    tags, read = tagged(store, monkeypatch), store.fs.cat_file

    def changes(path: str, **options: Any) -> bytes:
        tags[0] = "2"
        return bytes(read(path, **options))

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(store.fs, "cat_file", changes)
        assert store.digest("a") == one
    store.write("a", b"two")
    for tag in ("1", "2"):
        tags[0] = tag
        assert store.digest("a") == two, f"under the tag {tag} nothing was remembered"


def test_an_object_of_the_same_tag_is_read_again_only_when_asked(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    store.write("a", b"one")
    tagged(store, monkeypatch)
    assert store.digest("a") == one
    store.write("a", b"two")
    assert store.digest("a") == one
    assert store.digest("a", anew=True) == two
    assert store.digest("a") == two


def test_a_refused_create_is_ours_only_if_its_bytes_are(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "PreconditionFailed"

    def refused(*_: Any, **__: Any) -> None:
        problem = OSError("PreconditionFailed")
        problem.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
        raise problem

    store.write("a", b"mine")
    monkeypatch.setattr(store.fs, "pipe_file", refused)
    assert store.create("a", b"mine")
    assert not store.create("a", b"theirs")
    code = "412"
    assert store.create("a", b"mine")
    assert not store.create("a", b"theirs")
    code = "SlowDown"
    with pytest.raises(StageError, match="in 3 tries"):
        store.create("a", b"mine")


@pytest.mark.parametrize(
    ("protocol", "in_one_step"),
    [("memory", True), (("s3", "s3a"), True), ("gs", False), (("file", "local"), False)],
)
def test_creation_is_one_step_only_with_a_driver_that_sends_a_condition(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch, protocol: Any, in_one_step: bool
) -> None:
    monkeypatch.setattr(store.fs, "protocol", protocol, raising=False)
    assert store.creates_in_one_step is in_one_step
    assert store.files("", temporary=True) == []


def test_a_server_that_overwrites_is_found_out(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = store.fs.pipe_file
    monkeypatch.setattr(store.fs, "pipe_file", lambda path, content, mode="": pipe(path, content))
    assert not store.creates_in_one_step


def test_a_url_without_a_driver_is_the_users() -> None:
    with pytest.raises(UserError, match=r"'nosuch://a' cannot be opened: .*nosuch://"):
        open_filesystem("nosuch://a")


def test_the_endpoint_of_s3_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variable counts before the one of all services."""
    asked: list[dict[str, Any]] = []

    class Driver:
        retries = 5

    def url_to_fs(url: str, **options: Any) -> tuple[Any, str]:
        asked.append(options)
        return Driver(), "bucket/a/"

    monkeypatch.setattr(fsspec.core, "url_to_fs", url_to_fs)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    fs, root = open_filesystem("s3://bucket/a/")
    assert (fs.retries, root) == (2, "bucket/a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    open_filesystem("s3a://bucket/a/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    open_filesystem("s3://bucket/a/")
    open_filesystem("gs://bucket/a/")
    assert [options.get("endpoint_url") for options in asked] == [
        *(None, "http://all", "http://s3", None)
    ]
    assert [options.get("use_listings_cache") for options in asked] == [False] * 3 + [None]
    retries = {"retries": {"mode": "standard", "total_max_attempts": 2}}
    assert asked[0]["config_kwargs"] == retries


def test_a_folder_that_another_empties_meanwhile_is_removed(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a/b", b"1")
    store.write("a/c", b"1")
    remove, tries = store.fs.rm, []

    def interrupted(path: str, recursive: bool) -> None:
        tries.append(path)
        if len(tries) == 1:
            raise FileNotFoundError(path)
        remove(path, recursive=recursive)

    monkeypatch.setattr(store.fs, "rm", interrupted)
    store.remove("a")
    assert store.files("") == []
    assert len(tries) == 2


def test_retries_are_above_every_operation(
    store: RemoteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each kind of request the first fails, and what passes is not told."""
    failed: set[str] = set()

    def flaky(name: str) -> None:
        action = getattr(store.fs, name)

        def once(*arguments: Any, **options: Any) -> Any:
            if name not in failed:
                failed.add(name)
                raise ConnectionError("cut")
            return action(*arguments, **options)

        monkeypatch.setattr(store.fs, name, once)

    names = ("pipe_file", "cat_file", "cp_file", "rm", "rm_file", "put_file", "ls", "find", "info")
    for name in names:
        flaky(name)
    store.write("a", b"1")
    assert store.read("a") == b"1"
    store.copy("a", "b")
    store.move("b", "c")
    assert store.size("c") == 1
    (tmp_path / "file").write_bytes(b"2")
    store.put(tmp_path / "file", "d")
    assert (store.names(""), store.files("")) == (["a", "c", "d"], ["a", "c", "d"])
    store.remove("d")
    assert failed == set(names)
    assert retrying.TRIES == 3
