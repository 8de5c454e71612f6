"""How fast a training is: told while it runs, and measured before it to turn minutes into steps."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from roberta_model.training.loop import AnySpec, Training
from roberta_model.training.spec import TrainingSpec

_EVENT_SECONDS = 1.0
_PROBE_SECONDS = 4.0
_PROBE_STEPS = 1000
_WARM_STEPS = 2


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
    spec: AnySpec, accelerator: Accelerator, must_stop: Callable[[], bool]
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
    steps = 0 if step_seconds is None else max(1, int(left / step_seconds))
    if accelerator.num_processes > 1:
        # Each has measured its own time, and may have been asked to stop; the first one decides.
        # As a number: objects travel as pickles, and whoever got in between could run code.
        steps = int(broadcast(torch.tensor([steps], device=accelerator.device)).item())
    return steps or None


def probe_of(spec: AnySpec, accelerator: Accelerator) -> Training:
    """This training, to be measured and thrown away.

    It hides tokens at the mean rate of the whole training: the head's share of a step, and with
    it the step's time, grows with the rate.
    """
    probe = replace(spec, steps=_PROBE_STEPS, minutes=None)
    if isinstance(probe, TrainingSpec):
        masking = replace(probe.masking, rate=probe.masking.mean_rate, rate_end=None)
        # The held-out loss is measured so seldom that a few seconds tell nothing of it.
        probe = replace(probe, masking=masking, held_out=[])
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
