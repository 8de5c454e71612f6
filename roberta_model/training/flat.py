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

from roberta_model.training.memory import Memory


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
        memory: Where the weights are to lie; its own for each process unless given.

    Attributes:
        memory: Where they lie.
        master: fp32 weights, flat, group after group.
        compute: The same in the type of the model, which may be the same vector.
        spans: The groups that the model has, in flat order.
    """

    def __init__(
        self, model: nn.Module, compute: torch.dtype, memory: Memory | None = None
    ) -> None:
        named = sorted(
            model.named_parameters(), key=lambda item: GROUPS.index(group_of(item[0], item[1]))
        )
        self.names = [name for name, _ in named]
        self.shapes = [parameter.shape for _, parameter in named]
        self.parameters = [parameter for _, parameter in named]
        self.spans = _spans(named)
        self.memory = memory or Memory()
        size, like = self.spans[-1].stop, self.parameters[0].detach()
        self.master = self.memory.zeros(size, like, torch.float32)
        for parameter, view in zip(self.parameters, self.views(self.master), strict=True):
            view.copy_(parameter.detach())
        self.compute = self.master
        if compute != torch.float32:
            self.compute = self.memory.zeros(size, like, compute)
            self.publish()
        for parameter, view in zip(self.parameters, self.views(self.compute), strict=True):
            parameter.data = view
        self.memory.wait()

    def views(self, flat: Tensor) -> list[Tensor]:
        """A vector of all weights' order, cut into the parameters' shapes."""
        sizes = [shape.numel() for shape in self.shapes]
        parts = torch.split(flat, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def share(self) -> list[Span]:
        """What this process updates of each group: some of its parameters, side by side.

        About as many weights for each of those who share them; a group may have none for it.
        """
        part, num_parts, size = self.memory.part, self.memory.num_parts, self.spans[-1].stop
        shares = []
        for span in self.spans:
            start, mine = span.start, []
            for name, shape in span.parameters:
                middle = start + shape.numel() // 2
                if middle * num_parts // size == part:
                    mine.append((start, name, shape))
                start += shape.numel()
            if mine:
                stop = mine[-1][0] + mine[-1][2].numel()
                parameters = tuple((name, shape) for _, name, shape in mine)
                shares.append(Span(span.name, mine[0][0], stop, parameters))
        return shares

    @torch.no_grad()
    def publish(self, start: int = 0, stop: int | None = None) -> None:
        """Give the model the master's new values, all or those of a piece."""
        if self.compute is not self.master:
            self.compute[start:stop].copy_(self.master[start:stop])

    def weights(self) -> dict[str, Tensor]:
        """The fp32 weights by our parameter names, as views of the master copy."""
        return dict(zip(self.names, self.views(self.master), strict=True))

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over weights, bit for bit."""
        for name, view in self.weights().items():
            view.copy_(weights[name])
        self.publish()
        self.memory.wait()


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
