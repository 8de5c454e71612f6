"""Adam on one flat vector: every weight, gradient and moment lies in one place.

The model's parameters become views of one flat tensor in the compute type (bf16 or fp32).
The optimiser keeps an fp32 master copy and fp32 moments, and gradients of all micro-batches
are summed in one flat fp32 buffer. So an update is a few large vector operations, one
all-reduce moves everything, and a checkpoint is three arrays.

Flat order: the parameters with weight decay first, then those without (biases and norms).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AdamRecipe:
    """Adam with decoupled weight decay; the paper's values by default."""

    learning_rate: float = 6e-4
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    clip_norm: float | None = None


def has_weight_decay(name: str, parameter: Tensor) -> bool:
    """Whether a parameter decays: matrices do, biases and LayerNorm do not."""
    return parameter.dim() > 1 and not name.endswith("bias")


class FlatAdam:
    """The weights of a model as one vector, and Adam's update of it.

    Args:
        model: Its parameters are replaced by views; fp32 on entry, on their device.
        recipe: Adam's numbers.
        compute: The type the model computes in.

    Attributes:
        master: fp32 weights, flat.
        gradient: fp32 sum of gradients, flat, with `num_extras` more numbers at its end that
            travel with the one all-reduce of a step.
    """

    num_extras = 3

    def __init__(self, model: nn.Module, recipe: AdamRecipe, compute: torch.dtype) -> None:
        self.recipe = recipe
        named = sorted(
            model.named_parameters(), key=lambda item: not has_weight_decay(item[0], item[1])
        )
        self.names = [name for name, _ in named]
        self.shapes = [parameter.shape for _, parameter in named]
        self.parameters = [parameter for _, parameter in named]
        decaying = sum(p.numel() for n, p in named if has_weight_decay(n, p))
        self.master = torch.cat([p.detach().float().flatten() for p in self.parameters])
        self.compute = self.master if compute == torch.float32 else self.master.to(compute)
        for parameter, view in zip(self.parameters, self._views(self.compute), strict=True):
            parameter.data = view
        size = len(self.master)
        self.gradient = self.master.new_zeros(size + self.num_extras)
        self._sums = self._views(self.gradient[:size])
        self._is_empty = True
        self._optimizer = self._make_optimizer(decaying)

    def _views(self, flat: Tensor) -> list[Tensor]:
        sizes = [shape.numel() for shape in self.shapes]
        parts = torch.split(flat, sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def _make_optimizer(self, decaying: int) -> torch.optim.AdamW:
        self._halves = [self.master[:decaying], self.master[decaying:]]
        gradients = [self.gradient[:decaying], self.gradient[decaying : len(self.master)]]
        for half, gradient in zip(self._halves, gradients, strict=True):
            half.grad = gradient
        recipe = self.recipe
        return torch.optim.AdamW(
            [
                {"params": [self._halves[0]], "weight_decay": recipe.weight_decay},
                {"params": [self._halves[1]], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            fused=True,
        )

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

    @torch.no_grad()
    def step(self, scale: Tensor | float, factor: float) -> float:
        """Scale the summed gradient, clip it, and update the weights.

        Args:
            scale: One over the masked tokens of the global batch.
            factor: Share of the peak learning rate.

        Returns:
            The norm of the scaled gradient before clipping.
        """
        gradient = self.gradient[: len(self.master)]
        gradient.mul_(scale)
        norm = float(torch.linalg.vector_norm(gradient))
        limit = self.recipe.clip_norm
        if limit is not None and norm > limit:
            gradient.mul_(limit / norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        self._optimizer.step()
        if self.compute is not self.master:
            self.compute.copy_(self.master)
        self.clear()
        return norm

    def weights(self) -> dict[str, Tensor]:
        """The fp32 weights by our parameter names, as views of the master copy."""
        return dict(zip(self.names, self._views(self.master), strict=True))

    def state(self) -> dict[str, Tensor]:
        """Adam's moments and step count."""
        parts: dict[str, list[Tensor]] = {"exp_avg": [], "exp_avg_sq": []}
        step = torch.zeros(())
        for half in self._halves:
            state = self._optimizer.state.get(half) or {}
            step = state.get("step", step)
            for name, values in parts.items():
                values.append(state.get(name, torch.zeros_like(half)))
        flat = {name: torch.cat(values).cpu() for name, values in parts.items()}
        return {**flat, "step": step.detach().cpu().reshape(1).float()}

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Take over weights and moments, bit for bit."""
        for name, view in self.weights().items():
            view.copy_(weights[name])
        if self.compute is not self.master:
            self.compute.copy_(self.master)
        start = 0
        for half in self._halves:
            stop = start + len(half)
            self._optimizer.state[half] = {
                # A copy for each: torch counts every half's steps in place.
                "step": state["step"].reshape(()).to(half.device, copy=True),
                "exp_avg": state["exp_avg"][start:stop].to(half.device, copy=True),
                "exp_avg_sq": state["exp_avg_sq"][start:stop].to(half.device, copy=True),
            }
            start = stop
