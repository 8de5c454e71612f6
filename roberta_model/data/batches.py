"""Masked batches of a run: which rows a step sees, hidden how, as tensors.

    SampleOrder ──(epochs, rows)──▶ PackedRows ──tokens──▶ Masking ──▶ MaskedBatch

A batch is a pure function of (step, start, stop), so each process and each accumulation step
asks for its own span of the global batch and nothing is skipped or replayed on resume. The
next ones are prepared by one background thread while the current one is trained on; the heavy
parts are numpy and Arrow calls, so no second process and no pickling is needed.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roberta_model.data.masking import Masking
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows

Span = tuple[int, int, int]  # step, start, stop
T = TypeVar("T")

_TRIM_MULTIPLE = 8  # matrix units like widths that are multiples of this
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class MaskedBatch:
    """One batch, ready for the model.

    Attributes:
        input_ids_BT: int64 token ids with the replacements.
        lengths_B: int64 real tokens of each row, or None when every row is full.
        positions_M: int64 ascending indices of the chosen tokens into the flattened B x T.
        targets_M: int64 the original ids at those positions.
        most_in_row: The most chosen tokens that one row has.
    """

    input_ids_BT: Tensor
    lengths_B: Tensor | None
    positions_M: Tensor
    targets_M: Tensor
    most_in_row: int

    @property
    def num_masked(self) -> int:
        """How many positions are to be predicted."""
        return len(self.positions_M)

    def to(self, device: torch.device | str) -> "MaskedBatch":
        """Return the batch on a device, copied without blocking where that is possible."""
        lengths_B = self.lengths_B
        return MaskedBatch(
            self.input_ids_BT.to(device, non_blocking=True),
            None if lengths_B is None else lengths_B.to(device, non_blocking=True),
            self.positions_M.to(device, non_blocking=True),
            self.targets_M.to(device, non_blocking=True),
            self.most_in_row,
        )


class MaskedBatches:
    """The batches of a run.

    Args:
        rows: The packed data.
        order: Which rows each step sees.
        masking: How they are hidden.
        total_steps: Steps of the whole run, over which the masking rate moves.
    """

    def __init__(
        self,
        rows: PackedRows,
        order: SampleOrder,
        masking: Masking,
        total_steps: int,
    ) -> None:
        if order.num_rows != rows.num_rows:
            raise ValueError(
                f"the order is of {order.num_rows} rows, the packed data has {rows.num_rows}"
            )
        self.rows = rows
        self.order = order
        self.masking = masking
        self.total_steps = total_steps

    def batch(self, step: int, start: int = 0, stop: int | None = None) -> MaskedBatch:
        """Return samples start..stop of the global batch of a step."""
        epochs, numbers = self.order.rows_of(step, start, stop)
        rate = self.masking.recipe.rate_at(step, self.total_steps)
        return masked_batch(self.rows, numbers, epochs, self.masking, rate)

    def iterate(self, spans: Iterable[Span], ahead: int = 4) -> Generator[MaskedBatch]:
        """Yield the batch of each (step, start, stop), preparing the next ones meanwhile.

        An error in the preparation is raised here, at its turn. The thread ends with the
        iterator: after the last batch, after an error, or when the iterator is closed.

        Args:
            spans: What to prepare, in order.
            ahead: How many batches may wait.
        """
        return prepared(self.batch, spans, ahead)


def masked_batch(
    rows: PackedRows,
    numbers_B: NDArray[np.int64],
    epochs_B: NDArray[np.int64],
    masking: Masking,
    rate: float | None = None,
) -> MaskedBatch:
    """Read rows, hide tokens, and drop the columns that are padding in every row.

    Args:
        rows: The packed data.
        numbers_B: Which rows.
        epochs_B: The epoch of each, which its mask depends on.
        masking: How they are hidden.
        rate: Share of the maskable tokens to choose, where it is not the recipe's first one.

    Returns:
        The batch on the CPU; the width is a multiple of 8 or the full row.
    """
    lengths_B = rows.lengths(numbers_B)
    tokens_BT = rows.tokens(numbers_B)
    longest = int(lengths_B.max(initial=0))
    is_full = bool((lengths_B == rows.row_tokens).all())
    width = min(-(-max(longest, 1) // _TRIM_MULTIPLE) * _TRIM_MULTIPLE, rows.row_tokens)
    hidden = masking.hide(
        tokens_BT[:, :width], None if is_full else lengths_B, epochs_B, numbers_B, rate
    )
    return MaskedBatch(
        torch.from_numpy(hidden.input_ids_BT),
        None if is_full else torch.from_numpy(lengths_B.astype(np.int64)),
        torch.from_numpy(hidden.positions_M),
        torch.from_numpy(hidden.targets_M),
        int(np.bincount(hidden.positions_M // width).max(initial=1)),
    )


def prepared(
    make: Callable[..., T], spans: Iterable[tuple[int, ...]], ahead: int = 4
) -> Generator[T]:
    """Yield make(*span) for each span, made in a thread that stays at most `ahead` in front."""
    if ahead < 1:
        raise ValueError(f"at least one batch must be prepared ahead, not {ahead}")
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: tuple[T] | BaseException | None) -> None:
        waiting = True
        while waiting and not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_POLL_SECONDS)
                waiting = False

    def work() -> None:
        try:
            for span in spans:
                if stopped.is_set():
                    return
                put((make(*span),))
        except BaseException as error:  # raised again in the thread that asks for the batch
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stopped.set()
        thread.join()
