"""Dropout, whose noise on CPUs costs a fifth of torch's: sixteen random bits a value.

torch draws a float of 53 bits for each value that it keeps or drops, which on a small encoder
takes as long as a layer. Here one draw of 64 bits decides on four values. The noise is torch's own
generator's, and a function of its seed; on GPUs it is torch's dropout as it is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BITS = 16
_STEPS = 1 << _BITS
_LANES = 64 // _BITS


def keeping_noise(like: Tensor, share: float) -> Tensor:
    """Zeros for this share of values and 1 / (1 - share) for the others, on a CPU.

    Args:
        like: Has the shape and the type of the noise.
        share: Below 1; what is dropped is the next multiple of 2^-16.
    """
    dropped = min(round(share * _STEPS), _STEPS - 1)
    size = like.numel()
    drawn = torch.empty(-(-size // _LANES), dtype=torch.int64).random_(-(1 << 63), None)
    bits = drawn.view(torch.int16)[:size].view(like.shape)
    kept, none = like.new_tensor(_STEPS / (_STEPS - dropped)), like.new_zeros(())
    return torch.where(bits.ge(dropped - _STEPS // 2), kept, none)


def drop(x: Tensor, share: float, is_training: bool) -> Tensor:
    """As torch's dropout: in training some values are zero and the others larger for it."""
    if not is_training or share == 0 or x.device.type != "cpu":
        return F.dropout(x, share, is_training)
    return x * keeping_noise(x, share)


class Dropout(nn.Dropout):
    """Stock's layer, with noise that is cheap on CPUs.

    forward(x) -> the same shape
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop some values, in training."""
        return drop(input, self.p, self.training)
