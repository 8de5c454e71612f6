"""What a masked language model would put at several masks of a sentence at once.

Shapes: B sentences, T tokens, K masks of a sentence, V vocabulary, M positions.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from roberta_model.scoring import HEAD_ROWS, scoring


def log_probabilities_at_masks(
    model: nn.Module, sentences: Sequence[Sequence[int]], mask_id: int, batch_tokens: int = 8192
) -> Iterator[tuple[int, Tensor]]:
    """Yield (number of a sentence, log-probabilities [K, V] at its masks), in no order.

    Sentences are batched with others of their length, so there is no padding; the head runs at
    the masks alone.

    Args:
        model: Has encode_at and head, see MaskedLM.
        sentences: Token ids; each holds a mask at least.
        mask_id: The id of <mask>.
        batch_tokens: Tokens in one forward pass.
    """
    by_shape: dict[tuple[int, int], list[int]] = {}
    for number, ids in enumerate(sentences):
        by_shape.setdefault((len(ids), list(ids).count(mask_id)), []).append(number)
    with scoring(model) as (encoder, device):
        for (num_tokens, num_masks), numbers in sorted(by_shape.items()):
            step = max(1, min(batch_tokens // num_tokens, HEAD_ROWS // num_masks))
            for start in range(0, len(numbers), step):
                chosen = numbers[start : start + step]
                ids_BT = torch.from_numpy(np.array([sentences[n] for n in chosen], dtype=np.int64))
                positions_M = (ids_BT.flatten() == mask_id).nonzero()[:, 0].to(device)
                hidden_MD = encoder.encode_at(ids_BT.to(device), positions_M, most_in_row=num_masks)
                logits_BKV = encoder.head(hidden_MD).float().view(len(chosen), num_masks, -1)
                yield from zip(chosen, logits_BKV.log_softmax(dim=-1).cpu(), strict=True)
