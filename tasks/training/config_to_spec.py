"""From config and inputs to what a training process is told.

The identity of a training leaves out where it runs and how it is cut into pieces; its spec has
both.
"""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from roberta_model.training.spec import TrainingSpec
from tasks.artifacts import PackedText, TrainedTokenizer
from tasks.config import ModelSection, PretrainConfig
from tasks.engine.outside import outside_file
from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.inference.model_folder import check_folder
from tasks.training.launch import threads_per_process
from tasks.training.resolved import Resolved
from tasks.training.shape import model_config
from tasks.training.start_files import Start


def initial_files(model: ModelSection) -> dict[str, StoredFile]:
    """The config and weights of the folder that `model.from` names, by file name.

    Raises:
        UserError: it is no model folder.
    """
    if model.source_folder is None:
        return {}
    folder = Path(os.path.expanduser(model.source_folder))
    try:
        check_folder(folder)
    except UserError as problem:
        raise UserError(f"model.from: {problem}") from problem
    return {
        path.name: outside_file(path)
        for path in sorted(folder.iterdir())
        if path.name == "config.json" or ".safetensors" in path.name
    }


def training_identity(context: StageContext[Any], start: Start) -> dict[str, Any]:
    """Everything that decides weights and losses after each step, as the config has it.

    What `minutes` and `precision: auto` become is found out later and recorded beside this.
    """
    spec = TrainingSpec.from_json(
        {**_recipe(context), "rows": [], "tables": "", "folder": "", "start": {"kind": start.kind}}
    )
    return {
        "recipe": spec.identity(),
        "rows": PackedText.of(context).shards("train"),
        # They decide no weight, and what `losses.jsonl` says of them.
        "held_out": PackedText.of(context).shards("held_out"),
        "tables": TrainedTokenizer.of(context).masking_tables,
        "initial": dict(context.externals),
        "start": start.files,
    }


def _recipe(context: StageContext[Any]) -> dict[str, Any]:
    """The fields of the training's spec that the config alone decides."""
    recipe: PretrainConfig = context.config.pretrain
    num_rows = PackedText.of(context).num_rows("train")
    return {
        "model": model_values(context),
        "steps": recipe.num_steps(num_rows),
        "minutes": recipe.minutes,
        "batch_rows": recipe.batch_rows,
        "micro_batch_rows": recipe.micro_batch_rows,
        "seed": recipe.seed,
        "masking": asdict(recipe.masking.recipe()),
        "optimizer": asdict(recipe.optimizer.recipe()),
        "schedule": asdict(recipe.schedule.recipe()),
        "candidates": recipe.loss.candidates,
        "precision": recipe.precision,
        "dropout": recipe.dropout,
    }


def make_spec(
    context: StageContext[Any],
    start: Start,
    training: str,
    resolved: Resolved | None,
    *,
    folder: Path,
    resume: Path | None,
    stop_step: int | None,
) -> dict[str, Any]:
    """What the training process is told, as `TrainingSpec` of the model package reads it."""
    launch, packed = context.engine.launch, PackedText.of(context)
    known = {} if resolved is None else {**resolved._asdict(), "minutes": None}
    return {
        **_recipe(context),
        **known,
        "rows": [str(file.local()) for file in packed.shards("train")],
        "held_out": [str(file.local()) for file in packed.shards("held_out")],
        "tables": str(TrainedTokenizer.of(context).masking_tables.local()),
        "folder": str(folder),
        "start": start.values(),
        "initial": _initial_folder(context, folder),
        "stop_step": stop_step,
        "checkpoint_steps": context.config.pretrain.checkpoint_steps,
        "resume": None if resume is None else str(resume),
        "threads": threads_per_process(launch),
        "device": launch.device,
        "supervised": True,
        "training": training,
        "began": time.time(),
    }


def model_values(context: StageContext[Any]) -> dict[str, Any] | None:
    """The encoder's shape as the trainer reads it; None with `model.from`."""
    config = model_config(context)
    return None if config is None else config.to_json()


def _initial_folder(context: StageContext[Any], folder: Path) -> str | None:
    """The model to start from, as one folder of links."""
    if not context.externals:
        return None
    linked = folder / "initial"
    linked.mkdir(exist_ok=True)
    for name, file in context.externals.items():
        (linked / name).symlink_to(file.local().resolve())
    return str(linked)
