"""RoBERTa's encoder (Liu et al. 2019) in plain torch: post-norm, learned positions.

    ids ──▶ embeddings ──▶ [attention ──▶ + ──▶ norm ──▶ MLP ──▶ + ──▶ norm] x layers

It computes exactly what stock `RobertaModel` does; what differs is speed. Query, key and value
are one product, and on CPUs attention over short rows is two batched products, which there is
faster than the fused kernel.

Shape letters: B rows, T tokens in a row, D width, H heads, K width of one head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roberta_model.config import ModelConfig

# Fused attention in bf16 on CPU costs 3x two batched products at 128 tokens, 1.2x at 512.
LONGEST_PLAIN_ATTENTION_TOKENS = 512


def position_ids(input_ids_BT: Tensor, pad_id: int) -> Tensor:
    """Positions as stock numbers them: padding_idx + 1 onward, padding_idx for padding."""
    real_BT = input_ids_BT.ne(pad_id)
    return real_BT.cumsum(dim=1) * real_BT + pad_id


class Embeddings(nn.Module):
    """Sum of word, position and (constant) type embeddings, normalised.

    forward(input_ids_BT) -> BTD
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pad_id = config.pad_id
        self.word = nn.Embedding(config.vocab_size, config.width, padding_idx=config.pad_id)
        positions = config.max_row_tokens + config.pad_id + 1
        self.position = nn.Embedding(positions, config.width, padding_idx=config.pad_id)
        self.token_type = nn.Parameter(torch.zeros(1, config.width))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        """Embedded tokens, BTD."""
        positions_BT = position_ids(input_ids_BT, self.pad_id)
        x_BTD = self.word(input_ids_BT) + self.token_type + self.position(positions_BT)
        embedded: Tensor = self.dropout(self.norm(x_BTD))
        return embedded


class SelfAttention(nn.Module):
    """Bidirectional multi-head attention: every token reads every allowed token.

    forward(x_BTD, bias_B11T=None) -> BTD
      bias_B11T  added to the scores: 0 where a token may be read, -inf where it may not.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.scale = 1 / math.sqrt(config.width // config.num_heads)
        self.attention_dropout = config.attention_dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor | None = None) -> Tensor:
        """What every token gathered from the others, BTD."""
        B, T, D = x_BTD.shape
        H, K = self.num_heads, D // self.num_heads
        q, k, v = self.qkv(x_BTD).view(B, T, 3, H, K).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.attention_dropout if self.training else 0.0
        plain = not x_BTD.is_cuda and T <= LONGEST_PLAIN_ATTENTION_TOKENS
        if plain and x_BTD.dtype == torch.bfloat16:
            scores_BHTT = (q * self.scale) @ k.transpose(-2, -1)
            if bias_B11T is not None:
                scores_BHTT = scores_BHTT + bias_B11T
            weights_BHTT = F.dropout(scores_BHTT.softmax(dim=-1), dropout, self.training)
            mixed_BHTK = weights_BHTT @ v
        else:
            mixed_BHTK = F.scaled_dot_product_attention(
                q, k, v, attn_mask=bias_B11T, dropout_p=dropout
            )
        mixed: Tensor = self.out(mixed_BHTK.transpose(1, 2).reshape(B, T, D))
        return mixed


class Layer(nn.Module):
    """One post-norm encoder layer.

    forward(x_BTD, bias_B11T=None) -> BTD
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.inner = nn.Linear(config.width, config.feedforward_width)
        self.outer = nn.Linear(config.feedforward_width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor | None = None) -> Tensor:
        """The hidden state after this layer, BTD."""
        x_BTD = self.attention_norm(x_BTD + self.dropout(self.attention(x_BTD, bias_B11T)))
        inner = self.outer(F.gelu(self.inner(x_BTD)))
        out: Tensor = self.norm(x_BTD + self.dropout(inner))
        return out


def padding_bias(
    T: int, lengths_B: Tensor | None, mask_BT: Tensor | None, like: torch.dtype
) -> Tensor | None:
    """The attention bias that hides padding, from lengths or from a mask (1 = read).

    Returns None when nothing is hidden, which is faster.
    """
    if mask_BT is None and lengths_B is not None:
        mask_BT = torch.arange(T, device=lengths_B.device) < lengths_B[:, None]
    if mask_BT is None or bool(mask_BT.all()):
        return None
    bias_BT = torch.zeros(mask_BT.shape, dtype=like, device=mask_BT.device)
    bias_BT.masked_fill_(~mask_BT.bool(), torch.finfo(like).min)
    return bias_BT[:, None, None, :]
