"""A vector for each text: the mean of the last layer's states over its tokens, <s> and </s> too.

It is what stock `transformers` gives with mean pooling under the attention mask, for a text cut
as stock cuts it.

Shape letters: N texts, B rows, T tokens in a row, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roberta_model.encoder import Encoder
from roberta_model.inference.batches import Text, batches, encode

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Embedded:
    """The vectors of some texts.

    Attributes:
        vectors_ND: float32; zeros for a text of which the tokenizer makes no token.
        tokens_N: How many tokens were read of each.
        is_cut_N: Whether the text was longer than the model reads, and its end was left out.
    """

    vectors_ND: NDArray[np.float32]
    tokens_N: NDArray[np.int32]
    is_cut_N: NDArray[np.bool_]


def embed_texts(
    model: Encoder, cutting: "Tokenizer", texts: Sequence[Text], first: int = 1
) -> Embedded:
    """Return the vectors of texts, in order, and what was read of each.

    Args:
        model: The encoder, whatever stands on it.
        cutting: Its tokenizer, set to cut at the longest row the model reads.
        texts: What is embedded.
        first: The number of the first text, for messages.

    Raises:
        UnusableError: A text is none that an encoding can carry.
    """
    encodings = encode(cutting, texts, first)
    sequences = [encoding.ids for encoding in encodings]
    vectors_ND = np.zeros((len(texts), model.config.width), dtype=np.float32)
    device = next(model.parameters()).device
    with torch.inference_mode():
        for batch in batches(sequences, model.config.pad_id, device):
            hidden_BTD = model.encode(batch.ids_BT, batch.lengths_B)
            vectors_ND[batch.numbers] = _means(hidden_BTD, batch.lengths_B).cpu().numpy()
    return Embedded(
        vectors_ND,
        np.array([len(ids) for ids in sequences], dtype=np.int32),
        np.array([bool(encoding.overflowing) for encoding in encodings], dtype=np.bool_),
    )


def _means(hidden_BTD: Tensor, lengths_B: Tensor | None) -> Tensor:
    """The mean state of each row's real tokens, BD."""
    if lengths_B is None:
        return hidden_BTD.mean(dim=1)
    places_T = torch.arange(hidden_BTD.shape[1], device=hidden_BTD.device)
    is_real_BT1 = (places_T < lengths_B[:, None])[:, :, None]
    return (hidden_BTD * is_real_BT1).sum(dim=1) / lengths_B[:, None]
