"""From the mean gradient to new weights: each group of parameters has its update and rate.

    embeddings ──▶ Adam          matrices of the layers ──▶ Adam or Muon
    head       ──▶ Adam          biases and norms       ──▶ Adam, without weight decay

A further kind of update is a class with `step`, `state` and `load`, and a line in `make`. An
update knows a span and its part of two vectors, never the whole: whoever splits spans between
processes, or averages the weights after each step, leaves the updates as they are. Processes that
share their memory do split them: each updates some of the parameters.
"""

import json
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from roberta_model.recipe import OptimizerRecipe
from roberta_model.training.flat import FlatWeights, Span
from roberta_model.training.muon import Muon


class Update(Protocol):
    """What turns the gradient of one group into new weights.

    Attributes:
        names: Of what `state` gives.
    """

    names: tuple[str, ...]

    def step(self, factor: float) -> None:
        """Update at this share of the peak rate."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on besides weights and gradient."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over such a state, bit for bit."""


class Adam:
    """Torch's fused AdamW on one flat group.

    The operator itself, not `torch.optim.AdamW` around it: making one of those loads torch's
    compiler, which takes a training process as long as loading torch.
    """

    names: tuple[str, ...] = ("exp_avg", "exp_avg_sq", "step")

    def __init__(
        self, span: Span, weights: Tensor, gradient: Tensor, recipe: OptimizerRecipe
    ) -> None:
        self.weights, self.gradient = weights, gradient
        self.learning_rate = recipe.rate_of(span.name)
        self._mean, self._square = torch.zeros_like(weights), torch.zeros_like(weights)
        self._count = torch.zeros((), device=weights.device)
        self._recipe, self._decay = recipe, recipe.decay_of(span.name)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update the weights at a share of the peak rate."""
        self._count += 1
        torch._fused_adamw_(
            [self.weights],
            [self.gradient],
            [self._mean],
            [self._square],
            [],
            [self._count],
            lr=self.learning_rate * factor,
            beta1=self._recipe.beta1,
            beta2=self._recipe.beta2,
            weight_decay=self._decay,
            eps=self._recipe.epsilon,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """The moments and the step count."""
        return {
            "exp_avg": self._mean.cpu().clone(),
            "exp_avg_sq": self._square.cpu().clone(),
            "step": self._count.cpu().reshape(1).clone(),
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over moments and step count, bit for bit."""
        self._mean.copy_(state["exp_avg"])
        self._square.copy_(state["exp_avg_sq"])
        self._count.copy_(state["step"].reshape(()))


class Optimizer:
    """The updates of all groups of a model's flat weights, or of this process's share of them.

    Args:
        flat: The weights; its master copy is updated in place.
        gradient: The mean gradient of a step, in the order of the weights.
        recipe: Which updates, and their numbers.
    """

    def __init__(self, flat: FlatWeights, gradient: Tensor, recipe: OptimizerRecipe) -> None:
        self.flat, self.gradient, self.recipe = flat, gradient, recipe
        self._spans = flat.share()
        self.updates: dict[str, Update] = {span.name: self.make(span) for span in self._spans}

    def make(self, span: Span) -> Update:
        """The update of a span: a group, or some of its parameters."""
        weights = self.flat.master[span.start : span.stop]
        gradient = self.gradient[span.start : span.stop]
        recipe = self.recipe
        if recipe.kind == "muon" and span.name == "matrices":
            return Muon(
                span,
                weights,
                gradient,
                learning_rate=recipe.rate_of(span.name),
                momentum=recipe.momentum,
                weight_decay=recipe.decay_of(span.name),
                compute=self.flat.compute.dtype,
            )
        return Adam(span, weights, gradient, recipe)

    def step(self, norm: float, factor: float) -> None:
        """Clip the gradient, and update the weights, the model's too.

        Args:
            norm: The gradient's.
            factor: Share of the peak learning rates.
        """
        limit = self.recipe.clip_norm
        for span in self._spans:
            if limit is not None and norm > limit:
                self.gradient[span.start : span.stop].mul_(limit / norm)
            self.updates[span.name].step(factor)
            self.flat.publish(span.start, span.stop)
        self.flat.memory.wait()

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from besides the weights, as `<group>.<what>`, on the CPU.

        Where processes share the updates, all of them ask for it together.
        """
        mine = {
            f"{group}.{name}": value
            for group, update in self.updates.items()
            for name, value in update.state().items()
        }
        return self._joined(mine) if self.flat.memory.is_shared else mine

    def _joined(self, mine: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The states of all shares: vectors of a whole group each, and counts once."""
        memory = self.flat.memory
        told = {name: (len(value), _name_of(value.dtype)) for name, value in mine.items()}
        shares = [json.loads(each) for each in memory.collected(json.dumps(told).encode())]
        firsts, joined = {span.name: span.start for span in self._spans}, {}
        for span in self.flat.spans:
            names = [n for share in shares for n in share if n.split(".", 1)[0] == span.name]
            for name in dict.fromkeys(names):
                kept = [share[name] for share in shares if name in share]
                size, kind = sum(length for length, _ in kept), kept[0][1]
                is_vector = size == span.stop - span.start
                size = size if is_vector else kept[0][0]
                joined[name] = memory.zeros(size, self.flat.master, getattr(torch, kind))
                if name in mine:
                    first = firsts[span.name] - span.start if is_vector else 0
                    joined[name][first : first + len(mine[name])] = mine[name]
        memory.wait()
        return joined

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state that `state` gave, or this process's share of it.

        Raises:
            ValueError: It is of an optimiser of another kind.
        """
        expected = {f"{group}.{name}" for group, u in self.updates.items() for name in u.names}
        groups = {span.name for span in self.flat.spans} - set(self.updates)
        known = {name for name in state if name.split(".", 1)[0] not in groups}
        if known != expected:
            other = ", ".join(sorted(known ^ expected))
            raise ValueError(f"the checkpoint's optimiser is of another kind: {other}")
        for span in self._spans:
            self.updates[span.name].load(self._share_of(state, span))

    def _share_of(self, state: Mapping[str, Tensor], share: Span) -> dict[str, Tensor]:
        """The way back for one group: of its vectors the share's part, and its counts."""
        (whole,) = (span for span in self.flat.spans if span.name == share.name)
        mine = slice(share.start - whole.start, share.stop - whole.start)
        values = {name: state[f"{share.name}.{name}"] for name in self.updates[share.name].names}
        return {
            name: value[mine] if value.numel() == whole.stop - whole.start else value
            for name, value in values.items()
        }


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
