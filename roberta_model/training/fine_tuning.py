"""What fine-tuning learns from: labelled examples, under a head that starts anew.

    examples ──▶ order ──▶ micro-batches by length ──▶ encoder, head ──▶ summed loss ──▶ gradients

The same loop drives it as pretraining, so its checkpoints, restarts and processes are the same.
The loss of a step is the mean over its items, whatever micro-batches and processes they fell to:
an item is an example, or a labelled token.

Shape letters: B examples, T tokens, D width, C classes, K targets of an example, U different
words of a step.
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from roberta_model.config import ModelConfig
from roberta_model.data.batches import prepared
from roberta_model.data.examples import ExampleBatch, Examples, Int64s
from roberta_model.data.ordering import SampleOrder
from roberta_model.encoder import Layer
from roberta_model.heads import (
    Head,
    QuestionAnsweringHead,
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.huggingface import load_config, load_under_head, load_with_head, read_config
from roberta_model.ragged import encode_ragged
from roberta_model.training.objective import seed_dropout, set_dropout
from roberta_model.training.spec import FineTuningSpec
from roberta_model.training.start import draw_weights, read_all_alike
from roberta_model.training.step_sums import StepSums
from roberta_model.weight_files import WeightFiles

# Tokens of one forward and backward pass. On CPUs several processes share a step's passes.
_CPU_PASS_TOKENS = 640
_GPU_PASS_TOKENS = 16_384
# On a GPU a step of fewer takes as long as its kernels are launched, so it is one pass.
_GPU_LEAST_TOKENS = 4096
_NUMBERED = re.compile(r"(LABEL_)?-?[0-9]+")
# What attending in one more group costs, in tokens of padding.
_CPU_GROUP_TOKENS = 16
_GPU_GROUP_TOKENS = 1024


@dataclass(frozen=True)
class StepShare:
    """What one process does in one step.

    Attributes:
        words_U: The words of the whole step, of all processes, each once.
        passes: Its micro-batches, each with its number in the step: dropout depends on that, not
            on the process.
    """

    words_U: Tensor
    passes: list[tuple[int, ExampleBatch]]


class FineTuningObjective:
    """Learning labelled examples.

    Args:
        spec: What to train, on what.
        accelerator: The processes that train together.

    Raises:
        ValueError: There are no examples, or one is longer than the model reads.
    """

    def __init__(self, spec: FineTuningSpec, accelerator: Accelerator) -> None:
        self.spec, self.accelerator, self.device = spec, accelerator, accelerator.device
        self.examples = Examples(Path(spec.examples))
        if not len(self.examples):
            raise ValueError("there are no examples to learn from")
        self.model: RobertaWithHead = first_model(spec).to(self.device).train()
        longest, limit = int(self.examples.lengths.max()), self.model.config.max_row_tokens
        if longest > limit:
            raise ValueError(f"an example has {longest} tokens; the model reads at most {limit}")
        self.order = SampleOrder(spec.seed, len(self.examples), spec.batch_rows)
        is_on_cpu = self.device.type == "cpu"
        self._pass_tokens = _CPU_PASS_TOKENS if is_on_cpu else _GPU_PASS_TOKENS
        self._least_tokens = 0 if is_on_cpu else _GPU_LEAST_TOKENS
        self._group_tokens = _CPU_GROUP_TOKENS if is_on_cpu else _GPU_GROUP_TOKENS
        if spec.micro_batch_rows is not None:
            self._pass_tokens, self._least_tokens = spec.micro_batch_rows * longest, 0
        weights = None if spec.weights is None else torch.tensor(spec.weights, device=self.device)
        self._loss_sum = _LOSSES[spec.head](self.model, spec, weights)

    @property
    def step_tokens(self) -> int:
        """Tokens of a step over all processes, on average."""
        return round(float(self.examples.lengths.mean()) * self.spec.batch_rows)

    def epoch(self, step: int) -> int:
        """The epoch in which a step (from 0) begins."""
        epochs, _ = self.order.rows_of(step, 0, 1)
        return int(epochs[0])

    def micro_batches(self, first: int, last: int) -> Generator[StepShare]:
        """This process's share of each step (from 0, last excluded), prepared ahead."""
        return prepared(self._share, ((step,) for step in range(first, last)))

    def _share(self, step: int) -> StepShare:
        """Cut the whole step, whatever the processes; then take this one's part of the cuts."""
        _, numbers = self.order.rows_of(step)
        lengths = self.examples.lengths[numbers]
        passes = shared_out(lengths.tolist(), self._num_passes(lengths))
        costs = [int(lengths[part].sum()) for part in passes]
        mine = shared_out(costs, self.accelerator.num_processes)[self.accelerator.process_index]
        pad_id = self.model.config.pad_id
        words_U = np.unique(np.concatenate([self.examples.ids(n) for n in numbers]))
        return StepShare(
            torch.from_numpy(words_U.astype(np.int64)),
            [
                (each, self.examples.batch(numbers[passes[each]], self._group_tokens, pad_id))
                for each in mine
            ],
        )

    def _num_passes(self, lengths: Int64s) -> int:
        """How many passes a step of rows so long is cut into: an even number, to be shared.

        It depends on the step alone, as dropout does, and not on how many processes there are: of
        a step so small that a GPU does it in one pass, others have nothing.
        """
        if (tokens := int(lengths.sum())) < self._least_tokens:
            return 1
        pairs = -(-tokens // (2 * self._pass_tokens))
        return min(2 * pairs, len(lengths))

    def backward(self, step: int, share: StepShare, sums: StepSums) -> tuple[Tensor, int]:
        """Compute the gradients of a step's micro-batches, and add them up.

        Returns:
            The summed loss, not yet on the host, and of how many items it is.
        """
        sums.begin(share.words_U if self.device.type == "cpu" else None)
        loss_sum, items = torch.zeros((), device=self.device), 0
        for number, batch in share.passes:
            seed_dropout(self.spec, step, number)
            loss, count = self._loss_sum(batch.to(self.device))
            loss.backward()
            sums.collect()
            loss_sum += loss.detach()
            items += count
        return loss_sum, items


def shared_out(costs: Sequence[int], num_processes: int) -> list[list[int]]:
    """Which pieces each process takes, so that all have about as much; the dearest go first."""
    taken: list[list[int]] = [[] for _ in range(num_processes)]
    sums = [0] * num_processes
    for piece in sorted(range(len(costs)), key=lambda n: (-costs[n], n)):
        least = sums.index(min(sums))
        taken[least].append(piece)
        sums[least] += costs[piece]
    return taken


LossSum = Callable[[ExampleBatch], tuple[Tensor, int]]


def _sequence_loss(
    model: RobertaWithHead, spec: FineTuningSpec, weights_C: Tensor | None
) -> LossSum:
    """The loss of a sequence classifier, whose last layer is computed at <s> alone."""

    def loss_sum(batch: ExampleBatch) -> tuple[Tensor, int]:
        hidden_BD = encode_ragged(model, batch.rows, firsts_only=True)
        logits_BC = model.head(hidden_BD[:, None]).float()
        targets_BK = batch.targets.view(len(logits_BC), -1)
        B, C = logits_BC.shape
        if spec.problem == "regression":
            return F.mse_loss(logits_BC, targets_BK, reduction="sum") / C, B
        if spec.problem == "multi_label_classification":
            total = F.binary_cross_entropy_with_logits(
                logits_BC, targets_BK, weights_C, reduction="sum"
            )
            return total / C, B
        classes_B = targets_BK[:, 0].long()
        return F.cross_entropy(logits_BC, classes_B, weights_C, reduction="sum"), B

    return loss_sum


def _token_loss(model: RobertaWithHead, _: FineTuningSpec, weights_C: Tensor | None) -> LossSum:
    """The loss of a token classifier over the tokens that have a class."""

    def loss_sum(batch: ExampleBatch) -> tuple[Tensor, int]:
        hidden_ND = encode_ragged(model, batch.rows)
        asked_M = (batch.targets >= 0).nonzero().flatten()
        logits_MC = model.head(hidden_ND.index_select(0, asked_M)).float()
        classes_M = batch.targets.index_select(0, asked_M).long()
        return F.cross_entropy(logits_MC, classes_M, weights_C, reduction="sum"), len(classes_M)

    return loss_sum


def _span_loss(model: RobertaWithHead, _: FineTuningSpec, __: Tensor | None) -> LossSum:
    """The mean of the losses of start and end, each a choice among the tokens of the row."""

    def loss_sum(batch: ExampleBatch) -> tuple[Tensor, int]:
        logits_N2 = model.head(encode_ragged(model, batch.rows)).float()
        targets_R2 = batch.targets.view(-1, 2).long()
        loss = logits_N2.new_zeros(())
        for group in batch.rows.groups:
            logits_B2T = group.spread(logits_N2[slice(*group.tokens)]).transpose(1, 2)
            if (bias_B11T := group.bias(logits_B2T.dtype)) is not None:
                logits_B2T = logits_B2T + bias_B11T[:, 0]
            targets_B2 = targets_R2[slice(*group.rows)]
            loss = loss + F.cross_entropy(
                logits_B2T.flatten(0, 1), targets_B2.flatten(), reduction="sum"
            )
        return loss / 2, len(targets_R2)

    return loss_sum


_LOSSES = {"sequence": _sequence_loss, "tokens": _token_loss, "span": _span_loss}


def new_head(spec: FineTuningSpec, config: ModelConfig) -> Head:
    """The head that a fine-tuning gives an encoder of this shape."""
    if spec.head == "span":
        return QuestionAnsweringHead(config)
    if spec.head == "tokens":
        return TokenClassificationHead(config, spec.labels, spec.dropout)
    return SequenceClassificationHead(config, spec.labels, spec.dropout, spec.problem)


def first_model(spec: FineTuningSpec) -> RobertaWithHead:
    """The given encoder under a new head, whose weights depend on the seed alone.

    A folder that was fine-tuned for classes of the same names, or for answers, keeps its head.

    Raises:
        ValueError: The folder's files are damaged, or of no RoBERTa.
    """
    folder = Path(str(spec.initial))
    head = new_head(spec, config := load_config(folder))
    if _answers_the_same(folder, head):
        model = load_with_head(folder, type(head))
    else:
        draw_weights(head, config.initializer_range, spec.seed)
        model = load_under_head(folder, head)
    if spec.first_attention == "uniform":
        read_all_alike(cast(Layer, model.layers[-1]))
    set_dropout(model.requires_grad_(True), spec.dropout)
    return model


def _answers_the_same(folder: Path, head: Head) -> bool:
    """Whether the head in a folder is there, of the same kind, and of the same classes by name.

    Numbers are no names: the 1 of one set is yes, that of another no.
    """
    known, asked = read_config(folder), head.to_huggingface()
    if any(_NUMBERED.fullmatch(name) for name in asked.get("label2id", ())):
        return False
    with WeightFiles(folder) as files:
        are_there = all(head.stock_name(name) in files for name, _ in head.named_parameters())
    same = all(known.get(key) == asked[key] for key in asked if not key.endswith("dropout"))
    return are_there and same
