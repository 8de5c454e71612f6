"""RoBERTa's encoder (Liu et al. 2019) in plain torch: post-norm, learned positions; no head.

    ids ──▶ embeddings ──▶ [attention ──▶ + ──▶ norm ──▶ MLP ──▶ + ──▶ norm] x layers

It computes exactly what stock `RobertaModel` does; what differs is speed. Query, key and value
are one product, and on CPUs attention over short rows is two batched products, which there is
faster than the fused kernel.

Shape letters: B rows, T tokens in a row, D width, H heads, K width of one head.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roberta_model.config import ModelConfig
from roberta_model.noise import Dropout, drop

# Fused attention in bf16 on CPU costs 3x two batched products at 128 tokens, 1.2x at 512.
LONGEST_PLAIN_ATTENTION_TOKENS = 512

# Parameters, by the end of their names, that are several matrices one below the other.
FUSED_PARTS = {"attention.qkv.weight": 3}


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
        self.max_row_tokens = config.max_row_tokens
        self.word = nn.Embedding(config.vocab_size, config.width, padding_idx=config.pad_id)
        self.position = nn.Embedding(config.num_positions, config.width, padding_idx=config.pad_id)
        self.token_type = nn.Parameter(torch.zeros(1, config.width))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        """Embedded tokens, BTD.

        Raises:
            ValueError: The rows are longer than the table of positions.
        """
        if input_ids_BT.shape[1] > self.max_row_tokens:
            raise ValueError(
                f"rows of {input_ids_BT.shape[1]} tokens; the model reads at most "
                f"{self.max_row_tokens} (max_row_tokens)"
            )
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
        qkv = self.qkv(x_BTD).view(B, T, 3, H, K)
        # Cut where the three lie: their gradients are then put together as they are needed.
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        mixed_BHTK = self.attend(q, k, v, bias_B11T)
        mixed: Tensor = self.out(mixed_BHTK.transpose(1, 2).reshape(B, T, D))
        return mixed

    def at(self, x_BTD: Tensor, places: "Places", bias_B11T: Tensor | None = None) -> Tensor:
        """What the tokens at some places gathered, MD: their queries, everybody's keys."""
        B, T, D = x_BTD.shape
        H, K, Q = self.num_heads, D // self.num_heads, places.most_in_row
        weight, bias = self.qkv.weight, self.qkv.bias
        q_MD = F.linear(places.take(x_BTD), weight[:D], bias[:D])
        q_BHQK = places.by_row(q_MD, B).view(B, Q, H, K).transpose(1, 2)
        kv = F.linear(x_BTD, weight[D:], bias[D:])
        k, v = (part.transpose(1, 2) for part in kv.view(B, T, 2, H, K).unbind(2))
        mixed_BHQK = self.attend(q_BHQK, k, v, bias_B11T)
        mixed_BQD = mixed_BHQK.transpose(1, 2).reshape(B * Q, D)
        mixed: Tensor = self.out(mixed_BQD.index_select(0, places.slots_M))
        return mixed

    def attend(self, q_BHQK: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """What queries gather from keys and values, each BH.K."""
        dropout = self.attention_dropout if self.training else 0.0
        if k.is_cuda or k.dtype != torch.bfloat16 or k.shape[2] > LONGEST_PLAIN_ATTENTION_TOKENS:
            return F.scaled_dot_product_attention(q_BHQK, k, v, attn_mask=bias, dropout_p=dropout)
        scores_BHQT = (q_BHQK * self.scale) @ k.transpose(-2, -1)
        if bias is not None:
            scores_BHQT = scores_BHQT + bias
        return drop(scores_BHQT.softmax(dim=-1), dropout, self.training) @ v


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
        self.dropout = Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, bias_B11T: Tensor | None = None) -> Tensor:
        """The hidden state after this layer, BTD."""
        return self.finish(x_BTD, self.attention(x_BTD, bias_B11T))

    def at(self, x_BTD: Tensor, places: "Places", bias_B11T: Tensor | None = None) -> Tensor:
        """The hidden state after this layer at some places only, MD."""
        return self.finish(places.take(x_BTD), self.attention.at(x_BTD, places, bias_B11T))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The hidden state of any tokens after this layer, from what they gathered."""
        x = self.attention_norm(x + self.dropout(attended))
        inner = self.outer(F.gelu(self.inner(x)))
        out: Tensor = self.norm(x + self.dropout(inner))
        return out


@dataclass(frozen=True)
class Places:
    """Some places of a batch of rows, M in all.

    Attributes:
        positions_M: Ascending indices into the flattened B x T.
        slots_M: Where each goes when the places are laid out by row, B x most_in_row.
        most_in_row: The most places that one row has.
    """

    positions_M: Tensor
    slots_M: Tensor
    most_in_row: int

    @classmethod
    def of(cls, positions_M: Tensor, T: int, most_in_row: int | None = None) -> "Places":
        """Lay positions out by row; `most_in_row`, if known, spares a wait for the device."""
        rows_M = positions_M // T
        rank_M = torch.arange(len(rows_M), device=rows_M.device)
        rank_M = rank_M - torch.searchsorted(rows_M, rows_M)
        if most_in_row is None:
            most_in_row = int(rank_M.max()) + 1 if len(rank_M) else 1
        return cls(positions_M, rows_M * most_in_row + rank_M, most_in_row)

    def take(self, x_BTD: Tensor) -> Tensor:
        """The hidden states at the places, MD."""
        return x_BTD.flatten(0, 1).index_select(0, self.positions_M)

    def by_row(self, values_MD: Tensor, B: int) -> Tensor:
        """Values of the places by row, [B x most_in_row, D]; empty slots are zero."""
        empty = values_MD.new_zeros(B * self.most_in_row, values_MD.shape[1])
        return empty.index_copy(0, self.slots_M, values_MD)


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
    return hiding_bias(mask_BT, like)


def hiding_bias(mask_BT: Tensor, like: torch.dtype) -> Tensor:
    """The attention bias of a mask (1 = read), B11T."""
    bias_BT = torch.zeros(mask_BT.shape, dtype=like, device=mask_BT.device)
    bias_BT.masked_fill_(~mask_BT.bool(), torch.finfo(like).min)
    return bias_BT[:, None, None, :]


class Encoder(nn.Module):
    """Embeddings and layers. What stands on it is none of its business, see `heads`.

    forward(input_ids_BT, attention_mask_BT=None) -> BTD, the last layer's hidden states
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))

    def encode(
        self,
        input_ids_BT: Tensor,
        lengths_B: Tensor | None = None,
        attention_mask_BT: Tensor | None = None,
    ) -> Tensor:
        """Hidden states BTD. Padding is hidden by lengths or by a mask (1 = read)."""
        x_BTD, bias, last = self._to_last_layer(input_ids_BT, lengths_B, attention_mask_BT)
        hidden: Tensor = last(x_BTD, bias)
        return hidden

    def encode_at(
        self,
        input_ids_BT: Tensor,
        positions_M: Tensor,
        lengths_B: Tensor | None = None,
        most_in_row: int | None = None,
    ) -> Tensor:
        """Hidden states MD at some positions: the last layer is computed for these alone.

        Args:
            input_ids_BT: Token ids.
            positions_M: Ascending indices into the flattened B x T.
            lengths_B: Real tokens of each row; None when all are.
            most_in_row: The most positions that one row has, if known.
        """
        x_BTD, bias, last = self._to_last_layer(input_ids_BT, lengths_B, None)
        places = Places.of(positions_M, input_ids_BT.shape[1], most_in_row)
        return last.at(x_BTD, places, bias)

    def _to_last_layer(
        self, input_ids_BT: Tensor, lengths_B: Tensor | None, attention_mask_BT: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Layer]:
        """The hidden states before the last layer, the attention bias, and that layer."""
        x_BTD: Tensor = self.embeddings(input_ids_BT)
        T = input_ids_BT.shape[1]
        bias = padding_bias(T, lengths_B, attention_mask_BT, x_BTD.dtype)
        for layer in self.layers[:-1]:
            x_BTD = layer(x_BTD, bias)
        return x_BTD, bias, cast(Layer, self.layers[-1])

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None = None) -> Tensor:
        """Hidden states BTD, as stock `RobertaModel` gives them."""
        return self.encode(input_ids_BT, attention_mask_BT=attention_mask_BT)
