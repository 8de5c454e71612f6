"""Confidence intervals, against published values and against brute force."""

import numpy as np
import pytest

from tasks.evaluation.intervals import bootstrap_ratio, wilson, wilson_of_mean


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [
        # Newcombe (1998), table I, the score method: 81/263, 15/148, 0/20, 1/29.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_bounds(right: int, asked: int, low: float, high: float) -> None:
    """Four worked examples of the literature."""
    found = wilson(right / asked, asked)
    assert found["low"] == pytest.approx(low, abs=5e-5)
    assert found["high"] == pytest.approx(high, abs=5e-5)
    assert found["method"] == "wilson"


def test_no_items_say_nothing() -> None:
    """From nought to one; and no division by nought."""
    assert wilson(0.0, 0) == {"low": 0.0, "high": 1.0, "method": "wilson"}
    assert wilson_of_mean([(0, 0)])["high"] == 1.0


def test_the_mean_of_one_group_has_its_own_interval() -> None:
    """As the share itself, but for the method's name; and an empty group does not count."""
    one = wilson_of_mean([(30, 40), (0, 0)])
    assert [one["low"], one["high"]] == pytest.approx(list(wilson(0.75, 40).values())[:2])


def test_the_interval_of_a_mean_covers_as_often_as_it_says() -> None:
    """Groups of other sizes and shares, drawn 2,000 times: the true mean is in 93 % to 97 %."""
    shares, sizes = np.array([0.95, 0.4, 0.6, 0.99]), np.array([20, 50, 200, 30])
    drawn = np.random.default_rng(0).binomial(sizes, shares, size=(2000, 4))
    inside = 0
    for right in drawn.tolist():
        found = wilson_of_mean(list(zip(right, sizes.tolist(), strict=True)))
        inside += found["low"] <= shares.mean() <= found["high"]
    assert 0.93 < inside / 2000 < 0.97


@pytest.mark.parametrize("counts", [[(0, 10)] * 5, [(10, 10)] * 5, [(10, 10), (0, 10)]])
def test_groups_without_spread_are_no_certainty(counts: list[tuple[int, int]]) -> None:
    """Nought of fifty right is not nought for sure."""
    found = wilson_of_mean(counts)
    assert found["high"] - found["low"] > 0.05


def test_the_bootstrap_is_that_of_its_definition_and_the_same_every_time() -> None:
    """Near the spread of the mean of independent rows; rows are drawn, not tokens."""
    rng = np.random.default_rng(1)
    sums, counts = rng.normal(3.0, 2.0, 400) * 10, np.full(400, 10.0)
    found = bootstrap_ratio(sums, counts, "test")
    assert found is not None
    mean, spread = sums.mean() / 10, sums.std() / 10 / np.sqrt(400)
    assert found["low"] == pytest.approx(mean - 1.96 * spread, abs=0.15 * spread)
    assert found["high"] == pytest.approx(mean + 1.96 * spread, abs=0.15 * spread)
    assert bootstrap_ratio(sums, counts, "test") == found
    assert bootstrap_ratio(sums[:1], counts[:1], "test") is None
