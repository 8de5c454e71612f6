"""pretrain: packed rows in, weights out, through training processes that can die at any time.

    rows ──▶ trainer (accelerate launch) ──▶ checkpoint 500 ──▶ 1000 ──▶ ... ──▶ model/
                      ▲                          │                               losses.jsonl
                      └──────── resume ──────────┘

Each checkpoint is a unit of this stage. A restart goes on from the newest sound one. Kept in
the end are the last checkpoint, from which training can be continued, and the one before it,
from which a damaged last one is made again.
"""

import json
import logging
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from tasks.config import Config, ModelSection, PretrainConfig, Section
from tasks.engine.identity import digest_of
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.training.checkpoints import LOSSES, Checkpoints, continues, step_of
from tasks.training.launch import Trainer, launch_command, run_probe, threads_per_process
from tasks.training.spec import initial_files, make_spec, training_identity, write_spec
from tasks.training.start import Start, prepare_start

log = logging.getLogger(__name__)

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
    steps = _decide_steps(context, start)
    training = digest_of(training_identity(context, start, steps))
    checkpoints = Checkpoints(context, training)
    every = context.config.pretrain.checkpoint_steps
    last_but_one = (steps - 1) // every * every
    goals = [step for step in (last_but_one, steps) if step > 0]
    for goal in goals:
        if checkpoints.find(goal) is None:
            later_are_missing = all(checkpoints.find(step) is None for step in goals if step > goal)
            _train(context, start, checkpoints, steps, goals[-1] if later_are_missing else goal)
    last = checkpoints.find(steps)
    assert last is not None
    _let_go(context, checkpoints, keep=goals)
    files = {name: last.files[f"/{name}"] for name in ("model.safetensors", "config.json")}
    context.map(finish_model, [Unit("model", {"files": files})], workers=1)
    losses = Unit("losses", {"losses": last.files[f"/{LOSSES}"]})
    (report,) = context.map(finish_losses, [losses], workers=1)
    return StageReport(summary={**_summary(context, last, steps), **report.summary})


def _decide_steps(context: Context, start: Start) -> int:
    """The number of optimiser steps; `minutes` is measured once and then stays."""
    rows = sum(file.rows or 0 for file in context.input("pack").files("train/"))
    steps = context.config.pretrain.num_steps(rows)
    if steps is not None:
        return steps
    unit = Unit("steps", {"training": digest_of(training_identity(context, start, None))})
    done = context.committed(measure_steps, unit)
    if done is None:
        minutes = context.config.pretrain.minutes
        assert minutes is not None
        path = context.scratch() / "spec.json"
        write_spec(path, make_spec(context, start, steps=1, folder=path.parent, resume=None))
        launch = context.engine.launch
        command = launch_command(launch, [str(path), "--probe"])
        answer = run_probe(command, threads_per_process(launch))
        count = max(1, int(minutes * 60 / answer["seconds_per_step"]))
        work = UnitWork(unit.label, context.scratch())
        work.path(".json").write_text(json.dumps({"steps": count}) + "\n")
        report = UnitReport(summary={"steps": count})
        done = context.commit(measure_steps, unit, work, report, outputs=False)
    return int(done.summary["steps"])


def measure_steps(work: UnitWork, *, training: str) -> UnitReport:
    """Never called: the speed is measured by the training process itself."""
    raise AssertionError("the speed probe runs in the training process")


def _train(context: Context, start: Start, checkpoints: Checkpoints, steps: int, goal: int) -> None:
    """Run the trainer up to a step, committing each checkpoint it writes on the way."""
    lasting = context.lasting_scratch()
    newest = _adopt_whole(checkpoints, lasting, goal)
    for leftover in lasting.iterdir():
        shutil.rmtree(leftover, ignore_errors=True)
    done = 0 if newest is None else step_number(newest)
    if done >= goal:
        return
    folder = lasting / f"{int(time.time())}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    resume = _resume_folder(context, newest)
    spec = make_spec(context, start, steps=steps, folder=folder, resume=resume, stop_step=goal)
    write_spec(folder / "spec.json", spec)
    launch = context.engine.launch
    command = launch_command(launch, [str(folder / "spec.json")])
    with (
        context.progress.bar("pretrain", steps, "steps", done) as bar,
        Trainer(command, threads_per_process(launch)) as trainer,
    ):
        try:
            for event in trainer.events():
                if event["event"] == "start":
                    (folder / "started").touch()
                elif event["event"] == "step":
                    note = f"loss {event['loss']:.3f}  {event['tokens_per_second']:,.0f} tokens/s"
                    bar.show(event["step"], note)
                newest = _take(checkpoints, event, newest)
        except BaseException:
            # `newest` may be out of date: the interruption can come between commit and return.
            for _ in trainer.stop():
                pass
            _adopt_whole(checkpoints, lasting, goal)
            raise
        trainer.check_end()
    shutil.rmtree(folder, ignore_errors=True)


def _take(
    checkpoints: Checkpoints, event: dict[str, Any], newest: UnitResult | None
) -> UnitResult | None:
    """Commit the checkpoint an event tells of; the newest one after it."""
    if event["event"] != "checkpoint":
        return newest
    names = ("seconds", "tokens_per_second")
    measured: dict[str, Any] = {name: event[name] for name in names if name in event}
    return checkpoints.adopt(Path(event["path"]), newest, measured)


def step_number(result: UnitResult) -> int:
    """The step of a checkpoint unit."""
    return int(result.summary["step"])


def _adopt_whole(checkpoints: Checkpoints, lasting: Path, goal: int) -> UnitResult | None:
    """The newest checkpoint there is, counting whole ones that were not committed yet."""
    newest = checkpoints.newest(step for step in checkpoints.steps() if step <= goal)
    for folder in sorted(lasting.glob("*/[0-9]*")):
        after = 0 if newest is None else step_number(newest)
        if after < step_of(folder) <= goal and continues(folder, after):
            newest = checkpoints.adopt(folder, newest, {})
    return newest


def _resume_folder(context: Context, newest: UnitResult | None) -> Path | None:
    """A checkpoint unit as the folder that the trainer reads."""
    if newest is None:
        return None
    folder = context.scratch()
    for suffix, file in newest.files.items():
        (folder / suffix.removeprefix("/")).symlink_to(file.local().resolve())
    return folder


def _let_go(context: Context, checkpoints: Checkpoints, keep: list[int]) -> None:
    """Forget the checkpoints that nothing will be made from again."""
    for step in checkpoints.steps():
        if step not in keep and (found := checkpoints.find(step)) is not None:
            context.discard(found)


def _summary(context: Context, last: UnitResult, steps: int) -> dict[str, Any]:
    """The figures of the whole training that people ask for first."""
    rows = sum(file.rows or 0 for file in context.input("pack").files("train/"))
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
)
