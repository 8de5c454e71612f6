"""Labelled rows as items of a task: which columns they stand in, and what is wrong with them.

A column that is not named is guessed from the names that public data sets use, and said.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from roberta_model.inference.reading import Columns
from roberta_model.recipe import TaskName
from tasks.config.downstream import ColumnsConfig
from tasks.errors import UserError
from tasks.finetuning.cells import check_label, kind_of, text_of, words_of
from tasks.formats.rows import Row, RowFormat, read_rows

T = TypeVar("T")

_ITEMS_AT_ONCE = 1024
_TEXTS = ("text", "sentence", "review", "content", "document", "comment", "body", "title")
_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question", "sentence"),
    ("query", "passage"),
)
_LABELS = ("label", "labels", "class", "category", "sentiment", "target", "gold", "tag", "topic")
_NUMBERS = ("score", "label", "rating", "stars", "value", "target")
_WORDS = ("tokens", "words", "text", "sentence")
_TAGS = ("tags", "ner_tags", "pos_tags", "labels", "label")


class Item(NamedTuple):
    """One row of a task.

    Attributes:
        where: The file and the line or record.
        text: The text, or the question; the words of a row to tag.
        second: The second text, or the context.
        label: As it stands there; None where there is none.
    """

    where: str
    text: Any
    second: str | None
    label: Any


@dataclass(frozen=True)
class Answer:
    """A right answer, and its first character in the context; -1 where that is not told."""

    text: str
    start: int


def find_columns(
    task: TaskName, row: Mapping[str, Any], given: ColumnsConfig, where: str, *, labelled: bool
) -> Columns:
    """The columns of a task, as given or guessed from a first row.

    Raises:
        UserError: one is not there, or none can be guessed.
    """
    for part in ("text", "second", "label"):
        name = getattr(given, part)
        if name is not None and name not in row and (part != "label" or labelled):
            raise UserError(
                f"{where}: there is no column {name!r} (columns.{part}). It has {_shown(row)}."
            )
    text, second = given.text, given.second
    known = next((pair for pair in _PAIRS if set(pair) <= set(row)), None)
    if task == "qa":
        text = text or _guess(row, ("question",), "text", where)
        second = second or _guess(row, ("context", "passage", "paragraph"), "second", where)
    elif task == "pair":
        if text is None or second is None:
            if known is None:
                raise UserError(
                    f"{where}: which columns hold the two texts? It has {_shown(row)}. Name them "
                    "with columns.text and columns.second (--text and --second)."
                )
            text, second = _completed(text, second, known)
    elif task == "regress":
        if text is None and known is not None:
            text, second = _completed(text, second, known)
        text = text or _guess(row, _TEXTS, "text", where, but=(second,))
    else:
        names = _WORDS if task == "tag" else _TEXTS
        text = text or _guess(row, names, "text", where, but=(second,))
    label = given.label
    if label is None and labelled:
        likely = {"qa": ("answers", "answer"), "tag": _TAGS, "regress": _NUMBERS}
        label = _guess(row, likely.get(task, _LABELS), "label", where, but=(text, second))
    return Columns(text, second, label if labelled else None)


def _completed(text: str | None, second: str | None, pair: tuple[str, str]) -> tuple[str, str]:
    """The two columns of a pair of texts, of which one or both may be given.

    >>> _completed("premise", None, ("premise", "hypothesis"))
    ('premise', 'hypothesis')
    >>> _completed("hypothesis", None, ("premise", "hypothesis"))
    ('hypothesis', 'premise')
    """
    first, last = pair
    text = text or (last if second == first else first)
    return text, second or (first if text == last else last)


def _guess(
    row: Mapping[str, Any],
    names: Sequence[str],
    part: str,
    where: str,
    but: Sequence[str | None] = (),
) -> str:
    """The first column by one of some names, but for those that are another part's."""
    by_small = {name.lower(): name for name in row if name not in but}
    for name in names:
        if name in by_small:
            return by_small[name]
    what = {"text": "the text", "second": "the context", "label": "the label"}[part]
    raise UserError(
        f"{where}: which column holds {what}? It has {_shown(row)}. Name it with columns.{part} "
        f"(--{part})."
    )


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in list(row)[:20]) or "no columns"


def read_items(
    path: Path,
    task: TaskName,
    columns: Columns,
    form: RowFormat = "auto",
    name: str | None = None,
) -> Iterator[Item]:
    """The items of a file; with labels where the columns have one.

    Args:
        path: The file.
        task: What they are for.
        columns: Where their parts stand.
        form: How the file is read.
        name: What to call it, where that is not its path.

    Raises:
        UserError: a row cannot be read, or lacks what it must have.
    """
    for where, row in read_rows(path, form, name):
        yield item_of(row, task, columns, where)


def item_of(row: Mapping[str, Any], task: TaskName, columns: Columns, where: str) -> Item:
    """One row as an item.

    Raises:
        UserError: it lacks what it must have.
    """
    value = _value(row, columns.text, where)
    text: Any = (words_of if task == "tag" else text_of)(value, columns.text, where)
    second = label = None
    if columns.second is not None:
        second = text_of(_value(row, columns.second, where), columns.second, where)
    if columns.label is not None:
        label = _value(row, columns.label, where)
        check_label(task, label, text, columns.label, where)
    return Item(where, text, second, label)


def first_row(path: Path, form: RowFormat, name: str | None = None) -> Row:
    """The first row of a file.

    Raises:
        UserError: there is none.
    """
    found = next(read_rows(path, form, name), None)
    if found is None:
        raise UserError(f"{name or path} holds no rows. Give a file that does.")
    return found


def _value(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise UserError(f"{where}: there is no {column!r}. It has {_shown(row)}. Mend the record.")
    return row[column]


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Some items at a time, so that memory does not grow with a file."""
    every = iter(items)
    while part := list(islice(every, _ITEMS_AT_ONCE)):
        yield part


def answers_of(item: Item) -> list[Answer]:
    """The right answers of a question; none where the context has none.

    SQuAD's list of objects, one object, one of lists (as Hugging Face stores it), or plain text.

    Raises:
        UserError: they are of no such form.
    """
    label = item.label
    if isinstance(label, Mapping):
        pairs = _answer_pairs(label.get("text"), label.get("answer_start"))
    elif isinstance(label, str):
        pairs = [(label, -1)]
    elif isinstance(label, list):
        pairs = [
            (a.get("text"), a.get("answer_start", -1)) if isinstance(a, Mapping) else (a, -1)
            for a in label
        ]
    else:
        pairs = [(None, None)]
    # -1 is how sets say that nobody knows where; anything below it, and true, is a slip.
    if not all(isinstance(text, str) and type(at) is int and at >= -1 for text, at in pairs):
        raise UserError(
            f"{item.where}: the answers are {kind_of(label)}; each must have 'text' and "
            "'answer_start'. Mend the record."
        )
    return [Answer(text, start) for text, start in pairs]


def _answer_pairs(texts: Any, starts: Any) -> list[tuple[Any, Any]]:
    """Texts and where they begin, of one object; what is neither where they do not fit together."""
    if isinstance(texts, str):
        texts, starts = [texts], None if starts is None else [starts]
    if isinstance(texts, list) and starts is None:
        starts = [-1] * len(texts)
    if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
        return list(zip(texts, starts, strict=True))
    return [(None, None)]
