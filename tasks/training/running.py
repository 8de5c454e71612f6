"""A training that is run and followed: its processes, what they tell, and what becomes of it.

    spec ──▶ trainer ──▶ start, steps, checkpoints ──▶ progress, units

Whoever has a training says how its spec is made and what becomes of a checkpoint. Whatever ends
it, a whole checkpoint that the trainer has written is taken over.
"""

import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tasks.config import LaunchConfig
from tasks.engine.outside import check_unchanged
from tasks.engine.stage import StageContext
from tasks.engine.units import UnitResult
from tasks.errors import StageError
from tasks.training.checkpoint_units import LOSSES_FILE, MEASURED, Checkpoints, step_number
from tasks.training.launch import Trainer, launch_arguments, threads_per_process
from tasks.training.resolved import Resolved

TRAINING_MODULE = "roberta_model.training.process"
HELD_OUT_LOSS = "held-out loss"
_FIGURES = {"loss": "loss", "held_out_loss": HELD_OUT_LOSS, "tokens_per_second": "tokens/s"}
_MOST_BEFORE = 1000  # steps that are told again of a training that goes on

MakeSpec = Callable[[Path, Path | None], Mapping[str, Any]]
"""From the trainer's folder and the checkpoint to resume from to what it is told."""

Take = Callable[[Mapping[str, Any], UnitResult | None], UnitResult]
"""What becomes of a checkpoint: from the trainer's event and the checkpoint before."""

log = logging.getLogger(__name__)


def train_to(
    context: StageContext[Any],
    checkpoints: Checkpoints,
    goal: int | None,
    make_spec: MakeSpec,
    take: Take,
    *,
    stage: str,
    work: str = "",
    is_enough: Callable[[], bool] = lambda: False,
    launch: LaunchConfig | None = None,
) -> None:
    """Run the trainer up to a step, from the newest checkpoint there is.

    Args:
        context: The stage at work.
        checkpoints: The training's.
        goal: The step; None where nothing of the training exists and the trainer finds out.
        make_spec: What the trainer is told.
        take: What becomes of each checkpoint.
        stage: Whose training it is.
        work: Which of its trainings, as the log and the progress have it.
        is_enough: Asked after each checkpoint: whether to end before the goal.
        launch: How its processes are started; None is as the engine says.

    Raises:
        StageError: the training process failed; its last checkpoint is kept.
    """
    lasting = context.lasting_scratch()
    newest = None if goal is None else checkpoints.adopt_left(goal)
    for leftover in lasting.iterdir():
        shutil.rmtree(leftover, ignore_errors=True)
    if newest is not None and step_number(newest) == goal:
        return
    folder = lasting / f"{int(time.time())}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    spec = make_spec(folder, _resume_folder(context, newest))
    path = folder / "spec.json"
    path.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    launch = launch or context.engine.launch
    arguments = launch_arguments(launch, TRAINING_MODULE, [str(path)])
    with Trainer(arguments, threads_per_process(launch)) as trainer:
        try:
            is_whole = _follow(
                context, trainer, checkpoints, folder, newest, take, stage, work, is_enough
            )
        except BaseException:
            # The interruption can come between a commit and its return.
            for _ in trainer.stop():
                pass
            if (known := checkpoints.recall()) is not None:
                checkpoints.adopt_left(goal or known.steps)
            raise
        if is_whole:
            trainer.check_end()
    shutil.rmtree(folder, ignore_errors=True)


def adopt(
    checkpoints: Checkpoints, event: Mapping[str, Any], before: UnitResult | None
) -> UnitResult:
    """Commit the checkpoint that an event tells of, with what was measured on the way to it."""
    measured = {name: event[name] for name in MEASURED if name in event}
    return checkpoints.adopt(Path(event["path"]), before, measured)


def _follow(
    context: StageContext[Any],
    trainer: Trainer,
    checkpoints: Checkpoints,
    folder: Path,
    newest: UnitResult | None,
    take: Take,
    stage: str,
    work: str,
    is_enough: Callable[[], bool],
) -> bool:
    """Take down what the trainer tells, until it ends; whether it went to its own end.

    Raises:
        StageError: somebody else has told it to stop, or it hangs.
    """
    with ExitStack() as shown:
        counter, figures = None, dict[str, float]()
        for event in trainer.events(context.engine.launch.stall_minutes):
            if event["event"] == "start":
                check_unchanged(context.externals)  # the model to start from has been read
                (folder / "started").touch()
                checkpoints.resolve(Resolved.of(event))
                if event["is_emulated"]:
                    log.warning("%s: %s", stage, _EMULATED)
                told = (f"{work}: " if work else "") + _told_start(context, event)
                log.info("%-10s %-8s %11s  %s", stage, "training", "", told)
                counter = shown.enter_context(
                    context.progress.counting(
                        stage,
                        event["steps"],
                        "steps",
                        work=work,
                        done=event["step"],
                        before=_told_before(newest),
                    )
                )
            elif event["event"] in ("warm", "step", "held_out") and counter is not None:
                figures |= {_FIGURES[name]: event[name] for name in _FIGURES if name in event}
                show = counter.warm if event["event"] == "warm" else counter.show
                show(event["step"], dict(figures), event.get("at"))
            elif event["event"] == "checkpoint":
                newest = take(event, newest)
                known = checkpoints.resolved
                is_last = known is not None and step_number(newest) == known.steps
                if not is_last and is_enough():
                    for _ in trainer.stop():
                        pass
                    return False
            elif event["event"] == "stopped":
                raise StageError(
                    f"the training process was told to stop, after step {event['step']}. Its last "
                    "checkpoint is kept; the same command goes on from it."
                )
    return True


_EMULATED = (
    "this training computes in bf16, as it began or as its precision says, and this machine only "
    "emulates bf16: expect it to be many times slower than where it is native"
)


def _told_start(context: StageContext[Any], event: Mapping[str, Any]) -> str:
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


def _told_before(newest: UnitResult | None) -> list[tuple[float, dict[str, float]]]:
    """Some steps up to a checkpoint with their figures: those that were held out, and few more."""
    if newest is None:
        return []
    told, stride = [], -(-step_number(newest) // _MOST_BEFORE)
    with newest.files[f"/{LOSSES_FILE}"].local().open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            figures = {_FIGURES[n]: line[n] for n in _FIGURES if line.get(n) is not None}
            if HELD_OUT_LOSS in figures or line["step"] % stride == 0:
                told.append((line["step"], figures))
    return told


def _resume_folder(context: StageContext[Any], newest: UnitResult | None) -> Path | None:
    """A checkpoint unit as the folder that the trainer reads."""
    if newest is None:
        return None
    folder = context.scratch()
    for suffix, file in newest.files.items():
        (folder / suffix.removeprefix("/")).symlink_to(file.local().resolve())
    return folder
