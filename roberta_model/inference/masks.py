"""The most likely tokens in place of each <mask>, as the stock fill-mask pipeline ranks them.

Shape letters: B rows, T tokens in a row, D width, M masks, V vocabulary, K guesses.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from roberta_model.inference.batches import batches, encode, too_long
from roberta_model.inference.special_tokens import BERT_MASK, MASK
from roberta_model.inference.unusable import UnusableError
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.scoring import HEAD_ROWS

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Guess(TypedDict):
    """One candidate for one mask.

    token: the text it stands for (a leading space where a word begins); id: its token id;
    score: its probability.
    """

    token: str
    id: int
    score: float


class TextFilled(TypedDict):
    """A text of a file with the guesses for each of its masks; why it has none: it is too long."""

    text: str
    masks: list[list[Guess]]
    why: str | None


def fill_masks(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", texts: Sequence[str], top: int, first: int = 1
) -> list[list[list[Guess]]]:
    """Return for each text and each of its masks the `top` guesses, the likeliest first.

    Args:
        model: The masked LM.
        tokenizer: Its own.
        texts: Each holds any number of <mask>; one without it has no guesses. [MASK], as BERT
            spells it, is read as the same.
        top: How many guesses for each mask; at most the whole vocabulary.
        first: The number of the first text, for messages.

    Raises:
        UnusableError: A text with a mask is longer than the model's positions, or `top` is not
            positive.
    """
    sequences = _with_masks(tokenizer, texts, top, first)
    for number, told in enumerate(too_long(sequences, model.config.max_row_tokens), start=first):
        if told is not None:
            which = "The text" if len(texts) == first == 1 else f"Text {number:,}"
            raise UnusableError(f"{which} has {told}. Shorten it.")
    return _filled(model, tokenizer, sequences, top)


def fill_readable(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", texts: Sequence[str], top: int, first: int = 1
) -> list[TextFilled]:
    """As `fill_masks`, but a text longer than the model's positions is told in its own place."""
    sequences = _with_masks(tokenizer, texts, top, first)
    why = too_long(sequences, model.config.max_row_tokens)
    read = [[] if told else ids for ids, told in zip(sequences, why, strict=True)]
    return [
        TextFilled(text=text, masks=masks, why=told)
        for text, masks, told in zip(texts, _filled(model, tokenizer, read, top), why, strict=True)
    ]


def _with_masks(
    tokenizer: "Tokenizer", texts: Sequence[str], top: int, first: int
) -> list[list[int]]:
    """The ids of each text that holds a mask, and nothing of the others."""
    if top < 1:
        raise UnusableError(f"The number of guesses must be at least 1, not {top}.")
    if tokenizer.token_to_id(BERT_MASK) is None:
        texts = [text.replace(BERT_MASK, MASK) for text in texts]
    mask_id = tokenizer.get_vocab()[MASK]
    sequences = [encoding.ids for encoding in encode(tokenizer, texts, first)]
    return [ids if mask_id in ids else [] for ids in sequences]


def _filled(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", sequences: Sequence[list[int]], top: int
) -> list[list[list[Guess]]]:
    mask_id = tokenizer.get_vocab()[MASK]
    found: list[list[list[Guess]]] = [[] for _ in sequences]
    device = next(model.parameters()).device
    with torch.inference_mode():
        for batch in batches(sequences, model.config.pad_id, device):
            is_mask_BT = batch.ids_BT.eq(mask_id)
            hidden_MD = model.encode(batch.ids_BT, batch.lengths_B)[is_mask_BT]
            rows_M = is_mask_BT.nonzero()[:, 0].tolist()
            for row, guesses in zip(
                rows_M, _guesses(model, tokenizer, hidden_MD, top), strict=True
            ):
                found[batch.numbers[row]].append(guesses)
    return found


def _guesses(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", hidden_MD: Tensor, top: int
) -> list[list[Guess]]:
    """The guesses of each mask from its hidden state."""
    found = []
    for start in range(0, len(hidden_MD), HEAD_ROWS):
        hidden_ND = hidden_MD[start : start + HEAD_ROWS]
        probabilities_NV = model.head(hidden_ND).float().softmax(dim=-1)
        scores_NK, ids_NK = probabilities_NV.topk(min(top, probabilities_NV.shape[1]))
        found += [
            [
                Guess(token=tokenizer.decode([i], skip_special_tokens=False), id=i, score=score)
                for i, score in zip(row, scores, strict=True)
            ]
            for row, scores in zip(ids_NK.tolist(), scores_NK.tolist(), strict=True)
        ]
    return found
