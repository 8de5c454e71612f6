"""One fine-tuning of a folder, without a pipeline: `roberta finetune`.

DIR.unfinished/   what is done so far, as a store of the engine: the same command goes on
DIR/              the finished folder; it appears when it is whole
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
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
from tasks.publishing.staging import NO_LOCKS, put_in_place, staged_beside
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
        UserError: something is at `out` already, somebody else is at work on it, or the data are
            not what the task needs.
        StageError: a training failed; what is done is kept.
    """
    _require_room(out)
    check_folder(Path(config.model))
    check_columns(config.settings, "--")
    out.parent.mkdir(parents=True, exist_ok=True)
    store = open_store(str(unfinished(out).absolute()))
    store.check_writable()
    with _held(out):
        return {"path": str(out), **_fine_tune(config, store, out, progress)}


def _require_room(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: something is there already. Give a new or empty folder as --out.")


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold what is done so far for this process alone: who is done first removes all of it.

    The lock ends with the process, however that ends; a disk without locks has none.

    Raises:
        UserError: another process holds it.
    """
    folder = unfinished(out)
    with ExitStack() as stack:
        while True:  # until the folder that is locked is the one that has the name
            folder.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                lock = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, lock)
                if _is_taken(lock):
                    raise UserError(
                        f"{out}: another `roberta finetune` is at work on it. Wait until it has "
                        "ended, or give another folder as --out."
                    )
                if os.path.samestat(os.fstat(lock), folder.stat()):
                    break
        yield


def _is_taken(folder: int) -> bool:
    """Whether another process has the lock of an open folder; else it is ours from now on."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as problem:
        if problem.errno not in NO_LOCKS:
            raise
    return False


def _fine_tune(
    config: AloneConfig, store: Store, out: Path, progress: Progress
) -> Mapping[str, Any]:
    """Do it, hand the folder over, and remove what was done on the way; what the stage found."""
    # Only its engine is read, beside what the stage itself takes out of it.
    stage, whole = alone(config), cast(Config, config)
    try:
        _require_room(out)  # somebody else may have been done with it a moment ago
        _say_begun_otherwise(store, identify(stage, whole, {}).key, out)
        made = run_stage(stage, whole, store, progress=progress).artifact
    except UserError:
        if not _is_begun(store):
            shutil.rmtree(unfinished(out), ignore_errors=True)
        raise
    _hand_over(made, out)
    shutil.rmtree(unfinished(out), ignore_errors=True)
    return made.summary


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
