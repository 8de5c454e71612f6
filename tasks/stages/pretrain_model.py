"""pretrain: packed rows in, weights out, through training processes that can die at any time.

    rows ──▶ trainer (its own process) ──▶ checkpoint 500 ──▶ 1000 ──▶ ... ──▶ model/
                      ▲                        │                               losses.jsonl
                      └──────── resume ────────┘

Each checkpoint is a unit of this stage. A restart goes on from the newest sound one; older ones
are let go on the way (`keep_checkpoints`). Kept in the end are the last checkpoint, from which
training can be continued, and the one before it, from which a damaged last one is made again.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.artifacts import LOSSES, MODEL, PackedText
from tasks.config import Config, ModelSection, PretrainConfig, Section
from tasks.engine.identity import digest_of
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.training.checkpoint_units import LOSSES_FILE, Checkpoints, step_number
from tasks.training.config_to_spec import initial_files, make_spec, training_identity
from tasks.training.costs import check_training, cost_of_training
from tasks.training.running import adopt, train_to
from tasks.training.start_files import Start, prepare_start

Context = StageContext["PretrainSlice"]


class PretrainSlice(Section):
    """What of the config concerns this stage."""

    model: ModelSection
    pretrain: PretrainConfig


def pretrain_slice(config: Config) -> PretrainSlice:
    """The encoder's shape and the recipe; rows and vocabulary come as inputs."""
    model = config.model
    if model.source_folder is None and model.max_row_tokens is None:
        model = model.model_copy(update={"max_row_tokens": config.pack.row_tokens})
    return PretrainSlice(model=model, pretrain=config.pretrain)


def initial_model(slice_: PretrainSlice) -> dict[str, StoredFile]:
    """The files of the folder that `model.from` names: they identify the result."""
    return initial_files(slice_.model)


def pretrain(context: Context) -> StageReport:
    """Train to the last step, from wherever an earlier run got to.

    Raises:
        StageError: the training process failed; its last checkpoint is kept.
    """
    start = prepare_start(context)
    checkpoints = Checkpoints(context, digest_of(training_identity(context, start)))
    if checkpoints.recall() is None:
        _train(context, start, checkpoints, None)
    for goal in (goals := _goals(context, checkpoints)):
        if checkpoints.find(goal) is None:
            later_are_missing = all(checkpoints.find(step) is None for step in goals if step > goal)
            _train(context, start, checkpoints, goals[-1] if later_are_missing else goal)
    last = checkpoints.find(goals[-1])
    assert last is not None
    checkpoints.let_go(step for step in checkpoints.steps() if step not in goals)
    files = {name: last.files[f"/{name}"] for name in ("model.safetensors", "config.json")}
    context.map(finish_model, [Unit(MODEL, {"files": files})], workers=1)
    losses = Unit(LOSSES, {"losses": last.files[f"/{LOSSES_FILE}"]})
    (report,) = context.map(finish_losses, [losses], workers=1)
    summary = {**_summary(context, last, goals[-1]), **report.summary}
    steps, loss = f"{summary['steps']:,}", f"{summary['final_loss']:.3f}"
    return StageReport(
        summary=summary,
        headline=f"{steps} steps, loss {loss}",
        figures={"steps": steps, "training loss at the end": loss},
    )


def _goals(context: Context, checkpoints: Checkpoints) -> list[int]:
    """The steps whose checkpoints stay for good: the last, and the one before it."""
    assert checkpoints.resolved is not None
    steps, every = checkpoints.resolved.steps, context.config.pretrain.checkpoint_steps
    return [step for step in ((steps - 1) // every * every, steps) if step > 0]


def _train(context: Context, start: Start, checkpoints: Checkpoints, goal: int | None) -> None:
    """Run the trainer up to a step, committing each checkpoint it writes on the way.

    Without a goal nothing of the training exists: the trainer finds out how long it is.
    """

    def spec(folder: Path, resume: Path | None) -> dict[str, Any]:
        return make_spec(
            context,
            start,
            checkpoints.training,
            checkpoints.resolved,
            folder=folder,
            resume=resume,
            stop_step=goal,
        )

    def take(event: Mapping[str, Any], before: UnitResult | None) -> UnitResult:
        return _take(context, checkpoints, event, before)

    train_to(context, checkpoints, goal, spec, take, stage="pretrain")


def _take(
    context: Context, checkpoints: Checkpoints, event: Mapping[str, Any], before: UnitResult | None
) -> UnitResult:
    """Commit the checkpoint an event tells of, then let go of what it makes superfluous."""
    newest = adopt(checkpoints, event, before)
    checkpoints.let_go_before(
        step_number(newest),
        context.config.pretrain.keep_checkpoints,
        keep=_goals(context, checkpoints),
    )
    return newest


def _summary(context: Context, last: UnitResult, steps: int) -> dict[str, Any]:
    """The figures of the whole training that people ask for first."""
    rows = PackedText.of(context).num_rows("train")
    recipe = context.config.pretrain
    state = json.loads(last.files["/checkpoint.json"].local().read_text(encoding="utf-8"))
    return {
        "steps": steps,
        "rows": rows,
        "epochs": round(steps * recipe.batch_rows / rows, 3),
        "parameters": state["num_parameters"],
        "precision": state["precision"],
    }


def finish_model(work: UnitWork, *, files: dict[str, StoredFile]) -> UnitReport:
    """The weights and config of the last checkpoint, as what this stage hands on."""
    for name, file in files.items():
        shutil.copyfile(file.local(), work.path(f"/{name}"))
    return UnitReport()


def finish_losses(work: UnitWork, *, losses: StoredFile) -> UnitReport:
    """The loss of every step, one JSON line each; at some of them the held-out loss, too."""
    path = work.path(".jsonl")
    shutil.copyfile(losses.local(), path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tail = lines[-max(1, len(lines) // 20) :]
    mean = sum(line["loss"] for line in tail) / len(tail)
    summary = {
        "final_loss": round(mean, 6),
        "masked_tokens": sum(n["masked_tokens"] for n in lines),
        "held_out_loss": lines[-1]["held_out_loss"],
    }
    return UnitReport(rows={".jsonl": len(lines)}, summary=summary)


PRETRAIN = Stage(
    name="pretrain",
    number=5,
    version=3,
    needs=("pack", "tokenizer"),
    config=pretrain_slice,
    run=pretrain,
    externals=initial_model,
    check=check_training,
    estimate=cost_of_training,
)
