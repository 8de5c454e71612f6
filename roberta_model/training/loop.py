"""The training loop: one step is one global batch, however many processes share it.

    objective ──▶ micro-batches of my share ──▶ summed gradients (flat, fp32)
                                                     │ one all-reduce
                    weights ◀── optimiser ◀── divided by all masked tokens

DDP would average gradients process by process, which is wrong when processes hide different
numbers of tokens. Here sums are added up once a step, together with the loss and the token
count, and divided once. 1 x N, N x 1 and any accumulation thus give the same step.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from roberta_model.data.masking import MaskingTables
from roberta_model.training.checkpoint import read_checkpoint, write_checkpoint
from roberta_model.training.fine_tuning import FineTuningObjective
from roberta_model.training.flat import FlatWeights
from roberta_model.training.held_out_curve import HeldOutCurve
from roberta_model.training.memory import memory_of
from roberta_model.training.objective import MaskedLMObjective, Objective
from roberta_model.training.optimizer import Optimizer
from roberta_model.training.precision import Precision
from roberta_model.training.spec import FineTuningSpec, TrainingSpec
from roberta_model.training.step_sums import StepMeans, StepSums

AnySpec = TrainingSpec | FineTuningSpec

_ADVICE = (
    "The last checkpoint is sound; lower the learning rate, set clip_norm, or use precision fp32"
)


@dataclass(frozen=True)
class StepResult:
    """One finished step; `step` counts from 1. The held-out loss is measured at some of them."""

    step: int
    loss: float
    masked_tokens: int
    learning_rate: float
    gradient_norm: float
    epoch: int
    must_stop: bool
    held_out_loss: float | None = None

    def line(self) -> str:
        """The step as one JSON line: nothing in it depends on time or place."""
        values = {name: value for name, value in vars(self).items() if name != "must_stop"}
        return json.dumps(values) + "\n"


def check_same_training(record: dict[str, Any], spec: AnySpec) -> None:
    """Refuse to go on from a checkpoint of another training.

    Raises:
        ValueError: The message names what differs.
    """
    expected: dict[str, Any] = {"training": spec.training, "steps": spec.steps, "seed": spec.seed}
    if spec.precision != "auto":
        expected["precision"] = spec.precision
    for name, value in expected.items():
        if record.get(name) != value:
            raise ValueError(
                f"{spec.resume}: this checkpoint is of another training: its {name} is "
                f"{record.get(name)!r}, not {value!r}"
            )


def _objective(spec: AnySpec, steps: int, accelerator: Accelerator) -> Objective[Any]:
    """What a spec's training learns from."""
    if isinstance(spec, FineTuningSpec):
        return FineTuningObjective(spec, accelerator)
    return MaskedLMObjective(spec, steps, accelerator)


def _curve(spec: AnySpec, steps: int, accelerator: Accelerator) -> HeldOutCurve | None:
    """What measures the held-out loss, on the process that tells of the steps."""
    if not isinstance(spec, TrainingSpec) or not spec.held_out or not accelerator.is_main_process:
        return None
    tables = MaskingTables.load(spec.tables)
    return HeldOutCurve(spec.held_out, tables, steps, spec.batch_rows)


class Training:
    """A training that can be stepped, saved and resumed.

    Args:
        spec: What to train, on what.
        accelerator: The processes that train together.

    Attributes:
        step: How many are done.
        steps: Of the whole training.

    Raises:
        ValueError: The rows, the model and the recipe do not fit together, or the checkpoint to
            resume from is damaged or of another training.
    """

    def __init__(self, spec: AnySpec, accelerator: Accelerator) -> None:
        if spec.steps is None:
            raise ValueError("a training needs its number of steps; measure it first")
        self.spec, self.step, self.steps = spec, 0, spec.steps
        self.objective = _objective(spec, self.steps, accelerator)
        self.model = self.objective.model
        self.curve = _curve(spec, self.steps, accelerator)
        before = None if spec.resume is None else read_checkpoint(Path(spec.resume))
        asked = spec.precision
        if before is not None:
            check_same_training(before[2], spec)
            # What `auto` became on the machine where the training began stays.
            asked = before[2]["precision"]
        self.precision = Precision.of(asked, accelerator.device)
        self.flat = FlatWeights(self.model, self.precision.dtype, memory_of(accelerator))
        self.sums = StepSums(self.flat)
        self.optimizer = Optimizer(self.flat, self.sums.gradient, spec.optimizer)
        if before is not None:
            weights, state, record = before
            self.flat.load(weights)
            self.optimizer.load(state)
            self.step = int(record["step"])

    def run(self, last: int, must_stop: Callable[[], bool]) -> Iterator[StepResult]:
        """Train up to step `last`, yielding each step; ends early when any process must stop."""
        with closing(self.objective.micro_batches(self.step, last)) as prepared:
            for micro in prepared:
                result = self._train_step(micro, must_stop())
                yield result
                if result.must_stop:
                    return

    def _train_step(self, micro: Any, stop: bool) -> StepResult:
        loss_sum, num_tokens = self.objective.backward(self.step, micro, self.sums)
        means = self.sums.average(loss_sum, num_tokens, stop)
        self._check(means)
        factor = self.spec.schedule.factor(self.step, self.steps)
        self.optimizer.step(means.gradient_norm, factor)
        epoch = self.objective.epoch(self.step)
        self.step += 1
        held_out = None if self.curve is None else self.curve.loss(self.step, self.model)
        return StepResult(
            self.step,
            means.loss,
            means.num_tokens,
            self.spec.optimizer.learning_rate * factor,
            means.gradient_norm,
            epoch,
            means.must_stop,
            held_out,
        )

    def _check(self, means: StepMeans) -> None:
        """Before the update: a step whose loss or gradient is no number must leave no trace."""
        for name, value in (("loss", means.loss), ("gradient's norm", means.gradient_norm)):
            if not math.isfinite(value):
                raise ValueError(f"the {name} became {value} at step {self.step + 1}. {_ADVICE}")

    def check_weights(self) -> None:
        """Refuse weights that are no numbers, on every process alike: their weights are equal.

        Raises:
            ValueError: One is nan or infinite.
        """
        if not bool(torch.isfinite(self.flat.master).all()):
            raise ValueError(f"weights are nan or infinite after step {self.step}. {_ADVICE}")

    def save(self, losses: str) -> Path:
        """Write a checkpoint of the present step; its folder.

        All processes call it, since each may have a share of the optimiser's state; the first one
        writes.

        Raises:
            ValueError: A weight is no finite number; nothing is written.
        """
        self.check_weights()
        weights, state = self.flat.weights(), self.optimizer.state()
        folder = Path(self.spec.folder) / f"{self.step:08d}"
        if self.flat.memory.rank > 0:
            return folder
        parameters = sum(p.numel() for p in self.model.parameters())
        facts: dict[str, Any] = {
            "training": self.spec.training,
            "step": self.step,
            "steps": self.steps,
            "seed": self.spec.seed,
            "num_parameters": parameters,
            "precision": self.precision.name,
        }
        write_checkpoint(folder, self.model, weights, state, losses, facts)
        return folder
