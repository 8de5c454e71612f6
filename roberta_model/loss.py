"""The masked-LM loss: a softmax over candidates, summed over the masked tokens.

    L = - sum_i log( exp s(i, j_i) / sum_{k in N(i)} exp s(i, k) )

N(i) is the whole vocabulary, or only the distinct targets of the batch the loss is given.
Sums, not means: the training divides once by the masked tokens of the whole global batch.

Shape letters: M masked positions, D width, V vocabulary, C candidates.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from roberta_model.masked_lm import RobertaMaskedLM

Candidates = Literal["vocabulary", "batch"]

# Logits of one chunk: 64 Mi numbers, 256 MB in fp32.
_CHUNK_LOGITS = 1 << 26


def masked_lm_loss_sum(
    model: RobertaMaskedLM,
    hidden_MD: Tensor,
    targets_M: Tensor,
    candidates: Candidates = "vocabulary",
) -> Tensor:
    """The summed loss (fp32 scalar) of the masked positions.

    Args:
        model: Gives the head; its decoder runs on the masked positions only.
        hidden_MD: The encoder's output at the masked positions.
        targets_M: The original token at each.
        candidates: What N(i) is. With "batch" it is the set of distinct `targets_M`.
    """
    hidden_MD = model.lm_head.transform(hidden_MD)
    if candidates == "batch":
        ids_C, targets_M = torch.unique(targets_M, return_inverse=True)
        weight_CD = model.embeddings.word.weight.index_select(0, ids_C)
        bias_C = model.lm_head.bias.index_select(0, ids_C)
    else:
        weight_CD, bias_C = model.embeddings.word.weight, model.lm_head.bias
    rows = max(1, _CHUNK_LOGITS // len(bias_C))
    total = hidden_MD.new_zeros((), dtype=torch.float32)
    for part_ND, targets_N in zip(
        torch.split(hidden_MD, rows), torch.split(targets_M, rows), strict=True
    ):
        logits_NC = F.linear(part_ND, weight_CD, bias_C).float()
        total = total + F.cross_entropy(logits_NC, targets_N, reduction="sum")
    return total
