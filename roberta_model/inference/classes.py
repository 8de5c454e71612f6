"""The classes of texts, as the stock text-classification pipeline gives them.

Shape letters: B rows, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from roberta_model.heads import RobertaWithHead, SequenceClassificationHead
from roberta_model.inference.batches import Text, batch_tokens, encode
from roberta_model.predicting import logits_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Classified(TypedDict):
    """One text's class.

    label: the likeliest class; score: its probability, or for a regression the value itself;
    scores: those of every class. They add up to 1, but for several labels at once
    (`multi_label_classification`), where each is a probability of its own.
    """

    label: str
    score: float
    scores: dict[str, float]


def classify_texts(
    model: RobertaWithHead, cutting: "Tokenizer", texts: Sequence[Text], config: Mapping[str, Any]
) -> list[Classified]:
    """Return the class of each text, in order.

    Args:
        model: Has a SequenceClassificationHead.
        cutting: Its tokenizer, set to cut at the longest row the model reads.
        texts: Texts, or pairs of them for a model that was fine-tuned on pairs.
        config: The folder's `config.json`, whose `problem_type` says what the logits mean.

    Raises:
        UnusableError: A text is none that an encoding can carry.
    """
    head = model.head_module
    assert isinstance(head, SequenceClassificationHead)
    sequences = [encoding.ids for encoding in encode(cutting, texts)]
    # No model reads a text without a token; padding is what stock would give it.
    sequences = [ids or [model.config.pad_id] for ids in sequences]
    found = logits_of(model, sequences, batch_tokens(next(model.parameters()).device))
    if not found:
        return []
    scores_BC = class_scores(torch.from_numpy(np.stack(found)), config.get("problem_type"))
    return [_classified(head.labels, row) for row in scores_BC.tolist()]


def class_scores(logits_BC: Tensor, problem_type: str | None) -> Tensor:
    """What the logits of a kind of problem mean, BC.

    >>> class_scores(torch.tensor([[0.0, 0.0]]), None).tolist()
    [[0.5, 0.5]]
    >>> class_scores(torch.tensor([[0.0, 0.0]]), "multi_label_classification").tolist()
    [[0.5, 0.5]]
    >>> class_scores(torch.tensor([[3.25]]), "regression").tolist()
    [[3.25]]
    """
    if problem_type == "regression":
        return logits_BC
    if problem_type == "multi_label_classification" or logits_BC.shape[1] == 1:
        return logits_BC.sigmoid()
    return logits_BC.softmax(dim=1)


def _classified(labels: Sequence[str], row: Sequence[float]) -> Classified:
    best = max(range(len(row)), key=row.__getitem__)
    return Classified(
        label=labels[best], score=row[best], scores=dict(zip(labels, row, strict=True))
    )
