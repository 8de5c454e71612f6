"""The learning rate of a step: a pure function, so a resumed run needs no scheduler state."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then linear decay, a constant, or a constant with a decay at the end (wsd).

    Attributes:
        type: What follows the warm-up.
        warmup_share: Share of all steps over which the rate rises from 0 to its peak.
        decay_share: For wsd, share of all steps over which it falls to 0 at the end.
    """

    type: Literal["linear", "constant", "wsd"] = "linear"
    warmup_share: float = 0.06
    decay_share: float = 0.2

    def factor(self, step: int, total_steps: int) -> float:
        """The share of the peak rate at a step in [0, total_steps)."""
        warmup = max(1, round(self.warmup_share * total_steps))
        if step < warmup:
            return (step + 1) / warmup
        if self.type == "constant":
            return 1.0
        decay = total_steps - warmup
        if self.type == "wsd":
            decay = max(1, round(self.decay_share * total_steps))
        return min(1.0, max(0.0, (total_steps - step) / max(1, decay)))
