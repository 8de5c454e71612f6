"""What a training process is told, as one JSON file."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from roberta_model.config import ModelConfig
from roberta_model.recipe import (
    Candidates,
    MaskingRecipe,
    OptimizerRecipe,
    Precision,
    Schedule,
    StartRecipe,
    check_ranges,
    chosen,
)

_PARTS = {
    "model": ModelConfig,
    "masking": MaskingRecipe,
    "optimizer": OptimizerRecipe,
    "schedule": Schedule,
    "start": StartRecipe,
}

# Where a training runs and how it is cut into pieces. Files count by their content, which
# whoever makes a spec knows.
EXECUTION = frozenset(
    {"rows", "tables", "folder", "initial", "resume", "stop_step", "checkpoint_steps", "threads"}
    | {"device", "supervised", "training", "began"}
)


@dataclass(frozen=True)
class TrainingSpec:
    """One training, complete.

    Attributes:
        rows: Arrow files of packed rows, in order.
        tables: The masking tables (.npz).
        folder: Where checkpoints are written.
        model: The encoder's shape; `initial` brings its own.
        steps: Optimiser steps of the whole training, which the schedules are laid over; None
            where `minutes` decides.
        minutes: Measure how many steps fit into this time, then train them.
        began: When the minutes began, in seconds since 1970; None is now.
        stop_step: End here, before `steps`.
        batch_rows: Rows of a step over all processes.
        micro_batch_rows: Rows of one forward pass; None decides by the device.
        dropout: In pretraining; whatever it is, restarts are exact.
        start: The first weights; not read with `initial`.
        initial: A Hugging Face folder to start from.
        resume: A checkpoint folder to go on from.
        threads: Compute threads of this process.
        training: The digest of all that decides the weights, as its owner knows it: written into
            every checkpoint, and asked of the one to resume from.
    """

    rows: list[str]
    tables: str
    folder: str
    model: ModelConfig | None
    steps: int | None = chosen(None, ge=1)
    minutes: float | None = chosen(None, gt=0)
    batch_rows: int = chosen(256, ge=1)
    seed: int = chosen(0, ge=0)
    stop_step: int | None = None
    masking: MaskingRecipe = field(default_factory=MaskingRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: Schedule = field(default_factory=Schedule)
    start: StartRecipe = field(default_factory=StartRecipe)
    candidates: Candidates = "vocabulary"
    precision: Precision = "auto"
    dropout: float = chosen(0.0, ge=0, lt=1)
    micro_batch_rows: int | None = chosen(None, ge=1)
    checkpoint_steps: int = chosen(500, ge=1)
    initial: str | None = None
    resume: str | None = None
    threads: int = chosen(1, ge=1)
    device: Literal["auto", "cpu", "gpu"] = "auto"
    supervised: bool = False
    training: str | None = None
    began: float | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "training")
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("the training spec needs either steps or minutes")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainingSpec":
        """Read a spec; unknown fields are refused.

        Raises:
            ValueError: A field is unknown, missing or out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"the training spec has unknown fields: {', '.join(unknown)}")
        try:
            parts = {
                name: kind(**values[name])
                for name, kind in _PARTS.items()
                if values.get(name) is not None
            }
            return cls(**{**values, **parts})
        except TypeError as problem:
            raise ValueError(f"the training spec is incomplete: {problem}") from problem

    def identity(self) -> dict[str, Any]:
        """What decides the weights after each step, but for the content of the files."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        known = {name: value for name, value in known.items() if name not in EXECUTION}
        for name in ("masking", "optimizer", "schedule"):
            known[name] = known[name].identity()
        known["model"] = None if self.model is None else self.model.to_json()
        known["start"] = self.start.kind
        if self.dropout == 0:
            # Only noise is drawn for each micro-batch.
            del known["micro_batch_rows"]
        return known

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> "TrainingSpec":
        """Read a spec from its file."""
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
