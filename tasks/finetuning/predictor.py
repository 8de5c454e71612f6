"""A fine-tuned folder, opened: its answers for any items, to be scored or written down.

    items ──▶ rows of tokens ──▶ logits, batched by length ──▶ a class, a number, tags, an answer

How rows become tags and answers is in `roberta_model.inference`, which `roberta_model.load` uses
too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from roberta_model.inference.answers import answers_in
from roberta_model.inference.folder import move_to_device
from roberta_model.inference.tags import tags_of
from roberta_model.predicting import Logits, logits_of
from tasks.engine.executors import default_workers
from tasks.errors import UserError
from tasks.finetuning.encoding import ItemEncoder, told_cut
from tasks.finetuning.items import Item
from tasks.inference.model_folder import load_tuned_folder, refusals

_THRESHOLD = 0.5


class Predictor:
    """What a fine-tuned folder answers.

    Args:
        folder: Any RoBERTa folder with a head for classes, numbers, tags or answers.
        device: Where it computes, as torch names it; without it on the GPU where there is one. On
            a CPU with all of the machine's processors: the answers are the same for any number.

    Attributes:
        reading: What it reads.
        labels: The names of its classes.
        problem: What a sequence classifier's logits mean; empty for other heads.
        encoder: Counts the texts that were cut.

    Raises:
        UserError: the folder cannot be read, or has another head; there is no such device.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.model, tokenizer, self.reading = load_tuned_folder(folder)
        head = self.model.head_module
        self.labels: tuple[str, ...] = getattr(head, "labels", ())
        self.problem: str = getattr(head, "problem", "")
        if self.problem == "regression" and len(self.labels) > 1:
            raise UserError(
                f"{folder}: the model gives {len(self.labels)} numbers for a text, and an answer "
                "holds one. In Python `roberta_model.load` gives them all (`classify`, `scores`)."
            )
        limit = self.model.config.max_row_tokens
        with refusals():
            move_to_device(self.model, device)
        is_on_cpu = next(self.model.parameters()).device.type == "cpu"
        self._workers = default_workers() if is_on_cpu else 1
        self.encoder = ItemEncoder(tokenizer, *self.reading.sizes(limit))

    def told_cut(self) -> str:
        """How many texts so far were longer than it reads; empty where none was."""
        most, _ = self.reading.sizes(self.model.config.max_row_tokens)
        cut = self.encoder.num_cut
        return told_cut(cut, most, self.reading.task) if cut else ""

    def __call__(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The answer for each item, as plain JSON."""
        if self.reading.task == "tag":
            rows = [self.encoder.word_rows(item) for item in items]
            return [{"tags": tags} for tags in tags_of(self.model, rows, self._workers)]
        if self.reading.task == "qa":
            return self._answers(items)
        found = logits_of(self.model, self.encoder.sequences(items), workers=self._workers)
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

    def _answers(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        contexts = [item.second or "" for item in items]
        windows = [self.encoder.windows(item) for item in items]
        found = answers_in(
            self.model,
            contexts,
            windows,
            may_be_none=self.reading.may_have_no_answer,
            workers=self._workers,
        )
        return [dict(answer) for answer in found]


def _softmax(logits_C: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    powers = np.exp(logits_C.astype(np.float64) - logits_C.max())
    shares: np.ndarray[Any, np.dtype[np.float64]] = powers / powers.sum()
    return shares


def _sigmoid(logits_C: Logits) -> np.ndarray[Any, np.dtype[np.float64]]:
    shares: np.ndarray[Any, np.dtype[np.float64]] = 1 / (1 + np.exp(-logits_C.astype(np.float64)))
    return shares
