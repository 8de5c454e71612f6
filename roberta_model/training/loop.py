"""The training loop: one step is one global batch, however many processes share it.

    rows of the step ──▶ my share ──▶ micro-batches ──▶ summed gradients (flat, fp32)
                                                             │ one all-reduce
                            weights ◀── optimiser ◀── divided by all masked tokens

DDP would average gradients process by process, which is wrong when processes hide different
numbers of tokens. Here sums are added up once a step, together with the loss and the token
count, and divided once. 1 x N, N x 1 and any accumulation thus give the same step.

Shape letters: B rows, T tokens in a row, M masked positions.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from roberta_model.data.batches import MaskedBatch, MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.randomness import random_bits
from roberta_model.data.rows import PackedRows
from roberta_model.encoder import SelfAttention
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.training.checkpoint import read_checkpoint, write_checkpoint
from roberta_model.training.flat import FlatWeights
from roberta_model.training.loss import masked_lm_loss_sum
from roberta_model.training.optimizer import Optimizer
from roberta_model.training.spec import TrainingSpec
from roberta_model.training.start import initialise
from roberta_model.training.step_sums import StepMeans, StepSums

_CPU_MICRO_TOKENS = 4096
_GPU_MICRO_TOKENS = 65_536
_ADVICE = (
    "The last checkpoint is sound; lower pretrain.optimizer.learning_rate, set clip_norm, or use "
    "precision fp32"
)


@dataclass(frozen=True)
class StepResult:
    """One finished step; `step` counts from 1."""

    step: int
    loss: float
    masked_tokens: int
    learning_rate: float
    gradient_norm: float
    epoch: int
    must_stop: bool

    def line(self) -> str:
        """The step as one JSON line: nothing in it depends on time or place."""
        values = {name: value for name, value in vars(self).items() if name != "must_stop"}
        return json.dumps(values) + "\n"


def compute_type(precision: str, device: torch.device) -> torch.dtype:
    """The type to compute in; `auto` is bf16 where the processor has it natively."""
    if precision == "fp32":
        return torch.float32
    if precision == "bf16" or has_native_bf16(device):
        return torch.bfloat16
    return torch.float32


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself; where it is emulated it is far slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    flags = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capabilities.startswith("AVX512") and flags())


def check_same_training(record: dict[str, Any], spec: TrainingSpec) -> None:
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


def my_share(batch_rows: int, rank: int, num_processes: int) -> tuple[int, int]:
    """The span of a global batch that one process trains on; shares differ by at most a row."""
    return batch_rows * rank // num_processes, batch_rows * (rank + 1) // num_processes


class Training:
    """A training that can be stepped, saved and resumed.

    Args:
        spec: What to train, on what.
        accelerator: The processes that train together.

    Raises:
        ValueError: The rows, the model and the recipe do not fit together, or the checkpoint to
            resume from is damaged or of another training.
    """

    def __init__(self, spec: TrainingSpec, accelerator: Accelerator) -> None:
        if spec.steps is None:
            raise ValueError("a training needs its number of steps; measure it first")
        self.spec, self.steps, self.accelerator = spec, spec.steps, accelerator
        self.device = accelerator.device
        rows = PackedRows(spec.rows)
        if not rows.num_rows:
            raise ValueError("there are no rows to train on")
        tables = MaskingTables.load(spec.tables)
        self.model = self._make_model(rows.row_tokens, tables)
        before = None if spec.resume is None else read_checkpoint(Path(spec.resume))
        precision = spec.precision
        if before is not None:
            check_same_training(before[2], spec)
            # What `auto` became on the machine where the training began stays.
            precision = before[2]["precision"]
        dtype = compute_type(precision, self.device)
        self.precision = "bf16" if dtype == torch.bfloat16 else "fp32"
        self.is_emulated = dtype == torch.bfloat16 and not has_native_bf16(self.device)
        self.flat = FlatWeights(self.model, dtype)
        self.sums = StepSums(self.flat, accelerator.num_processes)
        self.optimizer = Optimizer(self.flat, self.sums.gradient, spec.optimizer)
        order = SampleOrder(spec.seed, rows.num_rows, spec.batch_rows)
        self.order = order
        self.batches = MaskedBatches(
            rows, order, Masking(tables, spec.masking, spec.seed), self.steps
        )
        self.step = 0
        if before is not None:
            weights, state, record = before
            self.flat.load(weights)
            self.optimizer.load(state)
            self.step = int(record["step"])
        self.micro_rows = spec.micro_batch_rows or self._default_micro_rows(rows.row_tokens)

    def _default_micro_rows(self, row_tokens: int) -> int:
        tokens = _CPU_MICRO_TOKENS if self.device.type == "cpu" else _GPU_MICRO_TOKENS
        return max(1, tokens // row_tokens)

    def _make_model(self, row_tokens: int, tables: MaskingTables) -> RobertaMaskedLM:
        if self.spec.initial is not None:
            model = load_masked_lm(Path(self.spec.initial)).requires_grad_(True)
        else:
            assert self.spec.model is not None
            model = RobertaMaskedLM(self.spec.model)
            initialise(model, self.spec.seed, self.spec.start, tables.special_ids)
        config = model.config
        if config.max_row_tokens < row_tokens or config.vocab_size != tables.vocab_size:
            raise ValueError(
                f"the model takes rows of at most {config.max_row_tokens} tokens from a vocabulary "
                f"of {config.vocab_size}; the packed rows have {row_tokens} from "
                f"{tables.vocab_size}"
            )
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = self.spec.dropout
            elif isinstance(module, SelfAttention):
                module.attention_dropout = self.spec.dropout
        return model.to(self.device).train()

    def _spans(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """The micro-batches of this process for steps first..last (0-based, last excluded)."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        start, stop = my_share(self.spec.batch_rows, rank, processes)
        return [
            (step, at, min(at + self.micro_rows, stop))
            for step in range(first, last)
            for at in range(start, stop, self.micro_rows)
        ]

    def run(self, last: int, must_stop: Callable[[], bool]) -> Iterator[StepResult]:
        """Train up to step `last`, yielding each step; ends early when any process must stop."""
        prepared = self.batches.iterate(self._spans(self.step, last))
        per_step = len(self._spans(0, 1))
        try:
            while self.step < last:
                micro = [next(prepared) for _ in range(per_step)]
                result = self._train_step(micro, must_stop())
                yield result
                if result.must_stop:
                    return
        finally:
            prepared.close()  # type: ignore[attr-defined]

    def _train_step(self, micro: list[MaskedBatch], stop: bool) -> StepResult:
        self.sums.begin()
        loss_sum = torch.zeros((), device=self.device)
        count = sum(batch.num_masked for batch in micro)
        candidates_C = self._candidates(micro)
        for number, batch in enumerate(micro):
            loss_sum += self._backward(batch.to(self.device), number, candidates_C)
        means = self.sums.average(loss_sum, count, stop)
        self._check(means)
        factor = self.spec.schedule.factor(self.step, self.steps)
        self.optimizer.step(means.gradient_norm, factor)
        epochs, _ = self.order.rows_of(self.step, 0, 1)
        self.step += 1
        return StepResult(
            self.step,
            means.loss,
            means.num_tokens,
            self.spec.optimizer.learning_rate * factor,
            means.gradient_norm,
            int(epochs[0]),
            means.must_stop,
        )

    def _candidates(self, micro: list[MaskedBatch]) -> Tensor | None:
        """What the softmax runs over: the targets of all processes, or None for every token."""
        if self.spec.candidates == "vocabulary":
            return None
        seen_V = torch.zeros(self.model.config.vocab_size, device=self.device)
        for batch in micro:
            seen_V.index_fill_(0, batch.targets_M.to(self.device), 1.0)
        if self.accelerator.num_processes > 1:
            torch.distributed.all_reduce(seen_V)
        return seen_V.nonzero().flatten()

    def _backward(self, batch: MaskedBatch, number: int, candidates_C: Tensor | None) -> Tensor:
        """Add one micro-batch's gradients to the sum; its summed loss, not yet on the host."""
        if self.spec.dropout > 0:
            # Dropout depends on where in the training we are, never on how we came here.
            rank = self.accelerator.process_index
            (bits,) = random_bits(self.spec.seed, "dropout", self.step, rank, number)
            torch.manual_seed(int(bits) & (2**63 - 1))
        hidden_MD = self.model.encode_at(
            batch.input_ids_BT, batch.positions_M, batch.lengths_B, batch.most_in_row
        )
        loss = masked_lm_loss_sum(self.model, hidden_MD, batch.targets_M, candidates_C)
        loss.backward()  # type: ignore[no-untyped-call]
        self.sums.collect()
        return loss.detach()

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

        Raises:
            ValueError: A weight is no finite number; nothing is written.
        """
        self.check_weights()
        folder = Path(self.spec.folder) / f"{self.step:08d}"
        parameters = sum(p.numel() for p in self.model.parameters())
        facts: dict[str, Any] = {
            "training": self.spec.training,
            "step": self.step,
            "steps": self.steps,
            "seed": self.spec.seed,
            "num_parameters": parameters,
            "precision": self.precision,
        }
        weights, state = self.flat.weights(), self.optimizer.state()
        write_checkpoint(folder, self.model, weights, state, losses, facts)
        return folder
