"""pretrain: packed rows in, weights out, through training processes that can die at any time.

    rows ──▶ trainer (its own process) ──▶ checkpoint 500 ──▶ 1000 ──▶ ... ──▶ model/
                      ▲                        │                               losses.jsonl
                      └──────── resume ────────┘

Each checkpoint is a unit of this stage. A restart goes on from the newest sound one; older ones
are let go on the way (`keep_checkpoints`). Kept in the end are the last checkpoint, from which
training can be continued, and the one before it, from which a damaged last one is made again.
"""

import json
import logging
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tasks.artifacts import LOSSES, MODEL, PackedText
from tasks.config import Config, ModelSection, PretrainConfig, Section
from tasks.engine.identity import digest_of
from tasks.engine.outside import check_unchanged
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import StageError
from tasks.training.checkpoint_units import LOSSES_FILE, Checkpoints, step_number
from tasks.training.config_to_spec import initial_files, make_spec, training_identity, write_spec
from tasks.training.costs import check_training, cost_of_training
from tasks.training.launch import Trainer, launch_arguments, threads_per_process
from tasks.training.resolved import Resolved
from tasks.training.start_files import Start, prepare_start

log = logging.getLogger(__name__)

Context = StageContext["PretrainSlice"]

TRAINING_MODULE = "roberta_model.training.process"
MEASURED = ("seconds", "tokens_per_second", "processes", "torch", "threads", "device", "is_on_gpu")
EMULATED = (
    "pretrain: this training computes in bf16, as it began or as pretrain.precision says, and this "
    "machine only emulates bf16: expect it to be many times slower than where it is native"
)


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
    lasting = context.lasting_scratch()
    newest = None if goal is None else checkpoints.adopt_left(goal)
    for leftover in lasting.iterdir():
        shutil.rmtree(leftover, ignore_errors=True)
    if newest is not None and step_number(newest) == goal:
        return
    folder = lasting / f"{int(time.time())}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    spec = make_spec(
        context,
        start,
        checkpoints.training,
        checkpoints.resolved,
        folder=folder,
        resume=_resume_folder(context, newest),
        stop_step=goal,
    )
    write_spec(folder / "spec.json", spec)
    launch = context.engine.launch
    arguments = launch_arguments(launch, TRAINING_MODULE, [str(folder / "spec.json")])
    with Trainer(arguments, threads_per_process(launch)) as trainer:
        try:
            _follow(context, trainer, checkpoints, folder, newest)
        except BaseException:
            # The interruption can come between a commit and its return.
            for _ in trainer.stop():
                pass
            if (known := checkpoints.recall()) is not None:
                checkpoints.adopt_left(goal or known.steps)
            raise
        trainer.check_end()
    shutil.rmtree(folder, ignore_errors=True)


def _follow(
    context: Context,
    trainer: Trainer,
    checkpoints: Checkpoints,
    folder: Path,
    newest: UnitResult | None,
) -> None:
    """Take down what the trainer tells, until it ends.

    Raises:
        StageError: somebody else has told it to stop, or it hangs.
    """
    with ExitStack() as shown:
        counter = None
        for event in trainer.events(context.engine.launch.stall_minutes):
            if event["event"] == "start":
                check_unchanged(context.externals)  # the model to start from has been read
                (folder / "started").touch()
                checkpoints.resolve(Resolved.of(event))
                if event["is_emulated"]:
                    log.warning("%s", EMULATED)
                told = _told_start(context, event)
                log.info("%-10s %-8s %11s  %s", "pretrain", "training", "", told)
                counter = shown.enter_context(
                    context.progress.counting(
                        "pretrain", event["steps"], "steps", done=event["step"]
                    )
                )
            elif event["event"] == "step" and counter is not None:
                figures = {"loss": event["loss"], "tokens/s": event["tokens_per_second"]}
                counter.show(event["step"], figures)
            elif event["event"] == "checkpoint":
                newest = _take(context, checkpoints, event, newest)
            elif event["event"] == "stopped":
                raise StageError(
                    f"the training process was told to stop, after step {event['step']}. Its last "
                    "checkpoint is kept; the same command goes on from it."
                )


def _told_start(context: Context, event: Mapping[str, Any]) -> str:
    """What is trained on, and where it begins."""
    launch = context.engine.launch
    place = f"on the {'CPU' if event['device'] == 'cpu' else 'GPU'} in {event['precision']}"
    if event["device"] == "cpu" and launch.device == "auto":
        place += " (torch finds no GPU)"
    if event["step"]:
        what = f"going on from step {event['step']:,} of {event['steps']:,}"
    else:
        what = f"{event['steps']:,} steps"
    return f"{what}, {place}"


def _take(
    context: Context, checkpoints: Checkpoints, event: dict[str, Any], before: UnitResult | None
) -> UnitResult:
    """Commit the checkpoint an event tells of, then let go of what it makes superfluous."""
    measured = {name: event[name] for name in MEASURED if name in event}
    newest = checkpoints.adopt(Path(event["path"]), before, measured)
    checkpoints.let_go_before(
        step_number(newest),
        context.config.pretrain.keep_checkpoints,
        keep=_goals(context, checkpoints),
    )
    return newest


def _resume_folder(context: Context, newest: UnitResult | None) -> Path | None:
    """A checkpoint unit as the folder that the trainer reads."""
    if newest is None:
        return None
    folder = context.scratch()
    for suffix, file in newest.files.items():
        (folder / suffix.removeprefix("/")).symlink_to(file.local().resolve())
    return folder


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
    """The loss of every step, one JSON line each."""
    path = work.path(".jsonl")
    shutil.copyfile(losses.local(), path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tail = lines[-max(1, len(lines) // 20) :]
    mean = sum(line["loss"] for line in tail) / len(tail)
    summary = {
        "final_loss": round(mean, 6),
        "masked_tokens": sum(n["masked_tokens"] for n in lines),
    }
    return UnitReport(rows={".jsonl": len(lines)}, summary=summary)


PRETRAIN = Stage(
    name="pretrain",
    number=5,
    version=2,
    needs=("pack", "tokenizer"),
    config=pretrain_slice,
    run=pretrain,
    externals=initial_model,
    check=check_training,
    estimate=cost_of_training,
)
