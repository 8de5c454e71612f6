"""What is taken for rounding: by the logits of the same text, whatever others there are."""

import numpy as np
import pytest

from tasks.publishing.agreement import Agreement

SMALL, LARGE = np.array([3.0, -1.0, 0.0]), np.array([3.0, -20.0, 0.0])
ORDERS = [(0, 1), (1, 0)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("in_small", "in_large", "is_rounding"),
    [
        (9e-5, 3.9e-4, True),
        (1.1e-4, 0.0, False),
        (0.0, 4.1e-4, False),
        (float("nan"), 0.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_each_text_has_its_own_measure(
    in_small: float, in_large: float, is_rounding: bool, order: tuple[int, int]
) -> None:
    """1e-4, and where logits are above 5 a fifty-thousandth of the largest; NaN is never it."""
    both = Agreement()
    pieces = [(SMALL + [0, 0, in_small], SMALL), (LARGE + [0, 0, in_large], LARGE)]
    for number in order:
        both.add(*pieces[number])
    assert both.is_rounding == is_rounding
    assert both.difference == pytest.approx(np.maximum(in_small, in_large), nan_ok=True)


def test_what_lies_apart_is_told_with_what_was_allowed_there() -> None:
    both = Agreement()
    both.add(LARGE + [0, 0, 3e-4], LARGE)
    both.add(SMALL + [0, 0, 2e-4], SMALL)
    assert both.told() == "by up to 2.00e-04 where 1e-04 is allowed"
