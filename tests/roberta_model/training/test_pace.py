"""A training is measured before it begins: at which rate of masks, what a minute is made of."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from small_models import train_in_process

from roberta_model.recipe import MaskingRecipe
from roberta_model.training import pace
from roberta_model.training.loop import StepResult
from roberta_model.training.spec import TrainingSpec


def never() -> bool:
    return False


def minutes_spec(packed: Any, folder: Path, minutes: float = 1.0, **changes: Any) -> TrainingSpec:
    spec = packed.spec(folder, steps=None, minutes=minutes, **changes)
    assert isinstance(spec, TrainingSpec)
    return spec


def masked_a_step(results: list[StepResult]) -> float:
    return sum(result.masked_tokens for result in results) / len(results)


@pytest.mark.parametrize(("rate", "rate_end"), [(0.3, 0.1), (0.1, 0.4), (0.2, None)])
def test_the_probe_hides_what_a_step_of_the_training_hides_on_average(
    rate: float, rate_end: float | None, packed: Any, tmp_path: Path
) -> None:
    """Measured at the first rate, a training whose rate falls would end too early."""
    spec = minutes_spec(packed, tmp_path, masking=MaskingRecipe(rate, rate_end))
    probe = pace.probe_of(spec, Accelerator(cpu=True))
    measured = masked_a_step(list(probe.run(20, never)))
    _, results = train_in_process(replace(spec, steps=20, minutes=None))
    assert measured == pytest.approx(masked_a_step(results), rel=0.03)
    if rate_end is not None:
        first = masked_a_step(results[:2])
        assert abs(measured - first) > 0.2 * first, "a rate that moves little shows little"


def test_the_time_that_loading_took_is_part_of_the_minutes(
    packed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But at least half of them is trained."""
    monkeypatch.setattr(pace, "_seconds_per_step", lambda *_: 0.1)
    alone = Accelerator(cpu=True)
    for late, expected in ((0.0, 600), (20.0, 400), (50.0, 300), (500.0, 300)):
        spec = minutes_spec(packed, tmp_path, began=time.time() - late)
        steps = pace.measure_steps(spec, alone, never)
        assert steps == pytest.approx(expected, rel=0.1)
    tiny = minutes_spec(packed, tmp_path, minutes=1e-6)
    assert pace.measure_steps(tiny, alone, never) == 1


def test_the_speed_is_the_mean_of_all_steps_but_the_first(
    packed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step now and then that takes long takes long in the training too; a median hides it."""
    seconds = [5.0, 5.0, *[0.5, 0.5, 0.5, 4.5] * 10]
    clock = iter([sum(seconds[: n + 1]) for n in range(len(seconds))])
    now = [0.0]

    class Probe:
        def run(self, last: int, must_stop: Any) -> Any:
            for tick in clock:
                now[0] = tick
                yield tick
                if must_stop():
                    return

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pace, "_PROBE_SECONDS", 11.9)
    probe: Any = Probe()
    assert pace._seconds_per_step(probe, never) == pytest.approx(1.5)


def test_a_stop_while_measuring_ends_the_process(packed: Any, tmp_path: Path) -> None:
    """Nothing of the training exists yet, so there is nothing to write."""
    spec = minutes_spec(packed, tmp_path)
    assert pace.measure_steps(spec, Accelerator(cpu=True), lambda: True) is None
