"""What a fine-tuned folder reads: the file `finetuning.json` in it.

A folder of somebody else's, which has none, is read by what its head tells. Importing this needs
no torch.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, get_args

from roberta_model.inference.unusable import UnusableError
from roberta_model.recipe import TaskName

RECORD = "finetuning.json"


class Columns(NamedTuple):
    """Where the parts of an item stand; `second` and `label` may have no column."""

    text: str
    second: str | None
    label: str | None

    def told(self) -> str:
        """As one says it."""
        texts = f"{self.text} and {self.second}" if self.second else self.text
        return f"{texts} -> {self.label}" if self.label else texts


@dataclass(frozen=True)
class Reading:
    """What a fine-tuned model reads.

    Attributes:
        task: What it does.
        columns: Where the parts stood in the data that it learnt from.
        max_tokens: Of a row.
        stride: Tokens that windows share.
        may_have_no_answer: Whether it has seen questions whose context has no answer.
    """

    task: TaskName
    columns: Columns
    max_tokens: int
    stride: int = 128
    may_have_no_answer: bool = False

    def sizes(self, limit: int) -> tuple[int, int]:
        """(tokens of a row, tokens that windows share) of an encoder that reads `limit`."""
        most = min(self.max_tokens, limit)
        return most, min(self.stride, most // 2)

    def check(self) -> None:
        """Hold the fields against what they are to be: a folder may be a stranger's.

        Raises:
            ValueError: One is another; names it.
        """
        text, *others = self.columns
        for name, is_right in {
            "task": self.task in get_args(TaskName),
            "columns": isinstance(text, str) and all(isinstance(n, str | None) for n in others),
            "max_tokens": type(self.max_tokens) is int and self.max_tokens > 0,
            "stride": type(self.stride) is int and self.stride >= 0,
            "may_have_no_answer": isinstance(self.may_have_no_answer, bool),
        }.items():
            if not is_right:
                raise ValueError(f"{name} cannot be {getattr(self, name)!r}")

    def write(self, folder: Path) -> None:
        """Write it into a model folder."""
        values = asdict(self) | {"columns": self.columns._asdict()}
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")

    @classmethod
    def of(cls, folder: Path) -> "Reading | None":
        """What a folder says; None where it says nothing.

        Raises:
            UnusableError: The file is not one that we wrote.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**{**values, "columns": Columns(**values["columns"])})
            found.check()
            return found
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
            raise UnusableError(
                f"{path}: this is not the record of a fine-tuning ({problem}). Remove the file to "
                "have the folder read as a stranger's."
            ) from problem


def reading_of(folder: Path, head: object, max_tokens: int) -> Reading:
    """What a folder reads, by its record or by its head.

    Args:
        folder: The place.
        head: What stands on its encoder.
        max_tokens: The longest row that the encoder reads.

    Raises:
        UnusableError: It has a record that is none, or a head that no fine-tuning gives.
    """
    known, task = Reading.of(folder), _task_of(head, folder)
    if known is None:
        return Reading(task, Columns("", None, None), max_tokens)
    if known.task != task and {known.task, task} & {"tag", "qa"}:
        raise UnusableError(
            f"{folder / RECORD}: this is the record of a fine-tuning for {known.task}, and the "
            f"head of the model is one for {task}. Remove the file to have the folder read as a "
            "stranger's."
        )
    return known


def _task_of(head: object, folder: Path) -> TaskName:
    from roberta_model.heads import (
        QuestionAnsweringHead,
        SequenceClassificationHead,
        TokenClassificationHead,
    )

    if isinstance(head, SequenceClassificationHead):
        return "regress" if head.problem == "regression" else "classify"
    if isinstance(head, TokenClassificationHead):
        return "tag"
    if isinstance(head, QuestionAnsweringHead):
        return "qa"
    raise UnusableError(
        f"{folder}: this model fills masks; it was not fine-tuned for anything. Fine-tune it first "
        "(`roberta finetune`), or use fill-mask, score or embed."
    )
