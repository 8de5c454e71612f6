"""Copying a model folder so that what arrives is known to load in stock `transformers`."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from roberta_model.inference.one_state import read_in_one_state
from tasks.engine.files import give_usual_mode
from tasks.errors import RobertaError, UserError
from tasks.inference.model_folder import check_folder, refusals
from tasks.publishing.onnx_file import MADE, require_onnx, write_onnx
from tasks.publishing.staging import cannot_write, put_in_place, staged_beside
from tasks.publishing.stock_check import check_against_stock

CHECK_TEXTS = (
    "The capital of France is<mask>.",
    "A longer sentence, with punctuation; numbers such as 1,024 and a second clause.",
    "Grüße, 世界! Привет, мир.",
)


def export_folder(model: Path, target: Path, *, onnx: bool = False) -> dict[str, Any]:
    """Copy a model folder to a new place and check the copy against stock transformers.

    Returns `{"path", "files", "largest_difference", "onnx_difference"}`; the last is None without
    `onnx`.

    Args:
        model: The folder.
        target: A new or empty one.
        onnx: Whether `model.onnx` is written beside the weights, checked against torch.

    Raises:
        UserError: there is no model folder, a link in it leads out of it, the target holds
            something already, or a package is missing.
        StageError: stock transformers or the ONNX file does not agree; the target is not created.
    """
    if onnx:
        require_onnx()
    check_folder(model)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: something is there already. Give a new or empty folder.")
    with staged_beside(target) as staging:
        try:
            with refusals():
                read_in_one_state(model, partial(_copy, model, staging))
            difference = check_against_stock(staging, CHECK_TEXTS)
            onnx_difference = write_onnx(staging, CHECK_TEXTS) if onnx else None
            written = sorted(path.name for path in staging.iterdir())
            give_usual_mode(staging, is_folder=True)
            put_in_place(staging, target)
        except RobertaError as problem:
            raise type(problem)(str(problem).replace(str(staging), str(model))) from problem
        except OSError as problem:
            raise cannot_write(target, problem) from problem
    return {
        "path": str(target),
        "files": written,
        "largest_difference": difference,
        "onnx_difference": onnx_difference,
    }


def _copy(model: Path, target: Path) -> None:
    """Copy a model folder's files into a folder, which has then nothing else."""
    for path in target.iterdir():
        path.unlink()
    # A `model.onnx` that lies there is of whoever made it: only one written and checked here goes.
    files = sorted(p for p in model.iterdir() if p.is_file() and p.name not in MADE)
    check_links(model, files)
    for path in files:
        shutil.copyfile(path, target / path.name)


def check_links(folder: Path, files: Sequence[Path]) -> None:
    """Refuse files that are links out of their folder: copied, they would give away anything.

    The hub's own cache is made of links from a snapshot to its blobs, which are as good as files.

    Raises:
        UserError: names the link.
    """
    real = Path(os.path.realpath(folder))
    places = [real, real.parent.parent / "blobs"] if real.parent.name == "snapshots" else [real]
    for path in files:
        if not any(Path(os.path.realpath(path)).is_relative_to(place) for place in places):
            raise UserError(
                f"{path}: this is a link to {os.path.realpath(path)}, out of the model folder. "
                "Remove it, or put the file itself in its place."
            )
