"""The training process: `accelerate launch -m roberta_model.training.process SPEC.json`.

It tells its story as JSON lines on stdout (start, step, checkpoint, done or stopped); logs and
errors go to stderr. SIGTERM, and with a supervisor the end of stdin, mean: finish the step,
write a checkpoint, end. A second thread makes sure that this never takes longer than 25 s.
"""

import contextlib
import json
import os
import signal
import statistics
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

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
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return Accelerator(cpu=spec.device == "cpu" or not torch.cuda.is_available())


def train(spec: TrainingSpec) -> None:
    """Train to the end of the spec, with checkpoints on the way."""
    stop = StopRequest(spec.supervised)
    accelerator = prepare(spec)
    story = Storyteller(accelerator.is_main_process)
    training = Training(spec, accelerator)
    story.tell("start", step=training.step, steps=spec.steps, precision=training.precision)
    last = min(spec.stop_step or spec.steps, spec.steps)
    row_tokens = training.batches.rows.row_tokens
    clock = Clock(spec.batch_rows * row_tokens)
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
    facts = clock.interval()
    if accelerator.is_main_process:
        folder = training.save("".join(lines))
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


def measure_step_seconds(spec: TrainingSpec) -> float:
    """Seconds of one step of this training on this machine, the median over a few seconds.

    Measured at the mean masking rate: the head's share of a step grows with it.
    """
    accelerator = prepare(spec)
    mean = sum((spec.masking.rate, spec.masking.rate_end or spec.masking.rate)) / 2
    spec = replace(spec, masking=replace(spec.masking, rate=mean, rate_end=None))
    training = Training(spec, accelerator)
    times = [time.monotonic()]

    def is_enough() -> bool:
        return len(times) > _WARM_STEPS and time.monotonic() - times[_WARM_STEPS] > _PROBE_SECONDS

    for _ in training.run(_PROBE_STEPS, is_enough):
        times.append(time.monotonic())
    seconds = [later - earlier for earlier, later in pairwise(times)]
    return statistics.median(seconds[_WARM_STEPS:] or seconds)


def main(arguments: list[str]) -> int:
    """Run one spec; the exit code. Errors are one paragraph on stderr."""
    try:
        spec = TrainingSpec.read(Path(arguments[0]))
        if "--probe" in arguments[1:]:
            seconds = measure_step_seconds(spec)
            Storyteller(int(os.environ.get("RANK", "0")) == 0).tell(
                "probe", seconds_per_step=seconds
            )
        else:
            train(spec)
    except (ValueError, OSError) as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
