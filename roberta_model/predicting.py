"""A model's answers for many rows: sorted by length, so that next to nothing is padding.

Shape letters: N rows, T tokens of a row, C classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from roberta_model.data.examples import cut_by_length, padded_ids
from roberta_model.heads import RobertaWithHead, SequenceClassificationHead
from roberta_model.threads import map_in_threads

BATCH_TOKENS = 4096

Logits = NDArray[np.float32]


def logits_of(
    model: RobertaWithHead,
    rows: Sequence[Sequence[int]],
    batch_tokens: int = BATCH_TOKENS,
    workers: int | None = None,
) -> list[Logits]:
    """The logits of each row, in order: C of a sequence classifier, else T x C.

    Args:
        model: In evaluation mode, on its device.
        rows: Token ids, special tokens included; none longer than the model reads.
        batch_tokens: Of one forward pass, padding included.
        workers: Threads, each with forward passes of its own: the same logits for any number.
            Without it one pass after the other, with as many threads as torch is set to.
    """
    device = next(model.parameters()).device
    arrays = [np.asarray(row, dtype=np.int32) for row in rows]
    lengths = np.array([len(row) for row in arrays], dtype=np.int64)
    found: list[Logits] = [np.empty(0, dtype=np.float32)] * len(arrays)
    is_sequence = isinstance(model.head_module, SequenceClassificationHead)

    def compute(group: NDArray[np.int64]) -> Logits:
        ids_BT, lengths_B = padded_ids([arrays[n] for n in group], model.config.pad_id)
        ids_BT = ids_BT.to(device)
        lengths_B = None if lengths_B is None else lengths_B.to(device)
        with torch.inference_mode():  # which each thread has for itself
            if is_sequence:
                firsts_B = torch.arange(len(group), device=device) * ids_BT.shape[1]
                hidden_BD = model.encode_at(ids_BT, firsts_B, lengths_B, most_in_row=1)
                logits = model.head(hidden_BD[:, None])
            else:
                logits = model.head(model.encode(ids_BT, lengths_B))
            answer: Logits = logits.float().cpu().numpy()
        return answer

    groups = _groups(lengths, batch_tokens)
    if workers is None:
        computed = list(map(compute, groups))
    else:
        computed = map_in_threads(compute, groups, workers)
    for group, logits in zip(groups, computed, strict=True):
        for number, row in zip(group, logits, strict=True):
            found[number] = row if is_sequence else row[: lengths[number]]
    return found


_MOST_ROWS = 1024  # cutting takes the square of it


def _groups(lengths: NDArray[np.int64], batch_tokens: int) -> list[NDArray[np.int64]]:
    order = np.argsort(-lengths, kind="stable")
    groups = []
    for start in range(0, len(order), _MOST_ROWS):
        part = order[start : start + _MOST_ROWS]
        groups += [part[group] for group in cut_by_length(lengths[part], 32, batch_tokens)]
    return groups
