"""How far two computations of the same logits lie apart, and whether that is more than rounding.

Both compute in fp32, each in its own order, on whatever processor there is. What rounding leaves
between them grows with the logits: two programs that do the same were seen 1.8e-4 apart where
logits go up to 20. So large logits may differ by more, 4e-4 of 20, though not by what a mistake
makes: of a small encoder with such a logit another GELU made 6.8e-4, all weights rounded to 16 bits
1.5e-3.
"""

import math

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4  # of small logits; those above 5 may differ by a share of the largest
_SHARE = 2e-5


class Agreement:
    """Logits of two computations, compared piece by piece.

    Attributes:
        difference: The largest between two logits so far; NaN once one of them was.
        excess: The largest in parts of what was allowed beside it.

    >>> both = Agreement()
    >>> both.add(np.array([20.0, 0.0003]), np.array([20.0, 0.0]))
    >>> round(both.difference, 6), both.is_rounding
    (0.0003, True)
    >>> both.add(np.array([2.0, 0.0003]), np.array([2.0, 0.0]))
    >>> both.is_rounding
    False
    """

    def __init__(self) -> None:
        self.difference = self.excess = 0.0
        self._allowed = TOLERANCE

    @property
    def is_rounding(self) -> bool:
        """Whether rounding explains it; NaN is explained by nothing."""
        return self.excess <= 1

    def add(self, ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> None:
        """Compare some logits, of one text, say."""
        difference = float(np.abs(ours - theirs).max())
        allowed = max(TOLERANCE, _SHARE * float(np.abs(theirs).max()))
        self.difference = float(np.maximum(self.difference, difference))  # NaN stays NaN
        if not (math.isnan(self.excess) or difference / allowed <= self.excess):
            self.excess, self._allowed = difference / allowed, allowed

    def told(self) -> str:
        """What differs by how much, for a message."""
        return f"by up to {self.excess * self._allowed:.2e} where {self._allowed:.0e} is allowed"
