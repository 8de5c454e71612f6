"""The masked LM: an encoder with its head, which runs on chosen positions only.

The decoder's weights are the word embeddings themselves (tied), so they are one parameter, and
a folder does not hold them a second time.

Shape letters: B rows, T tokens in a row, D width, N positions, V vocabulary.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roberta_model.config import ModelConfig
from roberta_model.heads import Head, RobertaWithHead
from roberta_model.huggingface import load_with_head


class MaskedLMHead(Head):
    """RoBERTa's LM head: dense, gelu, norm, then the encoder's word embeddings and a bias."""

    architecture = "RobertaForMaskedLM"
    name = "lm_head"
    stock_names: ClassVar[Mapping[str, str]] = {
        "dense.": "lm_head.dense.",
        "norm.": "lm_head.layer_norm.",
        "bias": "lm_head.bias",
    }
    other_names: ClassVar[Mapping[str, str]] = {"lm_head.bias": "lm_head.decoder.bias"}
    copies: ClassVar[Mapping[str, str]] = {
        "roberta.embeddings.word_embeddings.weight": "lm_head.decoder.weight",
        "lm_head.bias": "lm_head.decoder.bias",
    }

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    @classmethod
    def from_huggingface(cls, config: ModelConfig, values: Mapping[str, Any]) -> Self:
        """The head of a masked LM.

        Raises:
            ValueError: It has a decoder of its own.
        """
        tied = values.get("tie_word_embeddings")
        if tied not in (None, True):
            raise ValueError(
                f"config.json says tie_word_embeddings: {tied!r}; only True is supported"
            )
        return cls(config)

    def to_huggingface(self) -> dict[str, Any]:
        """That the decoder is the word embeddings."""
        return {**super().to_huggingface(), "tie_word_embeddings": True}

    def on_encoder(self, config: ModelConfig) -> "RobertaMaskedLM":
        """A new encoder with this head on it, its decoder the encoder's word embeddings."""
        return RobertaMaskedLM(config, self)

    def transform(self, hidden_ND: Tensor) -> Tensor:
        """What the decoder is applied to, ND."""
        transformed: Tensor = self.norm(F.gelu(self.dense(hidden_ND)))
        return transformed


class RobertaMaskedLM(RobertaWithHead):
    """RoBERTa for masked language modelling.

    forward(input_ids_BT, attention_mask_BT=None) -> logits_BTV, as stock; training and scoring
    ask for `encode_at` and `head` instead.
    """

    lm_head: MaskedLMHead

    def __init__(self, config: ModelConfig, head: MaskedLMHead | None = None) -> None:
        super().__init__(config, head or MaskedLMHead(config))

    def head(self, hidden: Tensor) -> Tensor:
        """Logits NV of some hidden states ND."""
        return self.decode(self.lm_head.transform(hidden))

    def decode(self, transformed_ND: Tensor) -> Tensor:
        """The tied decoder: logits NV."""
        return F.linear(transformed_ND, self.embeddings.word.weight, self.lm_head.bias)


def load_masked_lm(folder: Path) -> RobertaMaskedLM:
    """Read a Hugging Face RoBERTa folder as a masked LM, in fp32, ready for inference.

    Raises:
        ValueError: Weights are missing, the head's too, of other shapes, or not in safetensors.
    """
    model = load_with_head(folder, MaskedLMHead)
    assert isinstance(model, RobertaMaskedLM)
    return model
