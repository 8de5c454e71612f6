"""Checkpoints: whole or not there, and never half believed."""

import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import our_model, small_config, train_in_process

from roberta_model.training.checkpoint import is_sound_checkpoint, read_checkpoint, write_checkpoint


def write_small(folder: Path, losses: str = '{"step": 1}\n') -> Path:
    """A checkpoint of random weights and moments."""
    model = our_model(small_config())
    moments = {"exp_avg": torch.arange(2000.0), "step": torch.ones(1)}
    write_checkpoint(folder, model, dict(model.named_parameters()), moments, losses, {"step": 1})
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x04
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit of the weights": lambda folder: flip(folder / "model.safetensors"),
    "a bit of the moments": lambda folder: flip(folder / "optimizer.safetensors"),
    "moments cut short": lambda folder: (folder / "optimizer.safetensors").write_bytes(b"\0" * 90),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no moments": lambda folder: (folder / "optimizer.safetensors").unlink(),
    "another model's config": lambda folder: (folder / "config.json").write_text("{}"),
    "no record": lambda folder: (folder / "checkpoint.json").unlink(),
    "half a record": lambda folder: (folder / "checkpoint.json").write_text('{"files": {'),
    "a record of nothing": lambda folder: (folder / "checkpoint.json").write_text("[]"),
    "no folder": shutil.rmtree,
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Weights, moments and facts come back to the bit."""
    weights, moments, record = read_checkpoint(write_small(tmp_path / "00000001"))
    assert record["step"] == 1
    assert torch.equal(moments["exp_avg"], torch.arange(2000.0))
    for name, value in our_model(small_config()).named_parameters():
        assert torch.equal(weights[name], value), name


def test_the_same_training_state_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing in a checkpoint depends on when or where it was written."""
    one, other = write_small(tmp_path / "one"), write_small(tmp_path / "other")
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused(damage: str, tmp_path: Path) -> None:
    """A half-written or rotten checkpoint is named; nobody trains on from it."""
    folder = write_small(tmp_path / "00000001")
    assert is_sound_checkpoint(folder)
    DAMAGE[damage](folder)
    assert not is_sound_checkpoint(folder)
    with pytest.raises(ValueError, match="00000001: this checkpoint is damaged or incomplete"):
        read_checkpoint(folder)


def test_a_training_does_not_resume_from_damage(packed: Any, tmp_path: Path) -> None:
    """The process that would resume says so instead of beginning anew or from other weights."""
    spec = packed.spec(tmp_path, steps=4)
    training, _ = train_in_process(spec, last=2)
    folder = training.save("")
    flip(folder / "optimizer.safetensors")
    with pytest.raises(ValueError, match="damaged or incomplete"):
        train_in_process(replace(spec, resume=str(folder)))


def test_losses_may_be_joined_but_not_half_there(tmp_path: Path) -> None:
    """The stage joins losses with earlier ones: that is no damage to weights and moments."""
    folder = write_small(tmp_path / "00000001")
    (folder / "losses.jsonl").write_text("more\n")
    assert not is_sound_checkpoint(folder)
    assert is_sound_checkpoint(folder, ignore=("losses.jsonl",))
    assert read_checkpoint(folder)[2]["step"] == 1


@pytest.mark.parametrize("limit_bytes", [0, 1000, 100_000])
def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_else(
    limit_bytes: int, tmp_path: Path
) -> None:
    """Wherever the writing fails, no half checkpoint appears and no rubbish stays."""
    earlier = write_small(tmp_path / "00000001")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        with pytest.raises(Exception, match=r"(?i)file too large"):
            write_small(tmp_path / "00000002", losses="x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    assert is_sound_checkpoint(earlier)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for a file's name")
def test_all_is_on_the_disk_before_a_checkpoint_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves one that looks whole; its name is flushed last."""
    done: list[str] = []
    flush, rename = os.fsync, os.replace

    def noted_flush(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        flush(descriptor)

    def noted_rename(source: Path, target: Path) -> None:
        done.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(os, "replace", noted_rename)
    folder = write_small(tmp_path / "checkpoints" / "1")
    renamed = done.index("renamed")
    *files, hidden = done[:renamed]
    assert {path.name for path in folder.iterdir()} == set(files)
    assert files[-1] == "checkpoint.json"
    assert hidden.startswith(".1.")
    assert done[renamed + 1 :] == ["checkpoints"]


def test_the_record_tells_what_the_files_are(tmp_path: Path) -> None:
    """Anybody can check a checkpoint with sha256sum."""
    import hashlib

    folder = write_small(tmp_path / "00000001")
    record = json.loads((folder / "checkpoint.json").read_text())
    assert set(record["files"]) == {path.name for path in folder.iterdir()} - {"checkpoint.json"}
    for name, digest in record["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
