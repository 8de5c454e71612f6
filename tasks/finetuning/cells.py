"""What a cell of labelled data may hold: text, words, a label; or a refusal of the record."""

import math
from collections.abc import Mapping
from typing import Any

from roberta_model.inference.encodable import lone_half
from roberta_model.recipe import TaskName
from tasks.errors import UserError


def text_of(value: Any, column: str, where: str) -> str:
    """A cell's text.

    Raises:
        UserError: it holds none, or none that an encoding can carry.
    """
    if isinstance(value, str):
        _require_encodable(value, column, where)
        return value
    raise UserError(f"{where}: {column!r} holds {kind_of(value)}, not text. Mend the record.")


def words_of(value: Any, column: str, where: str) -> list[str]:
    """The words of a row to tag: a list of them, or text with spaces between them.

    Raises:
        UserError: it holds none.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise UserError(
            f"{where}: {column!r} holds {kind_of(value)}, not a list of words or words with spaces "
            "between them. Mend the record."
        )
    _require_encodable("".join(words), column, where)
    return words


def kind_of(value: Any) -> str:
    """What a cell holds, in short, for messages."""
    return "nothing" if value is None else f"{str(value)[:40]!r}"


def check_label(task: TaskName, label: Any, text: Any, column: str, where: str) -> None:
    """Refuse a cell that holds no label for its task, or not as many as the text has words.

    Raises:
        UserError: says what it holds.
    """
    parts = label if isinstance(label, list | tuple) and task != "qa" else [label]
    if any(map(_is_missing, parts)):
        raise UserError(
            f"{where}: there is no label in {column!r}. Every row to learn from or to score needs "
            "one; label it or remove the row."
        )
    for part in parts:
        if task not in ("qa", "regress"):
            _check_class(part, column, where)
        if isinstance(part, str):
            _require_encodable(part, column, where)
    if task == "tag":
        tags = label.split() if isinstance(label, str) else label
        if not isinstance(tags, list) or len(tags) != len(text):
            count = len(tags) if isinstance(tags, list) else "no list of"
            raise UserError(
                f"{where}: {column!r} has {count} tags for {len(text)} words. Each word needs one; "
                "mend the record."
            )


def _check_class(part: Any, column: str, where: str) -> None:
    """Refuse what would be learnt as a class and is meant as none."""
    if isinstance(part, Mapping | list | tuple | bytes):
        raise UserError(
            f"{where}: {column!r} holds {kind_of(part)}, which is a structure and no class. Name "
            "the column or key with the label alone by columns.label (--label), or make one of it."
        )
    if isinstance(part, str) and part.strip().lower() == "nan":
        raise UserError(
            f"{where}: {column!r} holds {part.strip()!r}, which tables write where there is no "
            "label. Label the row or remove it; a class that is really called so needs another "
            "name."
        )


def _require_encodable(text: str, column: str, where: str) -> None:
    if (half := lone_half(text)) is not None:
        raise UserError(f"{where}: {column!r} holds {half}. Mend the record.")


def _is_missing(label: Any) -> bool:
    """Whether a label is none: nothing, white space, or the NaN that tables have for it."""
    if isinstance(label, float):
        return not math.isfinite(label)
    return label is None or (isinstance(label, str) and not label.strip())
