"""All weights of a model as one vector.

    parameters (views) ◀── compute, bf16 or fp32 ◀── master, fp32

So an update is a few large vector operations, and a checkpoint is a few arrays. Gradients are
summed in a vector of the same order, see `step_sums`; what turns them into new weights is an
update of a span of both, see `optimizer`. Neither is any business of this module.
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
        spans: The groups that the model has, in flat order.
    """

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
        for parameter, view in zip(self.parameters, self.views(self.compute), strict=True):
            parameter.data = view

    def views(self, flat: Tensor) -> list[Tensor]:
        """A vector of all weights' order, cut into the parameters' shapes."""
        sizes = [shape.numel() for shape in self.shapes]
        parts = torch.split(flat, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def publish(self) -> None:
        """Give the model the master's new values."""
        if self.compute is not self.master:
            self.compute.copy_(self.master)

    def weights(self) -> dict[str, Tensor]:
        """The fp32 weights by our parameter names, as views of the master copy."""
        return dict(zip(self.names, self.views(self.master), strict=True))

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
