"""push rule by rule: the order of what is sent, what may be replaced, and what stays in place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from tasks.engine.identity import file_digest
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.publishing import export, push, staging
from tasks.publishing.push import push_model


@pytest.fixture(autouse=True)
def _no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "check_folder", lambda folder: None)
    monkeypatch.setattr(export, "check_against_stock", lambda folder, texts: 0.25)


def model(folder: Path, **files: str) -> Path:
    """A folder that passes for a model; `_` in a name stands for a dot."""
    folder.mkdir(parents=True)
    for name, text in {"config_json": "{}", **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return model(tmp_path / "one", a_safetensors="aa", b_safetensors="bb")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return model(tmp_path / "two", config_json="{} ", b_safetensors="BBB", z_json="zz")


class Noted:
    """What a remote store is told, in order."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        for method in ("put", "remove"):
            usual: Callable[..., Any] = getattr(store, method)

            def noting(*words: Any, method: str = method, usual: Any = usual) -> None:
                usual(*words)
                self.events.append(f"{method} {words[-1]}")

            monkeypatch.setattr(store, method, noting)
        monkeypatch.setattr(push, "open_store", lambda url: store)


def test_what_makes_a_folder_loadable_goes_first_and_comes_last(
    one: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model before had alone goes with it; the index stands before the last file."""
    url = f"memory://{tmp_path.name}-order"
    store = open_store(url)
    noted = Noted(store, monkeypatch)
    push_model(one, url)
    assert noted.events == [
        *("put a.safetensors", "put b.safetensors", "put files.json", "put config.json")
    ]
    noted.events.clear()
    push_model(two, url, replace=True)
    assert noted.events == [
        *("remove config.json", "remove a.safetensors", "remove files.json"),
        *("put b.safetensors", "put z.json", "put files.json", "put config.json"),
    ]
    assert store.names("") == ["b.safetensors", "config.json", "files.json", "z.json"]


def test_the_index_names_every_file_with_its_size_and_digest(one: Path, tmp_path: Path) -> None:
    """But itself; an older one in the model's folder is not handed on."""
    (one / "files.json").write_text('{"format": 1, "files": {"old": {}}}')
    told = push_model(one, str(tmp_path / "out"))
    names = ["a.safetensors", "b.safetensors", "config.json"]
    assert json.loads((tmp_path / "out/files.json").read_text()) == {
        "format": 1,
        "files": {
            name: {"bytes": 2, "sha256": file_digest(tmp_path / "out" / name)} for name in names
        },
    }
    assert told == {
        **{"url": str(tmp_path / "out"), "files": names, "bytes": 6},
        **{"largest_difference": 0.25, "state": "pushed"},
    }


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_a_place_that_lacks_a_file_or_has_another_is_made_whole(
    place: str, one: Path, tmp_path: Path
) -> None:
    """The index says what should be there; the sizes say what is."""
    url = str(tmp_path / "out") if place == "folder" else f"memory://{tmp_path.name}-whole"
    push_model(one, url)
    store = open_store(url)
    assert push_model(one, url)["state"] == "there"
    store.remove("a.safetensors")
    store.remove("config.json")
    assert push_model(one, url)["state"] == "pushed"
    assert (store.read("a.safetensors"), store.read("config.json")) == (b"aa", b"{}")
    store.write("a.safetensors", b"a")
    assert push_model(one, url, replace=True)["state"] == "pushed"
    assert store.read("a.safetensors") == b"aa"


def test_another_model_of_the_same_sizes_is_another(one: Path, tmp_path: Path) -> None:
    """Digests tell: a place that holds other bytes does not pass for this model."""
    push_model(one, str(tmp_path / "out"))
    other = model(tmp_path / "other", a_safetensors="xx", b_safetensors="bb")
    with pytest.raises(UserError, match="another model is there already"):
        push_model(other, str(tmp_path / "out"))
    assert push_model(other, str(tmp_path / "out"), replace=True)["state"] == "pushed"
    assert (tmp_path / "out/a.safetensors").read_text() == "xx"


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_what_nobody_pushed_is_never_replaced(
    place: str, one: Path, two: Path, tmp_path: Path
) -> None:
    """Beside a model neither; an unfinished push of other files is taken up without a word."""
    url = str(tmp_path / "out") if place == "folder" else f"memory://{tmp_path.name}-mine"
    push_model(one, url)
    store = open_store(url)
    store.write("notes.md", b"mine")
    with pytest.raises(UserError, match="something else is there already, such as notes.md"):
        push_model(two, url, replace=True)
    store.remove("notes.md")
    store.remove("config.json")
    assert push_model(two, url)["state"] == "pushed"
    assert store.read("notes.md") is None


def test_a_folder_under_a_files_name_is_somebodys(one: Path, tmp_path: Path) -> None:
    """It would go away with what was there before."""
    (tmp_path / "out/a.safetensors").mkdir(parents=True)
    (tmp_path / "out/a.safetensors/thesis").write_text("mine")
    for replace in (False, True):
        with pytest.raises(UserError, match="such as a.safetensors"):
            push_model(one, str(tmp_path / "out"), replace=replace)
    assert (tmp_path / "out/a.safetensors/thesis").read_text() == "mine"


@pytest.mark.parametrize("index", ["{", "[]", '{"files": []}'])
def test_an_index_that_cannot_be_read_names_nothing(index: str, one: Path, tmp_path: Path) -> None:
    """Then what lies there is somebody's."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/files.json").write_text(index)
    (tmp_path / "out/thesis").write_text("mine")
    with pytest.raises(UserError, match="such as thesis"):
        push_model(one, str(tmp_path / "out"))
    (tmp_path / "out/thesis").unlink()
    assert push_model(one, str(tmp_path / "out"))["state"] == "pushed"


def test_a_name_that_was_moved_in_is_flushed_before_the_old_model_goes(
    one: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves the old model or the new one."""
    seen: list[tuple[Path, str, int]] = []

    def note(folder: Path) -> None:
        if folder.name != "given":
            return
        text = (folder / "out/b.safetensors").read_text()
        seen.append((folder, text, len(list(folder.glob(".out.*-staging/model")))))

    monkeypatch.setattr(staging, "sync_folder", note)
    push_model(one, str(tmp_path / "given/out"))
    push_model(two, str(tmp_path / "given/out"), replace=True)
    assert seen == [(tmp_path / "given", "bb", 0), (tmp_path / "given", "BBB", 1)]
    assert [path.name for path in (tmp_path / "given").iterdir()] == ["out"]


@pytest.mark.parametrize(
    "url",
    ["hf://me:hf_s3cret@us/model", "hf://hf_s3cret@hub/us/model", "hf://us/m?token=hf_s3cret"],
)
@pytest.mark.parametrize("token", ["", "hf_other"])
def test_a_secret_in_the_hubs_address_is_refused_and_not_repeated(
    url: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It once stood in every message on that address."""
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=r"hf://.*\*\*\*.* carries a secret.* HF_TOKEN") as caught:
        push_model(tmp_path, url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["hf://a", "hf://a/b/c", "hf://", "hf:///a"])
def test_a_repository_of_the_hub_has_an_owner_and_a_name(
    name: str, one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with pytest.raises(UserError, match=r"addresses are hf://user/name"):
        push_model(one, name)


def test_a_token_that_the_hubs_library_tells_is_not_told_on(
    one: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what it says the first line is kept, without the token and without an address's secret."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("hf_hidden at https://me:hunter2@host/x failed\nmore hf_hidden")

    monkeypatch.setenv("HF_TOKEN", "hf_hidden")
    monkeypatch.setattr(HfApi, "create_repo", fail)
    with pytest.raises(StageError, match=r"RuntimeError: \*\*\* at .*host/x failed") as caught:
        push_model(one, "hf://us/model")
    for secret in ("hf_hidden", "hunter2", "\n"):
        assert secret not in str(caught.value)


def test_what_is_somebodys_stays_without_a_model_beside_it(one: Path, tmp_path: Path) -> None:
    """A file at the place itself, and one in a folder that is called as a model's is."""
    place = tmp_path / "notes"
    place.write_text("mine")
    with pytest.raises(UserError, match="notes: this is a file"):
        push_model(one, str(place))
    mine = tmp_path / "mine" / "a.safetensors"
    mine.parent.mkdir()
    mine.write_text("mine")
    for replace in (False, True):
        with pytest.raises(UserError, match="something else is there already, such as a.safeten"):
            push_model(one, str(mine.parent), replace=replace)
    assert place.read_text() == mine.read_text() == "mine"


def test_what_a_link_leads_to_is_the_place(one: Path, two: Path, tmp_path: Path) -> None:
    """The link stays, with nothing beside it; one that leads nowhere yet is good too."""
    link = tmp_path / "given" / "latest"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "disk")
    push_model(one, str(link))
    push_model(two, str(link), replace=True)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "z.json").read_text() == "zz"
    assert list(link.parent.iterdir()) == [link]
