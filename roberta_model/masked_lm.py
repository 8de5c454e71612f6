"""The encoder with its masked-LM head: the head runs on chosen positions only.

The decoder's weights are the word embeddings themselves (tied), so they are one parameter.

Shape letters: B rows, T tokens in a row, D width, N positions, V vocabulary.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roberta_model.config import ModelConfig
from roberta_model.encoder import Embeddings, Layer, Places, padding_bias


class Head(nn.Module):
    """RoBERTa's LM head: dense, gelu, norm, then the (tied) decoder with a bias."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def transform(self, hidden_ND: Tensor) -> Tensor:
        """What the decoder is applied to, ND."""
        transformed: Tensor = self.norm(F.gelu(self.dense(hidden_ND)))
        return transformed


class RobertaMaskedLM(nn.Module):
    """RoBERTa for masked language modelling.

    forward(input_ids_BT, attention_mask_BT=None) -> logits_BTV, as stock
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.lm_head = Head(config)

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

    def head(self, hidden_ND: Tensor) -> Tensor:
        """Logits NV of some hidden states."""
        return self.decode(self.lm_head.transform(hidden_ND))

    def decode(self, transformed_ND: Tensor) -> Tensor:
        """The tied decoder: logits NV."""
        return F.linear(transformed_ND, self.embeddings.word.weight, self.lm_head.bias)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None = None) -> Tensor:
        """Logits of every position; training asks for `encode` and `head` instead."""
        return self.head(self.encode(input_ids_BT, attention_mask_BT=attention_mask_BT))
