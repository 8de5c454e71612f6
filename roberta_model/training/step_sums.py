"""What a step adds up, over micro-batches and over processes, as one vector.

    [ gradient of all weights, fp32 | loss | tokens | stop ]
      ▲ collect, after each backward  ▲ average, once a step

So one all-reduce moves everything, and both the gradient and the loss are divided once, by the
tokens of the whole global batch. Who updates weights sees the gradient alone. Processes that share
their memory send nothing: each adds up its part of all their vectors, in the first one's.

Where a step reads a few hundred words of a vocabulary of many thousands, and nothing else uses
their vectors, it is more than half zeros: then of the table of words only these are added up.

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
        flat: The weights whose gradients are summed, in the memory where the sums are to lie too.

    Attributes:
        gradient: fp32, flat, in the order of the weights; the mean once `average` was asked for.
    """

    def __init__(self, flat: FlatWeights) -> None:
        self._memory, self._size = flat.memory, len(flat.master)
        room, parts = self._size + _NUM_FIGURES, self._memory.num_parts
        self._each = [self._memory.zeros(room, flat.master) for _ in range(parts)]
        self._squares = self._memory.zeros(parts, torch.empty(0), torch.float64)
        self._all = self._each[self._memory.part]
        self._own, self.gradient = self._all[: self._size], self._each[0][: self._size]
        self._parameters, self._parts = flat.parameters, flat.views(self._own)
        self._word = flat.names.index(_WORD)
        self._table = self._parts[self._word]
        self._first = sum(part.numel() for part in self._parts[: self._word])
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
            self._own.zero_()
        figures = torch.tensor([0.0, num_tokens, float(stop)], device=self._all.device)
        figures[0] = loss_sum
        self._all[self._size :] = figures
        if self._memory.num_processes > self._memory.num_parts:
            torch.distributed.all_reduce(self._all)
        self._memory.wait()
        sums = torch.stack([each[self._size :] for each in self._each]).sum(0)
        loss, tokens, stops = sums.tolist()
        self._squares[self._memory.part] = self._add_up(1.0 / max(1.0, tokens))
        self._memory.wait()
        norm = math.sqrt(float(self._squares.sum()))
        return StepMeans(loss / max(1.0, tokens), int(tokens), norm, stops > 0)

    def _add_up(self, scale: float) -> float:
        """Turn this process's part of all sums into the mean gradient; its norm, squared."""
        pieces, square = [(0, self._size)], 0.0
        if self._words_U is not None:
            pieces = [(0, self._first), (self._first + self._table.numel(), self._size)]
            square = self._add_up_words(self._words_U, scale)
        for start, stop in pieces:
            mine = self._part_of(start, stop)
            mean = self.gradient[mine]
            for other in self._each[1:]:
                mean.add_(other[mine])
            square += _square(mean.mul_(scale))
        return square

    def _add_up_words(self, words_U: Tensor, scale: float) -> float:
        """The same for the vectors of this process's part of the words."""
        mine = words_U[self._part_of(0, len(words_U))]
        table = slice(self._first, self._first + self._table.numel())
        tables = [each[table].view_as(self._table) for each in self._each]
        mean_UD = tables[0].index_select(0, mine)
        for other in tables[1:]:
            mean_UD.add_(other.index_select(0, mine))
        tables[0].index_copy_(0, mine, mean_UD.mul_(scale))
        return _square(mean_UD)

    def _part_of(self, start: int, stop: int) -> slice:
        part, parts = self._memory.part, self._memory.num_parts
        size = stop - start
        return slice(start + size * part // parts, start + size * (part + 1) // parts)


def _square(values: Tensor) -> float:
    """The square of the norm; of no values 0."""
    return float(torch.linalg.vector_norm(values)) ** 2
