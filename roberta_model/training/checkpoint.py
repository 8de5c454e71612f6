"""Crash-safe checkpoints: a folder is whole or it is not there.

Files are written into a hidden folder and flushed; `checkpoint.json`, with the digest of each,
comes last; then the folder gets its name. Bytes follow from the training alone: no times.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from roberta_model.architectures import load_model
from roberta_model.encoder import Encoder
from roberta_model.huggingface import save_weights

RECORD = "checkpoint.json"
LOSSES = "losses.jsonl"
MEASURED = "measured.json"


def write_checkpoint(
    folder: Path,
    model: Encoder,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    losses: str,
    facts: Mapping[str, Any],
) -> None:
    """Write a checkpoint folder; it appears only when it is complete and on the disk.

    Args:
        folder: Its final place; the parent exists.
        model: What the weights are of; its own may be rounded.
        weights: fp32 weights by our names; written under stock names.
        optimizer: The optimiser's state.
        losses: JSON lines of the steps since the last checkpoint.
        facts: The step and what else identifies the training's state.

    Raises:
        OSError: The disk is full or fails; an earlier checkpoint is untouched.
    """
    hidden = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        save_weights(model, weights, hidden)
        save_file(dict(optimizer), str(hidden / "optimizer.safetensors"))
        (hidden / LOSSES).write_text(losses, encoding="utf-8")
        files = {path.name: _flushed_digest(path) for path in sorted(hidden.iterdir())}
        record = json.dumps({**facts, "files": files}, indent=1, sort_keys=True) + "\n"
        (hidden / RECORD).write_text(record, encoding="utf-8")
        _flushed_digest(hidden / RECORD)
        _flush(hidden)
        os.replace(hidden, folder)
        _flush(folder.parent)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def write_measured(folder: Path, facts: Mapping[str, Any]) -> None:
    """Leave beside a checkpoint's files how long it took, for whoever finds it later.

    It is no part of the checkpoint; a disk that has no room for it has kept all that counts.
    """
    with contextlib.suppress(OSError):
        (folder / MEASURED).write_text(json.dumps(facts), encoding="utf-8")


def read_measured(folder: Path) -> dict[str, Any]:
    """What `write_measured` left; nothing where it was not written whole."""
    try:
        facts = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def read_record(folder: Path) -> dict[str, Any] | None:
    """A checkpoint's own record, or None where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "files" in record else None


def is_sound_checkpoint(folder: Path, ignore: tuple[str, ...] = ()) -> bool:
    """Whether every file of a checkpoint is there with the bytes it was written with."""
    record = read_record(folder)
    if record is None:
        return False
    return all(
        (folder / name).is_file() and _digest(folder / name) == digest
        for name, digest in record["files"].items()
        if name not in ignore
    )


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Weights by our names, optimiser state, and the record.

    Raises:
        ValueError: The checkpoint is damaged or incomplete.
    """
    # The losses may have been joined with earlier ones since; weights and moments may not.
    if not is_sound_checkpoint(folder, ignore=(LOSSES,)):
        raise ValueError(f"{folder}: this checkpoint is damaged or incomplete")
    record = read_record(folder)
    assert record is not None
    weights: dict[str, Tensor] = dict(load_model(folder).named_parameters())
    return weights, load_file(str(folder / "optimizer.safetensors")), record


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flushed_digest(path: Path) -> str:
    _flush(path)
    return _digest(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
