"""How likely a model finds texts, by pseudo-log-likelihood."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from roberta_model.inference.batches import encode, too_long
from roberta_model.inference.special_tokens import MASK, special_ids
from roberta_model.inference.unusable import UnusableError
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.scoring import token_log_probabilities

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class LineScore(TypedDict):
    """One text's score.

    text: the text; tokens: how many were scored (special tokens are not); score: the sum of
    their log-probabilities in nats, each given all others; per_token: its mean, comparable
    between texts of different length. Both are None where nothing was scored: 0 is the best
    score there is.
    """

    text: str
    tokens: int
    score: float | None
    per_token: float | None


class LineRead(LineScore):
    """The score of a text that may be longer than the model reads; `why` says that it has none."""

    why: str | None


def score_texts(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", texts: Sequence[str], first: int = 1
) -> list[LineScore]:
    """Return the score of each text, in order.

    Special tokens are added as the tokenizer adds them. An empty text has no tokens and no
    score. Texts are read as they are; a special token spelled out in one counts as that token.

    Args:
        model: The masked LM.
        tokenizer: Its own.
        texts: What is scored.
        first: The number of the first text, for messages.

    Raises:
        UnusableError: A text is longer than the model's positions; names it.
    """
    sequences = [encoding.ids for encoding in encode(tokenizer, texts, first)]
    for number, told in enumerate(too_long(sequences, model.config.max_row_tokens), start=first):
        if told is not None:
            raise UnusableError(
                f"Text {number:,} has {told}. Split it: a window would not see all of what a token "
                "depends on."
            )
    return _scored(model, tokenizer, texts, sequences)


def score_readable(
    model: RobertaMaskedLM, tokenizer: "Tokenizer", texts: Sequence[str], first: int = 1
) -> list[LineRead]:
    """As `score_texts`, but a text longer than the model's positions is told in its own place."""
    sequences = [encoding.ids for encoding in encode(tokenizer, texts, first)]
    why = too_long(sequences, model.config.max_row_tokens)
    read = [[] if told else ids for ids, told in zip(sequences, why, strict=True)]
    scores = _scored(model, tokenizer, texts, read)
    return [LineRead(**score, why=told) for score, told in zip(scores, why, strict=True)]


def _scored(
    model: RobertaMaskedLM,
    tokenizer: "Tokenizer",
    texts: Sequence[str],
    sequences: Sequence[list[int]],
) -> list[LineScore]:
    known = tokenizer.get_vocab()
    per_token = token_log_probabilities(
        model, sequences, mask_id=known[MASK], special_ids=special_ids(known)
    )
    return [
        LineScore(
            text=text,
            tokens=len(values),
            score=sum(values) if values else None,
            per_token=sum(values) / len(values) if values else None,
        )
        for text, values in zip(texts, per_token, strict=True)
    ]
