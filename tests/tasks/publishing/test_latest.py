"""The pointers to what is newest: of the store and of each pipeline, with their format."""

import json
import os
from pathlib import Path

import pytest

from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError
from tasks.publishing.latest import FORMAT, point_latest, published_folder, published_folders


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_what_is_pointed_to_is_read_again(store: Store) -> None:
    """With its format; the link beside it leads to the same folder."""
    assert published_folder(store, "letters") is None
    point_latest(store, "7-publish/abc", "letters")
    point_latest(store, "7-publish/def", "novels")
    pointer = json.loads(store.read("latest.json") or b"")
    assert pointer == {"format": FORMAT, "folder": "7-publish/def"}
    assert published_folder(store, "letters") == "7-publish/abc"
    assert dict(published_folders(store)) == {
        "latest": "7-publish/def",
        "models/letters": "7-publish/abc",
        "models/novels": "7-publish/def",
    }
    for link in ("latest", "models/novels"):
        assert Path(store.url(link)).resolve() == Path(store.url("7-publish/def")).resolve()


@pytest.mark.parametrize(
    ("content", "folder"),
    [(b'{"folder": "7-publish/abc"}', "7-publish/abc"), (b"{", None), (b"[]", None)],
    ids=["of before there were formats", "cut short", "something else"],
)
def test_earlier_ones_are_read_and_others_point_nowhere(
    store: Store, content: bytes, folder: str | None
) -> None:
    """None of them ends a command."""
    store.write("models/letters.json", content)
    assert published_folder(store, "letters") == folder


def test_one_of_a_later_version_gets_a_sentence(store: Store) -> None:
    """It may keep more than one folder in use."""
    later = {"folder": "x", "format": FORMAT + 1}
    store.write("models/letters.json", json.dumps(later).encode())
    with pytest.raises(StageError, match=rf"later version .*letters.json format {FORMAT + 1}"):
        published_folder(store, "letters")


def test_the_links_lead_on_wherever_the_store_is_moved(store: Store, tmp_path: Path) -> None:
    """Each from its own place; pointed anew they are replaced, and nothing is left beside them."""
    for folder in ("7-publish/abc", "7-publish/def"):
        point_latest(store, folder, "letters")
    assert os.readlink(tmp_path / "latest") == "7-publish/def"
    assert os.readlink(tmp_path / "models/letters") == "../7-publish/def"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "latest.json", "models"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        *("letters", "letters.json")
    ]


def test_a_link_is_replaced_in_one_step(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the old one stands, for whoever reads it."""
    point_latest(store, "7-publish/abc", "letters")
    usual, seen = os.replace, list[str]()

    def look(source: Path, target: Path) -> None:
        if target.is_symlink():
            seen.append(os.readlink(target))
        usual(source, target)

    monkeypatch.setattr(os, "replace", look)
    point_latest(store, "7-publish/def", "letters")
    assert seen == ["../7-publish/abc", "7-publish/abc"]


def test_only_pointers_are_pointers(store: Store) -> None:
    """Neither other files beside them nor one that says nothing."""
    point_latest(store, "7-publish/abc", "letters")
    store.write("models/notes.txt", b'{"folder": "7-publish/def"}')
    store.write("models/empty.json", b'{"folder": ""}')
    assert dict(published_folders(store)) == {
        **{"latest": "7-publish/abc", "models/letters": "7-publish/abc"}
    }
