"""How good a model is: loss on held-out rows, and the pseudo-log-likelihood of sequences.

Held-out masks are frozen: a function of the row number alone, in a namespace of their own, so
two models with the same tokenizer are asked exactly the same questions. The head runs on the
asked positions only, and on a bounded number of them at a time: the logits of a whole batch
(B x T x V) never exist.

Shapes: B sequences, T tokens, D width, M or N positions, V vocabulary.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from roberta_model.data.batches import masked_batch
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_detail import Answers, HeldOutDetail
from roberta_model.held_out_score import HeldOutScore, ScoreByKind, Unigram, kinds_of
from roberta_model.recipe import MaskingRecipe

_HELD_OUT = "held-out"
HEAD_ROWS = 512  # positions whose logits exist at once: 100 MB at 50,000 tokens
_WINDOW_TOKENS = 1 << 22  # tokens of the masked copies held at once


class MaskedLM(Protocol):
    """What scoring asks of a model."""

    def encode_at(
        self,
        input_ids_BT: Tensor,
        positions_M: Tensor,
        lengths_B: Tensor | None = None,
        most_in_row: int | None = None,
    ) -> Tensor:
        """Return the hidden states at some positions of the flattened B x T, [M, D]."""

    def head(self, hidden_ND: Tensor) -> Tensor:
        """Return the logits over the vocabulary, [N, V]."""


def masked_loss(
    model: nn.Module,
    rows: PackedRows,
    tables: MaskingTables,
    *,
    token_counts: NDArray[np.int64] | None = None,
    max_rows: int | None = None,
    part: tuple[int, int] = (0, 1),
    draw: int = 0,
    detail: HeldOutDetail | None = None,
    batch_tokens: int = 16_384,
) -> HeldOutScore:
    """Score a model on held-out rows with frozen masks, and a unigram baseline beside it.

    Models are comparable only under the same masks, so they are RoBERTa's (15 % of single tokens),
    whatever a model was trained with.

    Args:
        model: Has encode_at and head, see MaskedLM.
        rows: The held-out rows.
        tables: What masking knows of the vocabulary.
        token_counts: How often each id stands in the training rows; None for no baseline.
        max_rows: At most this many rows, spread evenly over the data.
        part: (i, n) scores the i-th of n parts of those rows; the parts' sums add up.
        draw: Which masks: 0 are the frozen ones, others those of further visits to a row.
        detail: Is told every answer; its rows are those that are scored, in order.
        batch_tokens: Tokens in one forward pass.

    Returns:
        Sums in float64 by kind of position; the same on every call with the same number of threads.
    """
    masking = Masking(tables, MaskingRecipe(), seed=0, purpose=_HELD_OUT)
    numbers = chosen_rows(rows.num_rows, max_rows, part)
    batch_rows = max(1, batch_tokens // max(rows.row_tokens, 1))
    unigram = None if token_counts is None else Unigram(token_counts, tables)
    score = HeldOutScore()
    with scoring(model) as (encoder, device):
        for start in range(0, len(numbers), batch_rows):
            chosen = numbers[start : start + batch_rows]
            batch = masked_batch(rows, chosen, np.full_like(chosen, draw), masking).to(device)
            hidden_MD = encoder.encode_at(
                batch.input_ids_BT, batch.positions_M, batch.lengths_B, batch.most_in_row
            )
            seen_M = batch.input_ids_BT.flatten()[batch.positions_M]
            for start_M in range(0, batch.num_masked, HEAD_ROWS):
                span = slice(start_M, start_M + HEAD_ROWS)
                targets_N = batch.targets_M[span]
                is_kind_N3 = kinds_of(seen_M[span], targets_N, tables.mask_id)
                answered = _answered(encoder.head(hidden_MD[span]).float(), targets_N)
                score += HeldOutScore(
                    ScoreByKind.of(is_kind_N3, *answered[:2]),
                    unigram.score(is_kind_N3, targets_N) if unigram else ScoreByKind(),
                )
                if detail is not None:
                    places_N, width = batch.positions_M[span], batch.input_ids_BT.shape[1]
                    where = (places_N // width + start, places_N % width, targets_N)
                    detail.add(_on_cpu(*where, is_kind_N3[:, 0], *answered))
    return score


def _on_cpu(*parts: Tensor) -> Answers:
    return Answers(*(part.cpu().numpy() for part in parts))


def chosen_rows(
    num_rows: int, max_rows: int | None = None, part: tuple[int, int] = (0, 1)
) -> NDArray[np.int64]:
    """The numbers of the rows that are scored: at most so many, spread evenly, and a part of them.

    >>> chosen_rows(10, 4).tolist(), chosen_rows(10, 4, (1, 2)).tolist()
    ([0, 2, 5, 7], [5, 7])
    """
    wanted = num_rows if max_rows is None else min(num_rows, max_rows)
    numbers = np.arange(wanted, dtype=np.int64) * num_rows // max(wanted, 1)
    return numbers[part_of(wanted, part)]


def part_of(num_rows: int, part: tuple[int, int]) -> slice:
    """The rows of the i-th of n parts, (i, n)."""
    return slice(num_rows * part[0] // part[1], num_rows * (part[0] + 1) // part[1])


def _answered(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each position: the loss, float64; whether the target alone came first; how sure it was."""
    own_N1 = logits_NV.gather(1, targets_N[:, None])
    norms_N = logits_NV.logsumexp(dim=1)
    losses_N = norms_N.double() - own_N1[:, 0].double()
    sure_N = (logits_NV.amax(dim=1) - norms_N).exp()
    return losses_N, (logits_NV >= own_N1).sum(dim=1) == 1, sure_N


