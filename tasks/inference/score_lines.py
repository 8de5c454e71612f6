"""How likely a model finds each line of a text, by pseudo-log-likelihood."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from tasks.errors import UserError
from tasks.inference.model_folder import MASK, SPECIAL_TOKENS, load_folder


class LineScore(TypedDict):
    """One line's score.

    text: the line; tokens: how many were scored (special tokens are not); score: the sum of
    their log-probabilities in nats, each given all others; per_token: its mean, comparable
    between lines of different length. Both are None where nothing was scored: 0 is the best
    score there is.
    """

    text: str
    tokens: int
    score: float | None
    per_token: float | None


def score_lines(folder: Path | str, lines: Sequence[str]) -> list[LineScore]:
    """Return the score of each line, in order.

    Special tokens are added as the tokenizer adds them. An empty line has no tokens and no
    score. Lines are read as they are; a special token spelled out in one counts as that token.

    Args:
        folder: Any Hugging Face RoBERTa folder.
        lines: The texts, without line ends.

    Raises:
        UserError: A line is longer than the model's positions (names it), or the folder cannot
            be loaded.
    """
    from roberta_model.scoring import token_log_probabilities

    model, tokenizer = load_folder(folder)
    sequences = [encoding.ids for encoding in tokenizer.encode_batch(list(lines))]
    limit = model.config.max_row_tokens
    for number, ids in enumerate(sequences, start=1):
        if len(ids) > limit:
            raise UserError(
                f"Line {number} has {len(ids)} tokens but the model reads at most {limit}. "
                "Split it into shorter lines."
            )
    known = tokenizer.get_vocab()
    per_token = token_log_probabilities(
        model,
        sequences,
        mask_id=known[MASK],
        special_ids=[known[token] for token in SPECIAL_TOKENS if token in known],
    )
    return [
        LineScore(
            text=line,
            tokens=len(values),
            score=sum(values) if values else None,
            per_token=sum(values) / len(values) if values else None,
        )
        for line, values in zip(lines, per_token, strict=True)
    ]


def score_file(folder: Path | str, path: Path | str) -> list[LineScore]:
    """Return the score of each line of a UTF-8 text file.

    Raises:
        UserError: The file cannot be read or is not UTF-8, or as score_lines.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise UserError(
            f"{path} is not UTF-8 text (byte {problem.start}). Convert it first."
        ) from problem
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return score_lines(folder, [line.removesuffix("\r") for line in lines])
