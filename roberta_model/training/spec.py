"""What a training process is told, as one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from roberta_model.config import ModelConfig
from roberta_model.recipe import (
    Candidates,
    FirstAttention,
    HeadName,
    MaskingRecipe,
    OptimizerRecipe,
    Precision,
    Problem,
    Schedule,
    StartRecipe,
    check_choice,
    check_ranges,
    chosen,
)

# Where a training runs and how it is cut into pieces. Files count by their content, which
# whoever makes a spec knows.
EXECUTION = frozenset(
    {"rows", "tables", "examples", "folder", "initial", "resume", "stop_step", "checkpoint_steps"}
    | {"threads", "device", "supervised", "training", "began", "held_out"}
)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What every training has, whatever it learns from.

    Attributes:
        folder: Where checkpoints are written.
        initial: A Hugging Face folder to start from.
        steps: Optimiser steps of the whole training, which the schedules are laid over; None
            where `minutes` decides.
        minutes: Measure how many steps fit into this time, then train them.
        began: When the minutes began, in seconds since 1970; None is now.
        stop_step: End here, before `steps`.
        batch_rows: Rows of a step over all processes.
        micro_batch_rows: Rows of one forward pass; None decides by the device.
        dropout: While training; whatever it is, restarts are exact.
        resume: A checkpoint folder to go on from.
        threads: Compute threads of this process.
        training: The digest of all that decides the weights, as its owner knows it: written into
            every checkpoint, and asked of the one to resume from.
    """

    kind: ClassVar[str]
    parts: ClassVar[Mapping[str, type]] = {"optimizer": OptimizerRecipe, "schedule": Schedule}

    folder: str
    initial: str | None = None
    steps: int | None = chosen(None, ge=1)
    minutes: float | None = chosen(None, gt=0)
    batch_rows: int = chosen(256, ge=1)
    seed: int = chosen(0, ge=0)
    stop_step: int | None = None
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: Schedule = field(default_factory=Schedule)
    precision: Precision = "auto"
    dropout: float = chosen(0.0, ge=0, lt=1)
    micro_batch_rows: int | None = chosen(None, ge=1)
    checkpoint_steps: int = chosen(500, ge=1)
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
    def from_json(cls, values: Mapping[str, Any]) -> Self:
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
                for name, kind in cls.parts.items()
                if values.get(name) is not None
            }
            return cls(**{**values, **parts})
        except TypeError as problem:
            raise ValueError(f"the training spec is incomplete: {problem}") from problem

    def identity(self) -> dict[str, Any]:
        """What decides the weights after each step, but for the content of the files."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        known = {name: value for name, value in known.items() if name not in EXECUTION}
        for name, part in known.items():
            if hasattr(part, "identity"):
                known[name] = part.identity()
        if self.dropout == 0:
            # Only noise is drawn for each micro-batch.
            del known["micro_batch_rows"]
        return known

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec(RunSpec):
    """One pretraining, complete.

    Attributes:
        rows: Arrow files of packed rows, in order.
        held_out: Arrow files of rows that nothing is learnt from: the loss on some of them is
            measured now and then. It decides no weight.
        tables: The masking tables (.npz).
        model: The encoder's shape; `initial` brings its own.
        start: The first weights; not read with `initial`.
    """

    kind = "masked_lm"
    parts: ClassVar[Mapping[str, type]] = {
        **RunSpec.parts,
        "model": ModelConfig,
        "masking": MaskingRecipe,
        "start": StartRecipe,
    }

    rows: list[str]
    tables: str
    model: ModelConfig | None
    masking: MaskingRecipe = field(default_factory=MaskingRecipe)
    start: StartRecipe = field(default_factory=StartRecipe)
    held_out: list[str] = field(default_factory=list)
    candidates: Candidates = "vocabulary"

    def identity(self) -> dict[str, Any]:
        """As every training's; of the start only its kind, since its files count by content."""
        model = None if self.model is None else self.model.to_json()
        return {**super().identity(), "model": model, "start": self.start.kind}


@dataclass(frozen=True, kw_only=True)
class FineTuningSpec(RunSpec):
    """One fine-tuning, complete: `initial` gives the encoder, examples what is learnt.

    Attributes:
        examples: Arrow file of examples, see `roberta_model.data.examples`.
        head: Which head, by its short name in `architectures.FINE_TUNED`.
        labels: The classes' names, in the order of the logits; empty where there are none.
        problem: What the logits of a sequence classifier mean.
        weights: Of each class in the loss; None weighs all alike.
        first_attention: What <s> reads in the last layer at the start, under a head for whole
            rows: what it has learnt to read, or all tokens alike.
    """

    kind = "fine_tuning"

    examples: str
    head: HeadName
    labels: tuple[str, ...] = ()
    problem: Problem = "single_label_classification"
    weights: tuple[float, ...] | None = None
    first_attention: FirstAttention = "pretrained"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(self.weights))
        if self.initial is None:
            raise ValueError("a fine-tuning needs a model to start from")
        check_choice(self.first_attention, FirstAttention, "a first attention")
        if self.first_attention == "uniform" and self.head != "sequence":
            raise ValueError("only a head for whole rows can begin with uniform attention")


SPECS: dict[str, type[TrainingSpec] | type[FineTuningSpec]] = {
    spec.kind: spec for spec in (TrainingSpec, FineTuningSpec)
}


def read_spec(path: Path) -> TrainingSpec | FineTuningSpec:
    """Read a spec of either kind from its file; pretraining where it says no `kind`.

    Raises:
        ValueError: The kind is none that we know, or a field is unknown, missing or out of range.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    kind = values.pop("kind", TrainingSpec.kind)
    if kind not in SPECS:
        raise ValueError(f"there is no training of the kind {kind!r}")
    return SPECS[kind].from_json(values)