def pseudo_log_likelihood(
    model: nn.Module,
    sequences: Sequence[Sequence[int]],
    *,
    mask_id: int,
    special_ids: Sequence[int],
    batch_tokens: int = 8192,
) -> list[float]:
    """Return each sequence's pseudo-log-likelihood (Salazar et al. 2020), in nats.

    The sum over its tokens of log p(token | all the others), special tokens not counted; see
    token_log_probabilities. A sequence without ordinary tokens scores 0.
    """
    per_token = token_log_probabilities(
        model, sequences, mask_id=mask_id, special_ids=special_ids, batch_tokens=batch_tokens
    )
    return [math.fsum(values) for values in per_token]


def token_log_probabilities(
    model: nn.Module,
    sequences: Sequence[Sequence[int]],
    *,
    mask_id: int,
    special_ids: Sequence[int],
    batch_tokens: int = 8192,
) -> list[list[float]]:
    """Return log p(token | the others) of each ordinary token of each sequence.

    Each masked copy is computed once, however many sequences share it (the two sentences of a
    minimal pair do wherever the word that differs is the masked one). Copies are batched with
    others of exactly their length, so there is no padding and equal sequences score equally.

    Args:
        model: Has encode_at and head, see MaskedLM.
        sequences: Token ids, special tokens included as the model is to see them.
        mask_id: The id of <mask>.
        special_ids: Ids that are not scored; <mask> itself never is.
        batch_tokens: Tokens in one forward pass.

    Returns:
        For each sequence the log-probabilities of its ordinary tokens, in order.
    """
    unscored = {*special_ids, mask_id}
    rows = [tuple(ids) for ids in sequences]
    known: dict[tuple[int, ...], list[float]] = {}
    with scoring(model) as (encoder, device):
        for window in _windows(list(dict.fromkeys(rows))):
            asked = _Questions(window, mask_id, unscored)
            known.update(zip(window, asked.answer(encoder, device, batch_tokens), strict=True))
    return [known[row] for row in rows]


class _Questions:
    """The masked copies of some sequences, each distinct one once."""

    def __init__(
        self, sequences: Sequence[tuple[int, ...]], mask_id: int, unscored: set[int]
    ) -> None:
        self.copies: dict[tuple[bytes, int], list[int]] = {}  # (masked ids, place) -> targets
        self.targets: list[int] = []
        self.num_targets: list[int] = []
        for ids in sequences:
            first = len(self.targets)
            row = np.array(ids, dtype=np.int32)
            for place, target in enumerate(ids):
                if target not in unscored:
                    masked = row.copy()
                    masked[place] = mask_id
                    self.copies.setdefault((masked.tobytes(), place), []).append(len(self.targets))
                    self.targets.append(target)
            self.num_targets.append(len(self.targets) - first)

    def answer(
        self, encoder: MaskedLM, device: torch.device, batch_tokens: int
    ) -> list[list[float]]:
        """Return the log-probabilities of each sequence's targets, in order."""
        values = np.zeros(len(self.targets))
        targets = np.array(self.targets, dtype=np.int64)
        for copies in self._batches(batch_tokens):
            ids_BT = np.stack([np.frombuffer(masked, dtype=np.int32) for masked, _ in copies])
            places_B = (
                np.array([place for _, place in copies]) + np.arange(len(copies)) * ids_BT.shape[1]
            )
            asking = [self.copies[copy] for copy in copies]
            which_N = np.repeat(np.arange(len(copies)), [len(numbers) for numbers in asking])
            numbers_N = np.concatenate(asking)
            hidden_BD = encoder.encode_at(
                torch.from_numpy(ids_BT.astype(np.int64)).to(device),
                torch.from_numpy(places_B).to(device),
                most_in_row=1,
            )
            logits_BV = encoder.head(hidden_BD).float()
            chosen_N = logits_BV[
                torch.from_numpy(which_N).to(device),
                torch.from_numpy(targets[numbers_N]).to(device),
            ]
            norms_N = logits_BV.logsumexp(dim=1)[torch.from_numpy(which_N).to(device)]
            values[numbers_N] = (chosen_N.double() - norms_N.double()).cpu().numpy()
        ends = np.cumsum(self.num_targets)[:-1]
        return [part.tolist() for part in np.split(values, ends)]

    def _batches(self, batch_tokens: int) -> Iterator[list[tuple[bytes, int]]]:
        """Yield copies of one length at a time, as many as a forward pass may hold."""
        by_size: dict[int, list[tuple[bytes, int]]] = {}
        for copy in self.copies:
            by_size.setdefault(len(copy[0]), []).append(copy)
        for size, copies in sorted(by_size.items()):
            num_tokens = size // np.dtype(np.int32).itemsize
            step = max(1, min(batch_tokens // num_tokens, HEAD_ROWS))
            for start in range(0, len(copies), step):
                yield copies[start : start + step]


def _windows(sequences: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Cut a list where the masked copies, one of each token, would fill the window."""
    window: list[tuple[int, ...]] = []
    filled = 0
    for ids in sequences:
        if window and filled + len(ids) ** 2 > _WINDOW_TOKENS:
            yield window
            window, filled = [], 0
        window.append(ids)
        filled += len(ids) ** 2
    if window:
        yield window


@contextlib.contextmanager
def scoring(model: nn.Module) -> Iterator[tuple[MaskedLM, torch.device]]:
    """Evaluation mode without gradients; the model's mode is put back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield cast(MaskedLM, model), next(model.parameters()).device
    finally:
        model.train(was_training)
