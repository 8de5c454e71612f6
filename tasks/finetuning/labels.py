"""What a task's labels are, found in the data to learn from, and labels as numbers.

Names are kept as they stand there, in an order of their own: whole numbers first, by size, then
all others by letter.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from roberta_model.recipe import Problem, TaskName
from tasks.errors import UserError
from tasks.finetuning.items import Item

_MOST_CLASSES = 10_000
_MOST_SHOWN = 20
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Labels:
    """The labels of a task.

    Attributes:
        names: Of the classes, in the order of the logits; one where a number is learnt.
        problem: Whether a text has one class, several, or a number.
        counts: How often each stands in the data to learn from.
        separator: What parts several classes in one cell.
    """

    names: tuple[str, ...]
    problem: Problem = "single_label_classification"
    counts: tuple[int, ...] = ()
    separator: str | None = None

    def numbers(self, item: Item, tags: bool = False) -> list[int]:
        """The numbers of an item's classes: one, any number of them, or one for each word.

        Raises:
            UserError: one of them is not among the data to learn from, or a text has none or
                several where each that is learnt from has one.
        """
        known = _numbers_of(tuple(self.names))
        names = tag_names(item) if tags else class_names(item.label, self.separator)
        is_one = self.problem == "single_label_classification" and not tags
        if is_one and len(names) != 1:
            raise UserError(
                f"{item.where}: this row has {len(names) or 'no'} labels, and each of the data to "
                "learn from has one. Leave it one, or give those as lists where a text may have "
                "several classes or none."
            )
        for name in names:
            if name not in known:
                shown = ", ".join(self.names[:_MOST_SHOWN])
                if (more := len(self.names) - _MOST_SHOWN) > 0:
                    shown += f" and {more:,} more"
                raise UserError(
                    f"{item.where}: the label {name!r} is not among the data to learn from, which "
                    f"have {shown}. Add examples of it there, or correct it here."
                )
        return [known[name] for name in names]

    def weights(self) -> tuple[float, ...]:
        """A weight of each class by which all count alike, and the mean item counts 1."""
        total = sum(self.counts)
        return tuple(total / (len(self.counts) * max(1, count)) for count in self.counts)


@lru_cache(maxsize=8)
def _numbers_of(names: tuple[str, ...]) -> dict[str, int]:
    """Class names by number the other way round, made once and not for each item."""
    return {name: number for number, name in enumerate(names)}


def name_of(value: Any) -> str:
    """A label as text: whole numbers without a point, true and false as JSON has them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def class_names(label: Any, separator: str | None) -> list[str]:
    """The names of a text's classes: of a list, of a cell with several, or of one."""
    if isinstance(label, list | tuple):
        return [name_of(each) for each in label]
    if separator is not None and isinstance(label, str):
        return [part.strip() for part in label.split(separator) if part.strip()]
    return [name_of(label)]


def tag_names(item: Item) -> list[str]:
    """The tags of an item's words."""
    tags = item.label.split() if isinstance(item.label, str) else item.label
    return [name_of(tag) for tag in tags]


def find_labels(task: TaskName, items: Iterable[Item], separator: str | None, where: str) -> Labels:
    """The labels of the data to learn from.

    Raises:
        UserError: there is nothing, or only one class, to learn; or a number is none.
    """
    if task == "qa":
        return Labels(())
    if task == "regress":
        count = sum(1 for _ in map(number_of, items))
        return Labels(("value",), "regression", (count,))
    counts: Counter[str] = Counter()
    is_multiple = False
    for item in items:
        if task == "tag":
            counts.update(tag_names(item))
        else:
            is_multiple |= isinstance(item.label, list | tuple) or separator is not None
            counts.update(class_names(item.label, separator))
        if len(counts) > _MOST_CLASSES:
            raise UserError(
                f"{item.where}: there are more than {_MOST_CLASSES:,} different labels up to here. "
                "Most likely this column is no label; name another with columns.label (--label), "
                "or learn numbers with task regress."
            )
    if len(counts) < 2 and not (is_multiple and counts):
        only = f"only the label {next(iter(counts))!r}" if counts else "no label"
        raise UserError(
            f"{where}: the data to learn from have {only}, so there is nothing to tell apart. Give "
            "examples of two classes or more, or name another column with columns.label (--label)."
        )
    names = tuple(sorted(counts, key=_order))
    problem: Problem = (
        "multi_label_classification" if is_multiple else "single_label_classification"
    )
    return Labels(names, problem, tuple(counts[name] for name in names), separator)


def _order(name: str) -> tuple[int, int, str]:
    digits = name.removeprefix("-")
    is_number = digits.isdecimal() and len(digits) <= _MOST_DIGITS
    return (0, int(name), "") if is_number else (1, 0, name)


def number_of(item: Item) -> float:
    """The number to be learnt.

    Raises:
        UserError: it is none.
    """
    label = item.label
    try:
        # Python reads 1_000 as well, and true as 1: both are a slip in a file.
        is_slip = isinstance(label, bool) or (isinstance(label, str) and "_" in label)
        value = float("nan" if is_slip else label)
    except (TypeError, ValueError):
        value = float("nan")
    if not -1e6 < value < 1e6:  # nan too
        raise UserError(
            f"{item.where}: {str(item.label)[:40]!r} is no number between -1,000,000 and "
            "1,000,000. Mend the record, scale the numbers, or learn classes with task classify."
        )
    return value
