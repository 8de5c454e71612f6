"""The most likely tokens in place of each <mask>, as the stock fill-mask pipeline ranks them."""

from pathlib import Path
from typing import TypedDict

from tasks.errors import UserError
from tasks.inference.model_folder import MASK, load_folder

BERT_MASK = "[MASK]"


class Guess(TypedDict):
    """One candidate for one mask.

    token: the text it stands for (a leading space where a word begins); id: its token id;
    score: its probability.
    """

    token: str
    id: int
    score: float


def has_mask(text: str) -> bool:
    """Whether there is something to fill in."""
    return MASK in text or BERT_MASK in text


def fill_mask(folder: Path | str, text: str, top: int = 5) -> list[list[Guess]]:
    """Return the `top` guesses for each mask of a text, the likeliest first.

    Args:
        folder: Any Hugging Face RoBERTa folder.
        text: Holds one or more <mask>; [MASK], as BERT spells it, is read as the same.
        top: How many guesses for each mask; at most the whole vocabulary.

    Raises:
        UserError: No mask in the text, the text is longer than the model's positions, top is
            not positive, or the folder cannot be loaded.
    """
    if top < 1:
        raise UserError(f"The number of guesses must be at least 1, not {top}.")
    if not has_mask(text):
        raise UserError(
            f"There is no mask to fill in {_shown(text)}. Write {MASK} (or {BERT_MASK}) where "
            "the missing word is."
        )
    import torch

    model, tokenizer = load_folder(folder)
    mask_id = tokenizer.token_to_id(MASK)
    if tokenizer.token_to_id(BERT_MASK) is None:
        text = text.replace(BERT_MASK, MASK)
    ids = tokenizer.encode(text).ids
    limit = model.config.max_row_tokens
    if len(ids) > limit:
        raise UserError(
            f"The text has {len(ids)} tokens but the model reads at most {limit}. Shorten it."
        )
    ids_T = torch.tensor(ids)
    with torch.inference_mode():
        hidden_TD = model.encode(ids_T[None])[0]
        probabilities_MV = model.head(hidden_TD[ids_T == mask_id]).float().softmax(dim=-1)
        scores_MK, ids_MK = probabilities_MV.topk(min(top, probabilities_MV.shape[1]))
    return [
        [
            Guess(token=tokenizer.decode([i], skip_special_tokens=False), id=i, score=score)
            for i, score in zip(row, scores, strict=True)
        ]
        for row, scores in zip(ids_MK.tolist(), scores_MK.tolist(), strict=True)
    ]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
