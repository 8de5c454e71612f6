"""The masked-LM loss: a softmax over candidates, summed over the masked tokens.

    L = - sum_i log( exp s(i, j_i) / sum_{k in N(i)} exp s(i, k) )

N(i) is the whole vocabulary, or only the distinct targets of the whole global batch: never of
the piece of it the loss is given, or the loss would depend on how a batch is cut up.
Sums, not means: the training divides once by the masked tokens of the whole global batch.

Shape letters: M masked positions, D width, V vocabulary, C candidates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from roberta_model.masked_lm import RobertaMaskedLM

# Logits of one chunk: 64 Mi numbers, 256 MB in fp32.
_CHUNK_LOGITS = 1 << 26


def masked_lm_loss_sum(
    model: RobertaMaskedLM,
    hidden_MD: Tensor,
    targets_M: Tensor,
    candidates_C: Tensor | None = None,
) -> Tensor:
    """The summed loss (fp32 scalar) of the masked positions.

    Args:
        model: Gives the head; its decoder runs on the masked positions only.
        hidden_MD: The encoder's output at the masked positions.
        targets_M: The original token at each.
        candidates_C: N(i), ascending ids that all targets are among; None is the vocabulary.
    """
    hidden_MD = model.lm_head.transform(hidden_MD)
    weight_CD: Tensor = model.embeddings.word.weight
    bias_C: Tensor = model.lm_head.bias
    if candidates_C is not None:
        targets_M = torch.searchsorted(candidates_C, targets_M)
        weight_CD = weight_CD.index_select(0, candidates_C)
        bias_C = bias_C.index_select(0, candidates_C)
    rows = max(1, _CHUNK_LOGITS // max(1, len(bias_C)))
    total = hidden_MD.new_zeros((), dtype=torch.float32)
    for part_ND, targets_N in zip(
        torch.split(hidden_MD, rows), torch.split(targets_M, rows), strict=True
    ):
        logits_NC = F.linear(part_ND, weight_CD, bias_C).float()
        total = total + F.cross_entropy(logits_NC, targets_N, reduction="sum")
    return total
