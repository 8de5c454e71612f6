"""The encoder with its masked-LM head: the head runs on chosen positions only.

The decoder's weights are the word embeddings themselves (tied), so they are one parameter.

Shape letters: B rows, T tokens in a row, D width, N positions, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roberta_model.config import ModelConfig
from roberta_model.encoder import Encoder


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


class RobertaMaskedLM(Encoder):
    """RoBERTa for masked language modelling: an encoder with the head on it.

    forward(input_ids_BT, attention_mask_BT=None) -> logits_BTV, as stock
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.lm_head = Head(config)

    def head(self, hidden_ND: Tensor) -> Tensor:
        """Logits NV of some hidden states."""
        return self.decode(self.lm_head.transform(hidden_ND))

    def decode(self, transformed_ND: Tensor) -> Tensor:
        """The tied decoder: logits NV."""
        return F.linear(transformed_ND, self.embeddings.word.weight, self.lm_head.bias)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor | None = None) -> Tensor:
        """Logits of every position; training asks for `encode` and `head` instead."""
        return self.head(self.encode(input_ids_BT, attention_mask_BT=attention_mask_BT))
