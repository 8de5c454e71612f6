"""What a step adds up, over micro-batches and over processes, as one vector.

    [ gradient of all weights, fp32 | loss | tokens | stop ]
      ▲ collect, after each backward  ▲ average, once a step

So one all-reduce moves everything, and both the gradient and the loss are divided once, by the
tokens of the whole global batch. Who updates weights sees the gradient alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from roberta_model.training.flat import FlatWeights

_NUM_FIGURES = 3  # loss, tokens, stop


@dataclass(frozen=True)
class StepMeans:
    """What a step comes to, over all processes.

    Attributes:
        loss: Mean of a token.
        num_tokens: That were asked for.
        gradient_norm: Of the mean gradient.
        must_stop: Whether any process must.
    """

    loss: float
    num_tokens: int
    gradient_norm: float
    must_stop: bool


class StepSums:
    """The sums of one step after another.

    Args:
        flat: The weights whose gradients are summed.
        num_processes: That train together, each with its own part of a step.

    Attributes:
        gradient: fp32, flat, in the order of the weights; the mean once `average` was asked for.
    """

    def __init__(self, flat: FlatWeights, num_processes: int = 1) -> None:
        num_weights = len(flat.master)
        self._all = flat.master.new_zeros(num_weights + _NUM_FIGURES)
        self.gradient, self._figures = self._all[:num_weights], self._all[num_weights:]
        self._parameters, self._parts = flat.parameters, flat.views(self.gradient)
        self._is_shared = num_processes > 1
        self._is_empty = True

    def begin(self) -> None:
        """Begin a new step: the next `collect` overwrites the sum."""
        self._is_empty = True

    def collect(self) -> None:
        """Add the gradients of one backward pass to the sum, and forget them."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        assert len(gradients) == len(self._parameters), "every weight takes part in the loss"
        if self._is_empty:
            torch._foreach_copy_(self._parts, gradients)
        else:
            torch._foreach_add_(self._parts, gradients)
        self._is_empty = False
        for parameter in self._parameters:
            parameter.grad = None

    def average(self, loss_sum: Tensor, num_tokens: int, stop: bool) -> StepMeans:
        """Add up over all processes, and divide by their tokens.

        Args:
            loss_sum: Of this process, still on the device.
            num_tokens: Of this process; 0 where it had no rows in this step.
            stop: Whether this process must stop.
        """
        if self._is_empty:
            self.gradient.zero_()
        figures = torch.tensor([0.0, num_tokens, float(stop)], device=self._all.device)
        figures[0] = loss_sum
        self._figures.copy_(figures)
        if self._is_shared:
            torch.distributed.all_reduce(self._all)
        loss, tokens, stops = self._figures.tolist()
        share = 1.0 / max(1.0, tokens)
        self.gradient.mul_(share)
        norm = float(torch.linalg.vector_norm(self.gradient))
        return StepMeans(loss / max(1.0, tokens), int(tokens), norm, stops > 0)
