"""What `export` copies: the files of a model folder, and nothing that a link in it leads to."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.errors import StageError, UserError
from tasks.publishing import export
from tasks.publishing.export import CHECK_TEXTS, export_folder
from tasks.publishing.push import push_model

FILES = ["config.json", "model.safetensors"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for a model."""
    monkeypatch.setattr(export, "check_against_stock", lambda folder, texts: 0.0)
    folder = tmp_path / "model"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text("{}")
    return folder


def test_a_link_out_of_the_folder_is_refused_by_name(model: Path, tmp_path: Path) -> None:
    """A stranger's folder must not make a copy of somebody's key."""
    (tmp_path / "private_key").write_text("secret")
    (model / "notes.txt").symlink_to(tmp_path / "private_key")
    with pytest.raises(UserError, match=r"notes\.txt: this is a link to .*private_key"):
        export_folder(model, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_within_the_folder_and_to_the_folder_are_followed(
    model: Path, tmp_path: Path
) -> None:
    """`latest` is a link itself."""
    (model / "again.json").symlink_to("config.json")
    (tmp_path / "latest").symlink_to(model)
    told = export_folder(tmp_path / "latest", tmp_path / "copy")
    assert told["files"] == ["again.json", *FILES]
    assert not (tmp_path / "copy/again.json").is_symlink()


def test_what_is_published_while_an_older_one_is_copied_is_copied_whole(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one's shape with the other's weights; a file that only the older has is none."""
    shutil.copytree(model, newer := tmp_path / "newer")
    (model / "before.txt").write_text("older")
    (newer / "model.safetensors").write_text("newer")
    usual = shutil.copyfile

    def swapping(source: Path, target: Path) -> Path:
        copied = usual(source, target)
        if newer.exists():
            model.rename(tmp_path / "away")
            newer.rename(model)
        return copied

    monkeypatch.setattr(shutil, "copyfile", swapping)
    assert export_folder(model, tmp_path / "copy")["files"] == FILES
    assert (tmp_path / "copy/model.safetensors").read_text() == "newer"


def test_a_snapshot_of_the_hubs_cache_is_a_model_folder(model: Path, tmp_path: Path) -> None:
    """Its files are links to the blobs beside it."""
    blobs, snapshot = tmp_path / "hub/blobs", tmp_path / "hub/snapshots/abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (blobs / "1f").write_text("{}")
    for name in FILES:
        (snapshot / name).symlink_to("../../blobs/1f")
    assert export_folder(snapshot, tmp_path / "copy")["files"] == FILES


def test_the_copy_has_the_mode_that_the_umask_says(model: Path, tmp_path: Path) -> None:
    """Folder and files alike, so that whoever may read new files here may read it."""
    export_folder(model, tmp_path / "copy")
    umask = os.umask(0o022)
    os.umask(umask)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o777 & ~umask
    assert (tmp_path / "copy/config.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_onnx_file_that_nobody_has_checked_stays_behind(model: Path, tmp_path: Path) -> None:
    """Stock transformers, which agrees with the weights, has never looked at it."""
    (model / "model.onnx").write_bytes(b"junk")
    assert export_folder(model, tmp_path / "copy")["files"] == FILES


@pytest.mark.parametrize("use", [export_folder, push_model])
def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(
    use: Callable[..., object],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that is full in the middle of a file; no name of ours stands in the message."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".copy.x1y2")

    monkeypatch.setattr(shutil, "copyfile", full)
    target = tmp_path / "there" / "copy"
    with pytest.raises(StageError, match="cannot be written: No space left") as caught:
        use(model, str(target) if use is push_model else target)
    assert "x1y2" not in str(caught.value)
    assert "/." not in str(caught.value)
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("place", ["model-secrets/key", "blobs/key", "key"])
def test_what_is_beside_the_folder_is_out_of_it(place: str, model: Path, tmp_path: Path) -> None:
    """Whatever its name begins with; blobs are the hub's cache only where snapshots are."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("secret")
    (model / "notes.txt").symlink_to(tmp_path / place)
    with pytest.raises(UserError, match=r"notes\.txt: this is a link to .*key, out of the model"):
        export_folder(model, tmp_path / "copy")


def test_a_link_through_another_link_is_followed_to_its_end(model: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (model / "sub").mkdir()
    (model / "sub/inner").symlink_to(tmp_path / "key")
    (model / "notes.txt").symlink_to("sub/inner")
    with pytest.raises(UserError, match="out of the model folder"):
        export_folder(model, tmp_path / "copy")


def test_only_a_new_or_empty_folder_is_written_to(model: Path, tmp_path: Path) -> None:
    """A file or a folder that holds something stays as it is."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    for name in ("file", "full"):
        with pytest.raises(UserError, match=f"{name}: something is there already"):
            export_folder(model, tmp_path / name)
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export_folder(model, tmp_path / "empty")["files"] == FILES


def test_folders_within_and_weights_of_an_onnx_file_stay_behind(
    model: Path, tmp_path: Path
) -> None:
    """`model.onnx.data` is of no use without the file that was not copied."""
    (model / "model.onnx.data").write_bytes(b"junk")
    (model / "checkpoints").mkdir()
    (model / "checkpoints/weights").write_text("old")
    told = export_folder(model, tmp_path / "copy")
    assert told == {
        **{"path": str(tmp_path / "copy"), "files": FILES},
        **{"largest_difference": 0.0, "onnx_difference": None},
    }


def test_it_is_the_copy_that_is_checked_before_it_has_its_name(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal names the folder that somebody gave, and leaves nothing."""

    def refuse(folder: Path, texts: tuple[str, ...]) -> float:
        assert sorted(path.name for path in folder.iterdir()) == FILES
        assert folder.parent == tmp_path / "there"
        assert folder.name.startswith(".copy.")
        assert texts == CHECK_TEXTS
        raise StageError(f"{folder}: other logits")

    monkeypatch.setattr(export, "check_against_stock", refuse)
    with pytest.raises(StageError) as caught:
        export_folder(model, tmp_path / "there/copy")
    assert str(caught.value) == f"{model}: other logits"
    assert list((tmp_path / "there").iterdir()) == []


def test_blobs_are_the_hubs_cache_only_where_snapshots_are(model: Path, tmp_path: Path) -> None:
    """Two folders up, where the cache has them, anybody may have a folder of that name."""
    (tmp_path / "home/blobs").mkdir(parents=True)
    (tmp_path / "home/blobs/key").write_text("secret")
    place = tmp_path / "home/models/mine"
    shutil.copytree(model, place)
    (place / "notes.txt").symlink_to("../../blobs/key")
    with pytest.raises(UserError, match=r"notes\.txt: this is a link to .*key, out of the model"):
        export_folder(place, tmp_path / "copy")
