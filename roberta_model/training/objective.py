"""What pretraining learns from: tokens hidden in packed rows, and what guessing them costs.

    rows ──▶ order ──▶ masks ──▶ micro-batches of this process ──▶ summed loss ──▶ gradients

The loop knows none of it: it asks for the micro-batches of each step, and has them turned into
gradients. Another objective, such as `fine_tuning`, has a model and the same public methods.

Shape letters: B rows, T tokens in a row, M masked positions, V vocabulary, C candidates.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from roberta_model.data.batches import MaskedBatch, MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.randomness import random_bits
from roberta_model.data.rows import PackedRows
from roberta_model.encoder import Encoder, SelfAttention
from roberta_model.heads import RobertaWithHead
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.training.compiling import can_compile, compile_layers
from roberta_model.training.loss import masked_lm_loss_sum
from roberta_model.training.spec import RunSpec, TrainingSpec
from roberta_model.training.start import initialise
from roberta_model.training.step_sums import StepSums

CPU_MICRO_TOKENS = 4096
GPU_MICRO_TOKENS = 65_536


ShareT = TypeVar("ShareT")


class Objective(Protocol[ShareT]):
    """What the loop asks of an objective."""

    @property
    def model(self) -> RobertaWithHead:
        """The model with its first weights, on the device, in training mode."""
        ...

    @property
    def step_tokens(self) -> int:
        """Tokens of a step over all processes."""
        ...

    def epoch(self, step: int) -> int:
        """The epoch in which a step (from 0) begins."""
        ...

    def micro_batches(self, first: int, last: int) -> Generator[ShareT]:
        """This process's share of each step (from 0, last excluded), prepared ahead."""
        ...

    def backward(self, step: int, share: ShareT, sums: StepSums) -> tuple[Tensor, int]:
        """Sum a step's gradients; the summed loss, and how many items it is of."""
        ...


def my_share(batch_rows: int, rank: int, num_processes: int) -> tuple[int, int]:
    """The span of a global batch that one process trains on; shares differ by at most a row."""
    return batch_rows * rank // num_processes, batch_rows * (rank + 1) // num_processes


class MaskedLMObjective:
    """Masked language modelling on packed rows.

    Args:
        spec: What to train, on what.
        steps: Of the whole training.
        accelerator: The processes that train together.

    Attributes:
        batches: Of the whole training.

    Raises:
        ValueError: There are no rows, or rows and model do not fit together.
    """

    def __init__(self, spec: TrainingSpec, steps: int, accelerator: Accelerator) -> None:
        self.spec, self.accelerator, self.device = spec, accelerator, accelerator.device
        rows = PackedRows(spec.rows)
        if not rows.num_rows:
            raise ValueError("there are no rows to train on")
        tables = MaskingTables.load(spec.tables)
        self.model: RobertaMaskedLM = (
            _first_model(spec, rows.row_tokens, tables).to(self.device).train()
        )
        if can_compile(self.device):
            compile_layers(self.model)
        order = SampleOrder(spec.seed, rows.num_rows, spec.batch_rows)
        self.batches = MaskedBatches(rows, order, Masking(tables, spec.masking, spec.seed), steps)
        most = CPU_MICRO_TOKENS if self.device.type == "cpu" else GPU_MICRO_TOKENS
        self.micro_rows = spec.micro_batch_rows or max(1, most // rows.row_tokens)

    @property
    def step_tokens(self) -> int:
        """Tokens of a step over all processes."""
        return self.spec.batch_rows * self.batches.rows.row_tokens

    def epoch(self, step: int) -> int:
        """The epoch in which a step (from 0) begins."""
        epochs, _ = self.batches.order.rows_of(step, 0, 1)
        return int(epochs[0])

    def micro_batches(self, first: int, last: int) -> Generator[list[MaskedBatch]]:
        """This process's micro-batches of each step (from 0, last excluded), prepared ahead.

        Empty lists where a process has no rows, since there are more of them than rows.
        """
        spans = self._spans(first, last)
        per_step = len(spans) // max(1, last - first)
        with closing(self.batches.iterate(spans)) as prepared:
            for _ in range(first, last):
                yield [next(prepared) for _ in range(per_step)]

    def _spans(self, first: int, last: int) -> list[tuple[int, int, int]]:
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        start, stop = my_share(self.spec.batch_rows, rank, processes)
        return [
            (step, at, min(at + self.micro_rows, stop))
            for step in range(first, last)
            for at in range(start, stop, self.micro_rows)
        ]

    def backward(self, step: int, micro: list[MaskedBatch], sums: StepSums) -> tuple[Tensor, int]:
        """Compute the gradients of a step's micro-batches, and add them up.

        Returns:
            The summed loss, not yet on the host, and of how many tokens it is.
        """
        sums.begin()
        loss_sum = torch.zeros((), device=self.device)
        candidates_C = self._candidates(micro)
        for number, batch in enumerate(micro):
            seed_dropout(self.spec, step, self.accelerator.process_index, number)
            on_device = batch.to(self.device)
            hidden_MD = self.model.encode_at(
                on_device.input_ids_BT,
                on_device.positions_M,
                on_device.lengths_B,
                on_device.most_in_row,
            )
            loss = masked_lm_loss_sum(self.model, hidden_MD, on_device.targets_M, candidates_C)
            loss.backward()
            sums.collect()
            loss_sum += loss.detach()
        return loss_sum, sum(batch.num_masked for batch in micro)

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


def seed_dropout(spec: RunSpec, step: int, *which: int) -> None:
    """Dropout depends on where in the training we are, never on how we came here."""
    if spec.dropout > 0:
        (bits,) = random_bits(spec.seed, "dropout", step, *which)
        torch.manual_seed(int(bits) & (2**63 - 1))


def set_dropout(model: Encoder, share: float) -> None:
    """Drop this share everywhere in a model."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        elif isinstance(module, SelfAttention):
            module.attention_dropout = share


def _first_model(spec: TrainingSpec, row_tokens: int, tables: MaskingTables) -> RobertaMaskedLM:
    """The model that the training begins with, given or drawn, with the training's dropout."""
    if spec.initial is not None:
        model = load_masked_lm(Path(spec.initial)).requires_grad_(True)
    else:
        assert spec.model is not None
        model = RobertaMaskedLM(spec.model)
        initialise(model, spec.seed, spec.start, tables.special_ids)
    config = model.config
    if config.max_row_tokens < row_tokens or config.vocab_size != tables.vocab_size:
        raise ValueError(
            f"the model takes rows of at most {config.max_row_tokens} tokens from a vocabulary "
            f"of {config.vocab_size}; the packed rows have {row_tokens} from {tables.vocab_size}"
        )
    set_dropout(model, spec.dropout)
    return model
