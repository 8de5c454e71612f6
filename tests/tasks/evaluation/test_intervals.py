"""Confidence intervals, against published values and against brute force."""

import numpy as np
import pytest

from roberta_model.data.randomness import random_bits
from tasks.evaluation import intervals
from tasks.evaluation.intervals import (
    bootstrap_ratio,
    mean_with_interval,
    wilson,
    wilson_of_mean,
)


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


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_bound_lies_beyond_nought_or_one(share: float) -> None:
    """The formula's own bound of 11 right answers of 11 is, rounded, a hair more than all."""
    for asked in range(1, 100):
        found = wilson(share, asked)
        assert 0 <= found["low"] < found["high"] <= 1


def test_the_mean_of_one_group_has_its_own_interval() -> None:
    """As the share itself, but for the method's name; and an empty group does not count."""
    one = wilson_of_mean([(30, 40), (0, 0)])
    assert [one["low"], one["high"]] == pytest.approx(list(wilson(0.75, 40).values())[:2])


def test_each_group_counts_alike_in_the_mean() -> None:
    """However many its items; of one group it is the share, with the share's own interval."""
    assert mean_with_interval([(1, 2), (100, 100)]) == (0.75, wilson_of_mean([(1, 2), (100, 100)]))
    assert mean_with_interval([(30, 40)]) == (0.75, wilson(0.75, 40))


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


def test_no_mean_is_surer_than_all_its_items_together() -> None:
    """Shares of 1 and 0 have no variance of their own, yet their groups were drawn."""
    found = wilson_of_mean([(100, 100), (0, 100), (50, 100)])
    assert [found["low"], found["high"]] == list(wilson(0.5, 300).values())[:2]


def test_a_mean_of_groups_is_as_sure_as_so_many_items() -> None:
    """By hand: shares 0.8 and 0.5, of 10 and of 2, vary by (0.016 + 0.125) / 4."""
    items = 0.65 * 0.35 / ((0.16 / 10 + 0.25 / 2) / 4)
    found = wilson_of_mean([(8, 10), (1, 2)])
    expected = wilson(0.65, items)
    assert (found["low"], found["high"]) == pytest.approx((expected["low"], expected["high"]))
    assert found["method"] == "wilson of the mean's variance"


def test_bounds_stay_shares() -> None:
    """The formula's own rounding never leaves nought to one."""
    assert wilson(1.0, 7)["high"] == 1.0
    assert wilson(0.0, 7)["low"] == 0.0


def test_the_bootstrap_draws_a_thousand_times_as_many_rows_as_there_are() -> None:
    """The 2.5 % and 97.5 % points of the function of the ratio, row by row in a plain loop."""
    sums, counts = np.array([3.0, 1.0, 8.0, 2.0, 9.0]), np.array([1.0, 2.0, 4.0, 1.0, 3.0])
    each, ratios = np.arange(1000), []
    drawn = [random_bits(0, "p", each, column) % np.uint64(5) for column in range(5)]
    for rows in zip(*(column.tolist() for column in drawn), strict=True):
        ratios.append(sum(sums[row] for row in rows) / sum(counts[row] for row in rows))
    found = bootstrap_ratio(sums, counts, "p", np.square)
    assert found is not None
    low, high = np.percentile(np.square(ratios), [2.5, 97.5])
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["method"] == "bootstrap over rows"
    assert bootstrap_ratio(sums, counts, "q", np.square) != found, "another purpose, other draws"


def test_how_many_draws_are_held_at_a_time_changes_no_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sums, counts = np.arange(9.0), np.full(9, 2.0)
    expected = bootstrap_ratio(sums, counts, "p")
    monkeypatch.setattr(intervals, "_AT_ONCE", 9 * 64)
    assert bootstrap_ratio(sums, counts, "p") == expected


def test_draws_of_rows_without_an_item_have_no_ratio() -> None:
    """Of two rows, one of them empty, a quarter of the draws; without any item there is none."""
    assert bootstrap_ratio(np.array([6.0, 0.0]), np.array([2.0, 0.0]), "p") == {
        **{"low": 3.0, "high": 3.0, "method": "bootstrap over rows"}
    }
    assert bootstrap_ratio(np.zeros(2), np.zeros(2), "p") is None
    assert bootstrap_ratio(np.ones(2), np.ones(2), "p") is not None
