"""`latest.json` says which format it is in, and where the newest artifact lies."""

import json
from pathlib import Path

import pytest

from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError
from tasks.publishing.latest import FORMAT, point_latest, read_latest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_what_is_pointed_to_is_read_again(store: Store) -> None:
    """With its format; the link beside it leads to the same folder."""
    assert read_latest(store) is None
    point_latest(store, "7-publish/abc")
    pointer = json.loads(store.read("latest.json") or b"")
    assert pointer == {"format": FORMAT, "folder": "7-publish/abc"}
    assert read_latest(store) == "7-publish/abc"
    assert Path(store.url("latest")).readlink() == Path("7-publish/abc")


@pytest.mark.parametrize(
    ("content", "folder"),
    [(b'{"folder": "7-publish/abc"}', "7-publish/abc"), (b"{", None), (b"[]", None)],
    ids=["of before there were formats", "cut short", "something else"],
)
def test_earlier_ones_are_read_and_others_point_nowhere(
    store: Store, content: bytes, folder: str | None
) -> None:
    """None of them ends a command."""
    store.write("latest.json", content)
    assert read_latest(store) == folder


def test_one_of_a_later_version_gets_a_sentence(store: Store) -> None:
    """It may keep more than one folder in use."""
    later = {"folder": "x", "format": FORMAT + 1}
    store.write("latest.json", json.dumps(later).encode())
    with pytest.raises(StageError, match=rf"later version .*latest.json format {FORMAT + 1}"):
        read_latest(store)
