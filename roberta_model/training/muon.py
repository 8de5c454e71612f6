"""Muon: momentum whose matrices are made orthogonal before they are added (Jordan et al. 2024).

    gradient ──▶ momentum (Nesterov) ──▶ all singular values to about 1 ──▶ weights

A gradient matrix has a few large singular values and many small ones, so plain steps move a few
directions only; here every direction moves alike. Five Newton-Schulz steps of the quintic
3.4445 x - 4.7750 x^3 + 2.0315 x^5 bring the singular values into about 0.7 .. 1.2 with matrix
products alone. Values of equal shape are worked on as one batch; query, key and value, which
the encoder keeps in one matrix, are three.

Reference: torch.optim.Muon, with which a test compares every step.

Shape letters: N matrices of one shape, R rows, C columns.
"""

import torch
from torch import Tensor

from roberta_model.encoder import FUSED_PARTS
from roberta_model.training.flat import Span

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_NUM_STEPS = 5
_SMALLEST_NORM = 1e-7


def orthogonalise(matrices_NRC: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: U V' of each one's U S V'.

    Computed in the type it is given; zero stays zero.
    """
    is_tall = matrices_NRC.shape[1] > matrices_NRC.shape[2]
    x = matrices_NRC.transpose(1, 2) if is_tall else matrices_NRC
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_SMALLEST_NORM)
    a, b, c = _COEFFICIENTS
    for _ in range(_NUM_STEPS):
        square = x @ x.transpose(1, 2)
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.transpose(1, 2) if is_tall else x


class Muon:
    """Muon's update of one span, all of it matrices.

    Args:
        span: Which parameters.
        weights: Their part of the flat master copy, updated in place.
        gradient: Their part of the flat gradient, read only.
        learning_rate: The peak; a matrix of R rows and C columns gets sqrt(max(1, R / C)) of it.
        momentum: Decay of the running mean of gradients.
        weight_decay: Decoupled.
        compute: The type the orthogonalisation is computed in.
    """

    names: tuple[str, ...] = ("momentum",)

    def __init__(
        self,
        span: Span,
        weights: Tensor,
        gradient: Tensor,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        compute: torch.dtype,
    ) -> None:
        self.weights, self.gradient = weights, gradient
        self.learning_rate, self.momentum = learning_rate, momentum
        self.weight_decay, self.compute = weight_decay, compute
        self.mean = torch.zeros_like(weights)
        self._places = _places_by_shape(span)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update the weights at a share of the peak rate."""
        rate = self.learning_rate * factor
        self.mean.lerp_(self.gradient, 1 - self.momentum)
        ahead = self.gradient.lerp(self.mean, self.momentum)
        self.weights.mul_(1 - rate * self.weight_decay)
        for (rows, columns), starts in self._places.items():
            matrices_NRC = torch.stack(_cut(ahead, starts, rows, columns)).to(self.compute)
            changes_NRC = orthogonalise(matrices_NRC).float()
            scaled = -rate * max(1.0, rows / columns) ** 0.5
            torch._foreach_add_(
                _cut(self.weights, starts, rows, columns), list(changes_NRC), alpha=scaled
            )

    def state(self) -> dict[str, Tensor]:
        """The running mean of gradients."""
        return {"momentum": self.mean.cpu().clone()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a running mean, bit for bit."""
        self.mean.copy_(state["momentum"])


def _places_by_shape(span: Span) -> dict[tuple[int, int], list[int]]:
    """Where the matrices of each shape begin in the span; fused ones are several."""
    places: dict[tuple[int, int], list[int]] = {}
    start = 0
    for name, shape in span.parameters:
        num_parts = next((n for end, n in FUSED_PARTS.items() if name.endswith(end)), 1)
        rows, columns = shape[0] // num_parts, shape[1]
        size = rows * columns
        places.setdefault((rows, columns), []).extend(start + i * size for i in range(num_parts))
        start += shape.numel()
    return places


def _cut(flat: Tensor, starts: list[int], rows: int, columns: int) -> list[Tensor]:
    """Views of the matrices that begin at some places."""
    return [flat[start : start + rows * columns].view(rows, columns) for start in starts]
