"""How far two computations of the same logits lie apart, and whether that is more than rounding.

Both compute in fp32, each in its own order, on whatever processor there is. What rounding leaves
between them grows with the logits: 1.8e-4 of logits up to 20 was seen between two programs that do
the same. So a difference counts in parts of the largest logit beside it. What is computed wrongly
differs by a thousand times more.
"""

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-4


class Agreement:
    """Logits of two computations, compared piece by piece.

    Attributes:
        difference: The largest between two logits so far; NaN once one of them was.
        share: The same in parts of the largest logit of its piece, or of 1 where that is less.

    >>> both = Agreement()
    >>> both.add(np.array([20.0, 0.001]), np.array([20.0, 0.0]))
    >>> round(both.difference, 6), round(both.share, 6), both.within(1e-4)
    (0.001, 5e-05, True)
    """

    def __init__(self) -> None:
        self.difference = self.share = 0.0

    def add(self, ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> None:
        """Compare some logits, of one text, say."""
        difference = float(np.abs(ours - theirs).max())
        largest = max(1.0, float(np.abs(theirs).max()))
        self.difference = float(np.maximum(self.difference, difference))  # NaN stays NaN
        self.share = float(np.maximum(self.share, difference / largest))

    def within(self, tolerance: float) -> bool:
        """Whether rounding explains it; NaN is explained by nothing."""
        return self.share <= tolerance

    def told(self, tolerance: float) -> str:
        """What differs by how much, for a message."""
        return (
            f"by up to {self.difference:.2e}, {self.share:.1e} of the largest logit where "
            f"{tolerance:.0e} is allowed"
        )
