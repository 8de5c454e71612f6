"""What a fine-tuning is made of: the job, what was found in its data, and what was tried."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from roberta_model.inference.reading import Columns, Reading
from tasks.config.downstream import FineTuningConfig, Metric
from tasks.engine.units import StoredFile, UnitResult
from tasks.finetuning.folders import is_of_encoder, is_of_tokenizer
from tasks.finetuning.items import Item, read_items
from tasks.finetuning.labels import Labels
from tasks.finetuning.scoring import main_metric

Files = Mapping[str, StoredFile]


@dataclass(frozen=True)
class DataFile:
    """A file of labelled data: it counts by its content; its name is for messages."""

    name: str
    file: StoredFile

    def identity(self) -> str:
        """Content only."""
        return self.file.identity()

    def items(self, settings: FineTuningConfig, columns: Columns) -> Iterator[Item]:
        """Its rows as items of a task.

        Raises:
            UserError: a row cannot be read, or lacks what it must have.
        """
        return read_items(self.file.local(), settings.task, columns, settings.format, self.name)


DataFiles = Mapping[str, DataFile]


class Choice(NamedTuple):
    """What is tried."""

    learning_rate: float
    batch_size: int
    seed: int

    def told(self) -> str:
        """As one says it, and as its units are called."""
        return f"{self.learning_rate!r}-{self.batch_size}-{self.seed}"


class Contained(NamedTuple):
    """Which items of a file the pretraining text holds.

    Attributes:
        numbers: Of the items, from 0.
        too_short: How many were too short to be looked for.
    """

    numbers: list[int]
    too_short: int


@dataclass(frozen=True)
class Job:
    """A fine-tuning that a stage is to do.

    Attributes:
        settings: What to learn, and how.
        files: train, dev, test and what is to be predicted (`predict/0`, ...), by these names.
        model: The files of the folder that it begins with.
        prefix: What labels begin with; empty where a stage has one job alone.
        contained: Of dev and test what the pretraining text holds; None where nobody knows.
    """

    settings: FineTuningConfig
    files: DataFiles
    model: Files
    prefix: str = ""
    contained: Mapping[str, Contained] | None = None

    @property
    def encoder(self) -> Files:
        """Weights and shape of the pretrained encoder."""
        return {name: file for name, file in self.model.items() if is_of_encoder(name)}

    @property
    def config(self) -> dict[str, Any]:
        """The encoder's `config.json`."""
        text = self.encoder["config.json"].local().read_text(encoding="utf-8")
        return dict(json.loads(text))

    @property
    def tokenizer(self) -> Files:
        """How it reads text."""
        return {name: file for name, file in self.model.items() if is_of_tokenizer(name)}


class Tried(NamedTuple):
    """A finished training.

    Attributes:
        choice: What was tried.
        value: The best value of the deciding metric on dev.
        epochs: The metrics on dev after each epoch.
        best: Which of them is the best, from 0.
    """

    choice: Choice
    value: float
    epochs: list[dict[str, float]]
    best: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON for the summary."""
        return {
            **self.choice._asdict(),
            "dev": self.epochs[self.best],
            "epoch": self.best + 1,
            "epochs": len(self.epochs),
        }


@dataclass(frozen=True)
class Found:
    """What was found in the data of a job.

    Attributes:
        examples: What is learnt from, encoded.
        reading: What the model reads.
        labels: What it answers.
        metric: What decides.
        rows: Of each file.
        cut: Texts to learn from that were too long, and were cut.
        repeated: Items of dev and test that stand in a part before them too.
        baselines: By part, dev and test, the metrics of what needs no encoder.
    """

    examples: StoredFile
    reading: Reading
    labels: Labels
    metric: Metric
    rows: Mapping[str, int]
    cut: int
    repeated: Mapping[str, int]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]]

    @classmethod
    def of(cls, prepared: UnitResult, settings: FineTuningConfig) -> "Found":
        """From the unit that looked through the data."""
        return cls.from_json(prepared.summary, prepared.files[".arrow"], settings)

    @classmethod
    def from_json(
        cls, summary: Mapping[str, Any], examples: StoredFile, settings: FineTuningConfig
    ) -> "Found":
        """From plain JSON, and the file that it is of."""
        columns = Columns(**summary["reading"]["columns"])
        known = summary["labels"]
        labels = Labels(**{**known, "names": tuple(known["names"])})
        return cls(
            examples,
            Reading(**{**summary["reading"], "columns": columns}),
            labels,
            main_metric(settings, labels),
            summary["rows"],
            summary["cut"],
            summary["repeated"],
            summary["baselines"],
        )

    def told(self) -> dict[str, Any]:
        """What of it is published beside the scores."""
        return {
            "rows": dict(self.rows),
            "max_tokens": self.reading.max_tokens,
            "cut": self.cut,
            "repeated": dict(self.repeated),
            "columns": self.reading.columns.told(),
            "baselines": self.baselines["dev"],
            "baselines_on": self.baselines,
        }

    def to_json(self) -> dict[str, Any]:
        """As it was found, without the file."""
        return {
            "reading": {**vars(self.reading), "columns": self.reading.columns._asdict()},
            "labels": vars(self.labels),
            "rows": self.rows,
            "cut": self.cut,
            "repeated": self.repeated,
            "baselines": self.baselines,
        }
