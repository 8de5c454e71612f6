"""A fine-tuned folder, opened: its answers for any items, to be scored or written down.

    items ──▶ rows of tokens ──▶ logits, batched by length ──▶ a class, a number, tags, an answer

The file `finetuning.json` in the folder says what its model reads; a folder of somebody else's,
which has none, is read by what its head tells.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roberta_model.heads import (
    QuestionAnsweringHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.predicting import Logits, logits_of
from tasks.config.downstream import TaskName
from tasks.errors import UserError
from tasks.finetuning.encoding import ItemEncoder, Window
from tasks.finetuning.items import Columns, Item
from tasks.inference.model_folder import load_folder_as_named

RECORD = "finetuning.json"
LONGEST_ANSWER = 30  # tokens, as stock's pipeline has it for words
_THRESHOLD = 0.5


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

    def write(self, folder: Path) -> None:
        """Write it into a model folder."""
        values = asdict(self) | {"columns": self.columns._asdict()}
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        (folder / RECORD).write_text(text, encoding="utf-8")

    @classmethod
    def of(cls, folder: Path) -> "Reading | None":
        """What a folder says; None where it says nothing.

        Raises:
            UserError: the file is not one that we wrote.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**values, "columns": Columns(**values["columns"])})
        except (OSError, ValueError, TypeError, KeyError) as problem:
            raise UserError(
                f"{path}: this is not the record of a fine-tuning ({problem}). Remove the file to "
                "have the folder read as a stranger's."
            ) from problem


class Predictor:
    """What a fine-tuned folder answers.

    Args:
        folder: Any RoBERTa folder with a head for classes, numbers, tags or answers.

    Attributes:
        reading: What it reads.
        labels: The names of its classes.
        problem: What a sequence classifier's logits mean; empty for other heads.
        encoder: Counts the texts that were cut.

    Raises:
        UserError: the folder cannot be read, or has another head.
    """

    def __init__(self, folder: Path) -> None:
        self.model, tokenizer = load_folder_as_named(folder)
        head = self.model.head_module
        self.labels: tuple[str, ...] = getattr(head, "labels", ())
        self.problem: str = getattr(head, "problem", "")
        limit = self.model.config.max_row_tokens
        self.reading = Reading.of(folder) or Reading(
            _task_of(head, folder), Columns("", None, None), limit
        )
        most = min(self.reading.max_tokens, limit)
        self.encoder = ItemEncoder(tokenizer, most, min(self.reading.stride, most // 2))

    def __call__(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The answer for each item, as plain JSON; see `answers`."""
        if self.reading.task == "tag":
            return list(self._tags(items))
        if self.reading.task == "qa":
            return list(self._answers(items))
        found = logits_of(self.model, self.encoder.sequences(items))
        return [self._class(logits) for logits in found]

    def _class(self, logits_C: Logits) -> dict[str, Any]:
        if self.problem == "regression":
            return {"value": float(logits_C[0])}
        if self.problem == "multi_label_classification":
            shares = _sigmoid(logits_C)
            names = [name for name, p in zip(self.labels, shares, strict=True) if p > _THRESHOLD]
            scores = {n: round(float(p), 6) for n, p in zip(self.labels, shares, strict=True)}
            return {"labels": names, "scores": scores}
        shares = _softmax(logits_C)
        best = int(shares.argmax())
        return {"label": self.labels[best], "score": round(float(shares[best]), 6)}

    def _tags(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        rows = [self.encoder.word_rows(item) for item in items]
        found = iter(logits_of(self.model, [row.ids for part in rows for row in part]))
        for item, part in zip(items, rows, strict=True):
            tags = [""] * len(item.text)
            for row in part:
                best = next(found)[row.places].argmax(axis=1)
                for word, number in zip(row.words, best, strict=True):
                    tags[word] = self.labels[number]
            yield {"tags": tags}

    def _answers(self, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
        windows = [self.encoder.windows(item) for item in items]
        found = iter(logits_of(self.model, [window.ids for part in windows for window in part]))
        for item, part in zip(items, windows, strict=True):
            yield self._answer(item, [(window, next(found)) for window in part])

    def _answer(self, item: Item, windows: list[tuple[Window, Logits]]) -> dict[str, Any]:
        """The best span of all windows; no answer where that scores higher and may be."""
        best = (-np.inf, 0, 0)
        nothing = np.inf
        for window, logits_T2 in windows:
            nothing = min(nothing, float(logits_T2[0].sum()))
            if window.spans:
                score, first, last = _best_span(logits_T2[window.first :][: len(window.spans)])
                if score > best[0]:
                    best = (score, window.spans[first][0], window.spans[last][1])
        score, start, stop = best
        if self.reading.may_have_no_answer and nothing >= score or stop <= start:
            return {"answer": "", "start": -1, "score": None}
        assert item.second is not None
        return {"answer": item.second[start:stop], "start": start, "score": round(score, 6)}


def _best_span(logits_T2: Logits) -> tuple[float, int, int]:
    """(score, first, last) of the likeliest span; of those alike the shortest, then the first."""
    starts, ends = logits_T2[:, 0].astype(np.float64), logits_T2[:, 1].astype(np.float64)
    best = (-np.inf, 0, 0)
    for length in range(min(LONGEST_ANSWER, len(starts))):
        sums = starts[: len(starts) - length] + ends[length:]
        first = int(sums.argmax())
        if sums[first] > best[0]:
            best = (float(sums[first]), first, first + length)
    return best


def _softmax(logits_C: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    powers = np.exp(logits_C.astype(np.float64) - logits_C.max())
    shares: np.ndarray[Any, np.dtype[np.float64]] = powers / powers.sum()
    return shares


def _sigmoid(logits_C: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    shares: np.ndarray[Any, np.dtype[np.float64]] = 1 / (1 + np.exp(-logits_C.astype(np.float64)))
    return shares


def _task_of(head: object, folder: Path) -> TaskName:
    if isinstance(head, SequenceClassificationHead):
        return "regress" if head.problem == "regression" else "classify"
    if isinstance(head, TokenClassificationHead):
        return "tag"
    if isinstance(head, QuestionAnsweringHead):
        return "qa"
    raise UserError(
        f"{folder}: this model fills masks; it was not fine-tuned for anything. Fine-tune it first "
        "(`roberta finetune`), or use fill-mask, score or embed."
    )
