"""All weights of a model as one vector, and the sum of their gradients as another.

    parameters (views) ◀── compute, bf16 or fp32 ◀── master, fp32
    gradients of each micro-batch ──▶ gradient, fp32 [ all weights | extras ]

So an update is a few large vector operations, one all-reduce moves everything, and a checkpoint
is a few arrays. What turns gradients into new weights is no business of this module.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Span:
    """Neighbouring parameters that are updated alike.

    Attributes:
        name: What they are, see GROUPS.
        start: Of the first in the flat vectors.
        stop: Behind the last.
        parameters: (name, shape) of each, in order.
    """

    name: str
    start: int
    stop: int
    parameters: tuple[tuple[str, torch.Size], ...]


GROUPS = ("embeddings", "matrices", "head", "vectors")


def group_of(name: str, parameter: Tensor) -> str:
    """Which group a parameter belongs to.

    embeddings: word, position and type embeddings; matrices: those of the layers; head: the
    other matrices; vectors: biases and LayerNorms, which no recipe shrinks.
    """
    if parameter.dim() < 2 or name.endswith("bias"):
        return "vectors"
    first = name.split(".", 1)[0]
    return {"embeddings": "embeddings", "layers": "matrices"}.get(first, "head")


class FlatWeights:
    """The weights of a model as one vector.

    Args:
        model: Its parameters are replaced by views; fp32 on entry, on their device.
        compute: The type the model computes in.

    Attributes:
        master: fp32 weights, flat, group after group.
        gradient: fp32 sum of gradients, flat, with `num_extras` more numbers at its end that
            travel with the one all-reduce of a step.
        spans: The groups that the model has, in flat order.
    """

    num_extras = 3

    def __init__(self, model: nn.Module, compute: torch.dtype) -> None:
        named = sorted(
            model.named_parameters(), key=lambda item: GROUPS.index(group_of(item[0], item[1]))
        )
        self.names = [name for name, _ in named]
        self.shapes = [parameter.shape for _, parameter in named]
        self.parameters = [parameter for _, parameter in named]
        self.spans = _spans(named)
        self.master = torch.cat([p.detach().float().flatten() for p in self.parameters])
        self.compute = self.master if compute == torch.float32 else self.master.to(compute)
        for parameter, view in zip(self.parameters, self._views(self.compute), strict=True):
            parameter.data = view
        self.gradient = self.master.new_zeros(len(self.master) + self.num_extras)
        self._sums = self._views(self.gradient[: len(self.master)])
        self._is_empty = True

    def _views(self, flat: Tensor) -> list[Tensor]:
        sizes = [shape.numel() for shape in self.shapes]
        parts = torch.split(flat, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def collect(self) -> None:
        """Add the gradients of one backward pass to the flat sum, and forget them."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every weight takes part in the loss"
        if self._is_empty:
            torch._foreach_copy_(self._sums, gradients)
        else:
            torch._foreach_add_(self._sums, gradients)
        self._is_empty = False
        for parameter in self.parameters:
            parameter.grad = None

    def clear(self) -> None:
        """Begin a new step: the next `collect` overwrites the sum."""
        self._is_empty = True

    def zero(self) -> None:
        """An all-zero sum, for a process that has no rows in this step."""
        self.gradient.zero_()
        self._is_empty = False

    def scale_gradient(self, scale: Tensor | float) -> float:
        """Multiply the summed gradient, e.g. by one over its tokens; its norm after that."""
        gradient = self.gradient[: len(self.master)]
        gradient.mul_(scale)
        return float(torch.linalg.vector_norm(gradient))

    def clip_gradient(self, norm: float, limit: float | None) -> None:
        """Shorten a gradient of that norm to the limit, if there is one."""
        if limit is not None and norm > limit:
            self.gradient[: len(self.master)].mul_(limit / norm)

    @torch.no_grad()
    def publish(self) -> None:
        """Give the model the master's new values; a new step begins."""
        if self.compute is not self.master:
            self.compute.copy_(self.master)
        self.clear()

    def weights(self) -> dict[str, Tensor]:
        """The fp32 weights by our parameter names, as views of the master copy."""
        return dict(zip(self.names, self._views(self.master), strict=True))

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over weights, bit for bit."""
        for name, view in self.weights().items():
            view.copy_(weights[name])
        self.publish()


def _spans(named: Iterable[tuple[str, Tensor]]) -> list[Span]:
    """The groups of parameters that are sorted by group."""
    members: dict[str, list[tuple[str, torch.Size]]] = {}
    for name, parameter in named:
        members.setdefault(group_of(name, parameter), []).append((name, parameter.shape))
    spans, start = [], 0
    for group, parameters in members.items():
        stop = start + sum(shape.numel() for _, shape in parameters)
        spans.append(Span(group, start, stop, tuple(parameters)))
        start = stop
    return spans
