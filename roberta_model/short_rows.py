"""Attention among short rows on a CPU, forward and backward written out.

    qkv N x 3D ──▶ group by group: rows side by side ──▶ scores ──▶ softmax ──▶ mixed N x D

Of rows of a dozen tokens every product is small. In bf16 torch takes six times as long for such a
product as in fp32, and its bookkeeping of each step takes longer than the step. So whatever the
rest computes in, this computes in fp32, and autograd sees one step instead of fifteen a group.

Shape letters: N tokens of all rows, D width, H heads, K width of one head; of a group: n tokens,
B rows, T tokens of the longest, P = B x H.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from roberta_model.noise import keeping_noise

if TYPE_CHECKING:
    from roberta_model.ragged import Group


class _Kept(NamedTuple):
    """What of a group's forward pass the backward pass needs.

    Attributes:
        qkv_3PTK: Queries, which are scaled already, keys and values.
        weights_PTT: What each token reads of each other.
        noise_PTT: What dropout multiplies them by; None without it.
        used_PTT: Both together.
    """

    qkv_3PTK: Tensor
    weights_PTT: Tensor
    noise_PTT: Tensor | None
    used_PTT: Tensor


def attend_short_rows(
    qkv_N3D: Tensor, groups: "Sequence[Group]", num_heads: int, scale: float, dropout: float
) -> Tensor:
    """What every token gathered from its row, ND, in the type of the input.

    Args:
        qkv_N3D: Queries, keys and values, on a CPU.
        groups: The rows that attend together; all tokens are in one of them.
        num_heads: H.
        scale: What the scores are multiplied by.
        dropout: Share of the weights that read nothing; the noise is torch's own generator's.
    """
    mixed: Tensor = _ShortRows.apply(  # type: ignore[no-untyped-call]
        qkv_N3D, groups, num_heads, scale, dropout
    )
    return mixed


class _ShortRows(torch.autograd.Function):
    """See `attend_short_rows`."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, groups: "Sequence[Group]", H: int, scale: float, dropout: float
    ) -> Tensor:
        """Attend, group by group."""
        mixed_ND = qkv.new_empty(len(qkv), qkv.shape[1] // 3)
        ctx.kept, ctx.groups, ctx.scale = [], groups, scale
        for group in groups:
            B, T = group.num_rows, group.longest
            spread = group.spread(qkv[slice(*group.tokens)]).view(B, T, 3, H, -1)
            laid_3BHTK = spread.permute(2, 0, 3, 1, 4)
            qkv_3PTK = torch.empty(laid_3BHTK.shape).copy_(laid_3BHTK).view(3, B * H, T, -1)
            q, k, v = qkv_3PTK.unbind(0)
            scores_PTT = q.mul_(scale) @ k.transpose(1, 2)
            if (bias_B11T := group.bias(torch.float32)) is not None:
                scores_PTT += bias_B11T.expand(B, H, 1, T).reshape(B * H, 1, T)
            weights = scores_PTT.softmax(dim=-1)
            noise, used = None, weights
            if dropout:
                noise = keeping_noise(weights, dropout)
                used = weights * noise
            ctx.kept.append(_Kept(qkv_3PTK, weights, noise, used))
            mixed_ND[slice(*group.tokens)] = _in_a_row((used @ v)[None], group)
        return mixed_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of qkv."""
        N, D = grad_ND.shape
        grad_N3D = grad_ND.new_empty(N, 3 * D)
        for group, kept in zip(ctx.groups, ctx.kept, strict=True):
            q, k, v = kept.qkv_3PTK.unbind(0)
            grad_PTK = _side_by_side(grad_ND[slice(*group.tokens)].float(), group, q.shape)
            grads_3PTK = torch.empty_like(kept.qkv_3PTK)
            torch.bmm(kept.used_PTT.transpose(1, 2), grad_PTK, out=grads_3PTK[2])
            grad_PTT = grad_PTK @ v.transpose(1, 2)
            if kept.noise_PTT is not None:
                grad_PTT *= kept.noise_PTT
            grad_PTT = torch._softmax_backward_data(grad_PTT, kept.weights_PTT, -1, torch.float32)
            torch.bmm(grad_PTT, k, out=grads_3PTK[0]).mul_(ctx.scale)
            torch.bmm(grad_PTT.transpose(1, 2), q, out=grads_3PTK[1])
            grad_N3D[slice(*group.tokens)] = _in_a_row(grads_3PTK, group)
        return grad_N3D, None, None, None, None


def _in_a_row(values_CPTK: Tensor, group: "Group") -> Tensor:
    """C values of each token and head as n x CD, padding left out."""
    C, _, T, K = values_CPTK.shape
    B = group.num_rows
    flat = values_CPTK.view(C, B, -1, T, K).permute(1, 3, 0, 2, 4).reshape(B * T, -1)
    return flat if group.places is None else flat.index_select(0, group.places)


def _side_by_side(values_nD: Tensor, group: "Group", shape_PTK: torch.Size) -> Tensor:
    """The way back for one value, nD to PTK; zeros where padding is."""
    _, T, K = shape_PTK
    B = group.num_rows
    if group.places is not None:
        empty = values_nD.new_zeros(B * T, values_nD.shape[1])
        values_nD = empty.index_copy_(0, group.places, values_nD)
    return values_nD.view(B, T, -1, K).transpose(1, 2).reshape(shape_PTK)
