"""How sure a score is: 95 % confidence intervals, the same on every machine.

    share of right answers   Wilson (1927): sound for few items, and at 0 % and 100 %
    mean of such shares      Wilson's again, for as many items as would give the mean's variance
    sums over rows of text   percentiles of 1,000 resamples of the rows, drawn by a hash

Shapes: R rows, S resamples.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.randomness import random_bits

_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_RESAMPLES = 1000
_AT_ONCE = 1 << 20  # draws held at a time


class Interval(TypedDict):
    """Where the true value lies with 95 % confidence, and how that was found."""

    low: float
    high: float
    method: str


def wilson(share: float, num_items: float) -> Interval:
    """The Wilson interval of a share of right answers.

    >>> {name: round(bound, 3) for name, bound in wilson(0.9, 10).items() if name != "method"}
    {'low': 0.596, 'high': 0.982}
    """
    if not num_items:
        return Interval(low=0.0, high=1.0, method="wilson")
    spread = _Z * _Z / num_items
    middle = share + spread / 2
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4))
    low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
    return Interval(low=max(0.0, low), high=min(1.0, high), method="wilson")


def mean_share(counts: Sequence[tuple[int, int]]) -> float:
    """The unweighted mean of the shares of right answers, from (right, asked) of each group.

    >>> mean_share([(1, 2), (3, 3)])
    0.75
    """
    return math.fsum(right / asked for right, asked in counts) / len(counts)


def mean_with_interval(counts: Sequence[tuple[int, int]]) -> tuple[float, Interval]:
    """The unweighted mean of such shares, and its interval: of one group the share's own."""
    mean = mean_share(counts)
    one = len(counts) == 1
    return mean, wilson(mean, counts[0][1]) if one else wilson_of_mean(counts)


def wilson_of_mean(counts: Sequence[tuple[int, int]]) -> Interval:
    """The interval of the unweighted mean of several shares, from (right, asked) of each.

    The mean's variance is that of independent groups. What is given to Wilson's formula is the
    number of items whose share would vary as much; at most all there are.
    """
    counts = [(right, asked) for right, asked in counts if asked]
    total = sum(asked for _, asked in counts)
    if not counts:
        return wilson(0.0, 0)
    mean = mean_share(counts)
    shares = ((right / asked, asked) for right, asked in counts)
    variance = math.fsum(share * (1 - share) / asked for share, asked in shares) / len(counts) ** 2
    items = min(total, mean * (1 - mean) / variance) if variance else total
    return Interval(**{**wilson(mean, items), "method": "wilson of the mean's variance"})


def bootstrap_ratio(
    sums_R: NDArray[np.float64],
    counts_R: NDArray[np.float64],
    purpose: str,
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda ratio: ratio,
) -> Interval | None:
    """The interval of (a function of) the sum over rows by the count over rows.

    Rows, not tokens, are drawn anew: what stands in one row is not independent. None where
    there are fewer than two rows.

    Args:
        sums_R: What is summed, by row.
        counts_R: What it is divided by, by row.
        purpose: Names the draws; the same purpose draws the same rows.
        of: Applied to each resample's ratio.
    """
    num_rows = len(sums_R)
    if num_rows < 2 or not counts_R.sum():
        return None
    ratios: list[NDArray[np.float64]] = []
    step = max(1, _AT_ONCE // num_rows)
    columns = np.arange(num_rows)
    for start in range(0, _RESAMPLES, step):
        numbers = np.arange(start, min(start + step, _RESAMPLES))
        drawn_SR = random_bits(0, purpose, numbers[:, None], columns[None, :])
        drawn_SR = (drawn_SR % np.uint64(num_rows)).astype(np.int64)
        counts_S = counts_R[drawn_SR].sum(axis=1)
        sums_S = sums_R[drawn_SR].sum(axis=1)
        ratios.append(sums_S[counts_S > 0] / counts_S[counts_S > 0])
    values = of(np.concatenate(ratios))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(low=float(low), high=float(high), method="bootstrap over rows")
