"""The training process: `python -m roberta_model.training.process SPEC.json`, or several of it.

It tells its story as JSON lines on stdout (start, step, checkpoint, done or stopped); logs and
errors go to stderr. SIGTERM, and with a supervisor the end of stdin, mean: finish the step,
write a checkpoint, end. A second thread makes sure that this never takes longer than 25 s.

Where a spec has minutes and no steps, they are measured first, here: the libraries that took
seconds to load need not be loaded again for the training itself.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from roberta_model.training.loop import StepResult, Training
from roberta_model.training.spec import TrainingSpec

GRACE_SECONDS = 25.0
_EVENT_SECONDS = 1.0
_PROBE_SECONDS = 4.0
_PROBE_STEPS = 1000
_WARM_STEPS = 2


class StopRequest:
    """Set by SIGTERM or by the supervisor's death; looked at once a step."""

    def __init__(self, supervised: bool) -> None:
        self._asked = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self.ask())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    def ask(self) -> None:
        """Ask for a stop; the process ends within the grace time even if it hangs."""
        if not self._asked.is_set():
            self._asked.set()
            timer = threading.Timer(GRACE_SECONDS, os._exit, args=(1,))
            timer.daemon = True
            timer.start()

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked.is_set()

    def _watch_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        self.ask()


class Storyteller:
    """Prints events of the main process; a reader that has gone is no reason to stop."""

    def __init__(self, is_main: bool) -> None:
        self.is_main = is_main

    def tell(self, event: str, **facts: Any) -> None:
        """One JSON line on stdout."""
        if self.is_main:
            with contextlib.suppress(OSError):
                print(json.dumps({"event": event, **facts}), flush=True)


def prepare(spec: TrainingSpec) -> Accelerator:
    """Threads, determinism and the processes that train together."""
    torch.set_num_threads(spec.threads)
    torch.set_flush_denormal(True)  # tiny gradients cost hundreds of cycles each and tell nothing
    # As use_deterministic_algorithms(True, warn_only=True), which would load torch's compiler.
    torch.set_deterministic_debug_mode("warn")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return Accelerator(cpu=spec.device == "cpu" or not torch.cuda.is_available())


def train(spec: TrainingSpec) -> None:
    """Train to the end of the spec, with checkpoints on the way."""
    stop = StopRequest(spec.supervised)
    accelerator = prepare(spec)
    story = Storyteller(accelerator.is_main_process)
    if spec.steps is None:
        steps = measure_steps(spec, accelerator, stop)
        if steps is None:
            story.tell("stopped", step=0)
            return
        spec = replace(spec, steps=steps, minutes=None)
    training = Training(spec, accelerator)
    story.tell(
        "start",
        step=training.step,
        steps=training.steps,
        precision=training.precision.name,
        is_emulated=training.precision.is_emulated,
    )
    last = min(spec.stop_step or training.steps, training.steps)
    clock = Clock(training.objective.step_tokens)
    lines: list[str] = []
    finished = training.step >= last
    for result in training.run(last, stop):
        lines.append(result.line())
        clock.count()
        finished = result.step >= last
        if clock.is_due() or finished:
            story.tell("step", step=result.step, loss=result.loss, **clock.lap())
        if finished or result.must_stop or result.step % spec.checkpoint_steps == 0:
            _save(training, accelerator, story, lines, clock, result)
    story.tell("done" if finished else "stopped", step=training.step)
    accelerator.end_training()


def _save(
    training: Training,
    accelerator: Accelerator,
    story: Storyteller,
    lines: list[str],
    clock: "Clock",
    result: StepResult,
) -> None:
    training.check_weights()
    facts: dict[str, Any] = clock.interval()
    if accelerator.is_main_process:
        folder = training.save("".join(lines))
        facts |= {"processes": accelerator.num_processes, "torch": torch.__version__}
        story.tell("checkpoint", step=result.step, path=str(folder), **facts)
    lines.clear()
    accelerator.wait_for_everyone()
    clock.restart()


class Clock:
    """Tokens a second since the last event, and since the last checkpoint."""

    def __init__(self, tokens_per_step: int) -> None:
        self.tokens_per_step = tokens_per_step
        self.restart()

    def restart(self) -> None:
        """Begin a new interval."""
        self.start = self.lap_start = time.monotonic()
        self.steps = self.lap_steps = 0

    def count(self) -> None:
        """One more step is done."""
        self.steps += 1
        self.lap_steps += 1

    def is_due(self) -> bool:
        """Whether it is time for an event."""
        return time.monotonic() - self.lap_start >= _EVENT_SECONDS

    def lap(self) -> dict[str, float]:
        """Speed since the last event; starts the next lap."""
        seconds = max(1e-9, time.monotonic() - self.lap_start)
        rate = self.lap_steps * self.tokens_per_step / seconds
        self.lap_start, self.lap_steps = time.monotonic(), 0
        return {"tokens_per_second": round(rate, 1)}

    def interval(self) -> dict[str, float]:
        """Time and speed since the last checkpoint."""
        seconds = max(1e-9, time.monotonic() - self.start)
        rate = self.steps * self.tokens_per_step / seconds
        return {"seconds": round(seconds, 3), "tokens_per_second": round(rate, 1)}


def measure_steps(
    spec: TrainingSpec, accelerator: Accelerator, must_stop: Callable[[], bool]
) -> int | None:
    """How many steps fit into the minutes of a spec, the same on every process; None: stop.

    The minutes count from `began`: loading libraries and measuring are part of them, though at
    least half of the time is trained.
    """
    assert spec.minutes is not None
    began = spec.began or time.time()
    start = time.monotonic()
    training = probe_of(spec, accelerator)
    build_seconds = time.monotonic() - start
    step_seconds = _seconds_per_step(training, must_stop)
    budget = spec.minutes * 60
    # The training itself is built once more.
    left = max(budget / 2, budget - (time.time() - began) - build_seconds)
    steps = [None if step_seconds is None else max(1, int(left / step_seconds))]
    if accelerator.num_processes > 1:
        # Each has measured its own time, and may have been asked to stop; the first one decides.
        broadcast_object_list(steps)
    return steps[0]


def probe_of(spec: TrainingSpec, accelerator: Accelerator) -> Training:
    """This training, to be measured and thrown away.

    It hides tokens at the mean rate of the whole training: the head's share of a step, and with
    it the step's time, grows with the rate.
    """
    masking = replace(spec.masking, rate=spec.masking.mean_rate, rate_end=None)
    probe = replace(spec, steps=_PROBE_STEPS, minutes=None, masking=masking)
    return Training(probe, accelerator)


def _seconds_per_step(training: Training, must_stop: Callable[[], bool]) -> float | None:
    """The mean over a few seconds, not the median: what now and then takes long counts too."""
    ends: list[float] = []

    def is_enough() -> bool:
        measured = 0.0 if len(ends) < _WARM_STEPS else time.monotonic() - ends[_WARM_STEPS - 1]
        return must_stop() or (len(ends) > _WARM_STEPS and measured > _PROBE_SECONDS)

    for _ in training.run(_PROBE_STEPS, is_enough):
        ends.append(time.monotonic())
    if must_stop() or len(ends) <= _WARM_STEPS:
        return None
    return (ends[-1] - ends[_WARM_STEPS - 1]) / (len(ends) - _WARM_STEPS)


def main(arguments: list[str]) -> int:
    """Run one spec; the exit code. Errors are one paragraph on stderr."""
    try:
        train(TrainingSpec.read(Path(arguments[0])))
    except (ValueError, OSError) as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
