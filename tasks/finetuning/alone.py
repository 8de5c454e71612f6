"""One fine-tuning of a folder, without a pipeline: `roberta finetune`.

DIR.unfinished/   what is done so far, as a store of the engine: the same command goes on
DIR/              the finished folder; it appears when it is whole
"""

import logging
import shutil
from pathlib import Path
from typing import Any, cast

from tasks.config import Config
from tasks.engine.files import give_usual_mode
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import identify, run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UNITS
from tasks.errors import UserError
from tasks.finetuning.downstream import check_columns
from tasks.inference.model_folder import check_folder
from tasks.inspection.in_work import live_owner
from tasks.publishing.staging import put_in_place, staged_beside
from tasks.stages import FINE_TUNING, stage_folder
from tasks.stages.finetune_model import AloneConfig, alone

log = logging.getLogger(__name__)

_BESIDE = {"model.scores.json": "scores.json", "model.dev.jsonl": "predictions_dev.jsonl"} | {
    "model.test.jsonl": "predictions_test.jsonl"
}


def unfinished(out: Path) -> Path:
    """Where a fine-tuning that is not done lies."""
    return out.with_name(f"{out.name}.unfinished")


def fine_tune_folder(config: AloneConfig, out: Path, progress: Progress) -> dict[str, Any]:
    """Fine-tune a folder into a new one.

    Returns:
        What the stage found, and `path`.

    Raises:
        UserError: something is at `out` already, or the data are not what the task needs.
        StageError: a training failed; what is done is kept.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: something is there already. Give a new or empty folder as --out.")
    check_folder(Path(config.model))
    check_columns(config.settings, "--")
    out.parent.mkdir(parents=True, exist_ok=True)
    store = open_store(str(unfinished(out).absolute()))
    store.check_writable()
    # Only its engine is read, beside what the stage itself takes out of it.
    stage, whole = alone(config), cast(Config, config)
    try:
        _say_begun_otherwise(store, identify(stage, whole, {}).key, out)
        made = run_stage(stage, whole, store, progress=progress).artifact
    except UserError:
        if not _is_begun(store):
            shutil.rmtree(unfinished(out), ignore_errors=True)
        raise
    _hand_over(made, out)
    shutil.rmtree(unfinished(out), ignore_errors=True)
    return {"path": str(out), **made.summary}


def _say_begun_otherwise(store: Store, key: str, out: Path) -> None:
    """A word where what is done is of another training; it goes when this one is done."""
    begun = store.names(stage_folder(FINE_TUNING))
    if begun and key not in begun:
        log.warning(
            "%s: what is done there was begun with other data or settings, or by another version. "
            "What of it fits is used; the rest goes when this training is done",
            unfinished(out),
        )


def _is_begun(store: Store) -> bool:
    """Whether something is done in a store that a later try may take up, or somebody is at it."""
    stage = stage_folder(FINE_TUNING)
    folders = [f"{stage}/{key}" for key in store.names(stage)]
    return any(store.names(f"{folder}/{UNITS}") or live_owner(store, folder) for folder in folders)


def _hand_over(made: Artifact, out: Path) -> None:
    """Copy the folder and what lies beside it; it gets its name when all is there."""
    with staged_beside(out) as staging:
        for file in made.files("model/"):
            shutil.copyfile(file.local(), staging / file.url.rsplit("/", 1)[-1])
        for name, file in made.outputs:
            if name in _BESIDE:
                shutil.copyfile(file.local(), staging / _BESIDE[name])
        give_usual_mode(staging, is_folder=True)
        put_in_place(staging, out)
