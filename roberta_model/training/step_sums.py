"""What a step adds up, over micro-batches and over processes, as one vector.

    [ gradient of all weights, fp32 | loss | tokens | stop ]
      ▲ collect, after each backward  ▲ average, once a step

So one all-reduce moves everything, and both the gradient and the loss are divided once, by the
tokens of the whole global batch. Who updates weights sees the gradient alone.

Where a step reads a few hundred words of a vocabulary of many thousands, and nothing else uses
their vectors, it is more than half zeros: then the vectors of these words are added up apart, and
only they are moved.

Shape letters: U different words of a step, D width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from roberta_model.training.flat import FlatWeights

_NUM_FIGURES = 3  # loss, tokens, stop
_WORD = "embeddings.word.weight"


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
        self._word = flat.names.index(_WORD)
        self._table = self._parts[self._word]
        self._first = sum(part.numel() for part in self._parts[: self._word])
        self._is_shared = num_processes > 1
        self._is_empty = True
        self._words_U: Tensor | None = None

    def begin(self, words_U: Tensor | None = None) -> None:
        """Begin a new step: the sums before are forgotten.

        Args:
            words_U: The words of the whole step, of all processes, each once, where gradients of
                the word embedding are sparse; no other word's vector gets any.
        """
        if self._words_U is not None:
            self._table.index_fill_(0, self._words_U, 0.0)
        elif words_U is not None:
            self._table.zero_()
        self._words_U, self._is_empty = words_U, True

    def collect(self) -> None:
        """Add the gradients of one backward pass to the sum, and forget them."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        assert len(gradients) == len(self._parameters), "every weight takes part in the loss"
        parts = list(self._parts)
        if self._words_U is not None:
            parts.pop(self._word)
            read = gradients.pop(self._word)
            self._table.index_add_(0, read._indices()[0], read._values().float())
        if self._is_empty:
            torch._foreach_copy_(parts, gradients)
        else:
            torch._foreach_add_(parts, gradients)
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
        behind = 0 if self._words_U is None else self._first + self._table.numel()
        apart = self._apart()
        if self._is_shared:
            for sums in (apart, self._all[behind:]):
                if len(sums):
                    torch.distributed.all_reduce(sums)
        loss, tokens, stops = self._figures.tolist()
        means = (apart, self.gradient[behind:])
        for sums in means:
            sums.mul_(1.0 / max(1.0, tokens))
        norm = math.hypot(*(float(torch.linalg.vector_norm(sums)) for sums in means))
        self._put_back(apart)
        return StepMeans(loss / max(1.0, tokens), int(tokens), norm, stops > 0)

    def _apart(self) -> Tensor:
        """A copy of what is added up apart: what stands before the words', and the words'."""
        if self._words_U is None:
            return self.gradient[:0]
        vectors_UD = self._table.index_select(0, self._words_U)
        return torch.cat([self.gradient[: self._first], vectors_UD.flatten()])

    def _put_back(self, apart: Tensor) -> None:
        """The way back."""
        if self._words_U is not None:
            self.gradient[: self._first] = apart[: self._first]
            vectors_UD = apart[self._first :].view(len(self._words_U), -1)
            self._table.index_copy_(0, self._words_U, vectors_UD)
