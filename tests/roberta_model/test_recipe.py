"""What one may choose of a training: the learning rate over its steps."""

from typing import Any

import pytest

from roberta_model.recipe import Schedule


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("linear", 0.1), {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 55: 0.5, 99: 1 / 90}),
        (Schedule("linear", 0.0), {0: 1.0, 1: 1.0, 50: 50 / 99, 99: 1 / 99}),
        (Schedule("constant", 0.1), {0: 0.1, 9: 1.0, 50: 1.0, 99: 1.0}),
        (Schedule("wsd", 0.1, 0.2), {0: 0.1, 9: 1.0, 79: 1.0, 80: 1.0, 90: 0.5, 99: 0.05}),
    ],
)
def test_the_rate_warms_up_and_decays(schedule: Schedule, expected: dict[int, float]) -> None:
    """The end points a reader expects: 1/10 at once, the peak after warm-up, 0 behind the end."""
    for step, factor in expected.items():
        assert schedule.factor(step, 100) == pytest.approx(factor), step
    factors = [schedule.factor(step, 100) for step in range(100)]
    assert max(factors) == 1.0
    assert min(factors) > 0
    if schedule.type != "constant":
        assert schedule.factor(100, 100) == 0


@pytest.mark.parametrize("kind", ["linear", "constant", "wsd"])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 7])
def test_a_very_short_training_has_a_rate_too(kind: Any, total_steps: int) -> None:
    """A trial run of a step or two neither divides by zero nor trains at rate 0."""
    factors = [Schedule(kind).factor(step, total_steps) for step in range(total_steps)]
    assert all(0 < factor <= 1 for factor in factors)
