"""A tag for each word: that of the word's first token."""

from collections.abc import Sequence
from typing import TypedDict

from roberta_model.heads import RobertaWithHead, TokenClassificationHead
from roberta_model.inference.batches import require_encodable
from roberta_model.inference.task_rows import TaskRows, WordRow
from roberta_model.inference.unusable import UnusableError
from roberta_model.predicting import logits_of


class Tagged(TypedDict):
    """One word of a text, and the likeliest tag for it."""

    word: str
    tag: str


def tag_texts(
    model: RobertaWithHead, task_rows: TaskRows, texts: Sequence[str | Sequence[str]]
) -> list[list[Tagged]]:
    """Return the tag of each word of each text, in order.

    Args:
        model: Has a TokenClassificationHead.
        task_rows: Makes its rows.
        texts: Texts, whose words are parted by white space, or lists of words.

    Raises:
        UnusableError: A word is empty, has more tokens than a row, or is none that an encoding
            can carry; names the text's number.
    """
    every = [text.split() if isinstance(text, str) else list(text) for text in texts]
    rows = []
    for number, words in enumerate(every, start=1):
        require_encodable(words, number)
        if not all(words):
            raise UnusableError(f"Text {number:,} holds an empty word. Leave it out.")
        try:
            rows.append(task_rows.word_rows(words))
        except UnusableError as problem:
            raise UnusableError(f"Text {number:,}: {problem}") from problem
    return [
        [Tagged(word=word, tag=tag) for word, tag in zip(words, tags, strict=True)]
        for words, tags in zip(every, tags_of(model, rows), strict=True)
    ]


def tags_of(
    model: RobertaWithHead, rows: Sequence[Sequence[WordRow]], workers: int | None = None
) -> list[list[str]]:
    """The tags of some items' words, in order.

    Args:
        model: Has a TokenClassificationHead.
        rows: Of each item the rows that hold its words.
        workers: As `logits_of`.
    """
    head = model.head_module
    assert isinstance(head, TokenClassificationHead)
    found = iter(logits_of(model, [row.ids for part in rows for row in part], workers=workers))
    return [
        [head.labels[best] for row in part for best in next(found)[row.places].argmax(axis=1)]
        for part in rows
    ]
