"""From the mean gradient to new weights: each group of parameters has its update and rate.

    embeddings ──▶ Adam          matrices of the layers ──▶ Adam or Muon
    head       ──▶ Adam          biases and norms       ──▶ Adam, without weight decay

A further kind of update is a class with `step`, `state` and `load`, and a line in `make`. An
update knows a span and its part of two vectors, never the whole: whoever splits spans between
processes, or averages the weights after each step, leaves the updates as they are.
"""

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
    """The updates of all groups of a model's flat weights.

    Args:
        flat: The weights; its master copy is updated in place.
        gradient: The mean gradient of a step, in the order of the weights.
        recipe: Which updates, and their numbers.
    """

    def __init__(self, flat: FlatWeights, gradient: Tensor, recipe: OptimizerRecipe) -> None:
        self.flat, self.gradient, self.recipe = flat, gradient, recipe
        self.updates: dict[str, Update] = {span.name: self.make(span) for span in flat.spans}

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
        if limit is not None and norm > limit:
            self.gradient.mul_(limit / norm)
        for update in self.updates.values():
            update.step(factor)
        self.flat.publish()

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from besides the weights, as `<group>.<what>`, on the CPU."""
        return {
            f"{group}.{name}": value
            for group, update in self.updates.items()
            for name, value in update.state().items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a state that `state` gave.

        Raises:
            ValueError: It is of an optimiser of another kind.
        """
        expected = {f"{group}.{name}" for group, u in self.updates.items() for name in u.names}
        if set(state) != expected:
            other = ", ".join(sorted(set(state) ^ expected))
            raise ValueError(f"the checkpoint's optimiser is of another kind: {other}")
        for group, update in self.updates.items():
            prefix = f"{group}."
            mine = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            update.load(mine)
