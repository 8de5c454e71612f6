"""Labelled examples, and batches of them in which next to nothing is padding.

An Arrow file has a row for each example, and two columns:

    ids      list<int32>    what the model reads, special tokens included
    targets  list<float32>  what it is to answer: one class, one value for each class, a value, a
                            class for each token (IGNORED for those not asked), or start and end

A batch of them holds no padding, see `ragged`; its groups follow from the lengths alone.

Shape letters: B examples, T tokens of the longest, K targets of an example.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from roberta_model.ragged import Ragged

IGNORED = -100.0

SCHEMA = pa.schema([("ids", pa.list_(pa.int32())), ("targets", pa.list_(pa.float32()))])

Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class ExampleBatch:
    """Some examples, ready for the model.

    Attributes:
        rows: Their tokens, in groups of similar length.
        targets: float32, all of them one behind the other: K of each row, or one of each token.
    """

    rows: Ragged
    targets: Tensor

    def to(self, device: torch.device | str) -> "ExampleBatch":
        """Return the batch on a device, copied without blocking where that is possible."""
        return ExampleBatch(self.rows.to(device), self.targets.to(device, non_blocking=True))


class Examples:
    """The examples of one file, in memory as two flat arrays.

    Args:
        path: The Arrow file.

    Attributes:
        lengths: int64, tokens of each example.
    """

    def __init__(self, path: Path) -> None:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all().combine_chunks()
        self._ids, self._ends = _flat(table, "ids", np.int32)
        self._targets, self._target_ends = _flat(table, "targets", np.float32)
        self.lengths: Int64s = np.diff(self._ends)

    def __len__(self) -> int:
        return len(self.lengths)

    def ids(self, number: int) -> NDArray[np.int32]:
        """The token ids of one example."""
        ids: NDArray[np.int32] = self._ids[self._ends[number] : self._ends[number + 1]]
        return ids

    def targets(self, number: int) -> NDArray[np.float32]:
        """The targets of one example."""
        first, last = self._target_ends[number], self._target_ends[number + 1]
        targets: NDArray[np.float32] = self._targets[first:last]
        return targets

    def batch(self, numbers: Int64s, pass_tokens: int, pad_id: int) -> ExampleBatch:
        """Some examples as one batch; see `cut_by_length` for how they are grouped."""
        lengths = self.lengths[numbers]
        cuts = cut_by_length(lengths, pass_tokens, int(lengths.sum()) + int(lengths.max()))
        groups = [numbers[cut] for cut in cuts]
        rows = [[self.ids(number) for number in group] for group in groups]
        targets = np.concatenate([self.targets(n) for group in groups for n in group])
        return ExampleBatch(Ragged.of(rows, pad_id), torch.from_numpy(targets))


def padded_ids(rows: list[NDArray[np.int32]], pad_id: int) -> tuple[Tensor, Tensor | None]:
    """Rows of token ids as one int64 tensor BT, and their lengths B; None when all are equal."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.full((len(rows), int(lengths.max(initial=1))), pad_id, dtype=np.int64)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    is_full = bool((lengths == ids.shape[1]).all())
    return torch.from_numpy(ids), None if is_full else torch.from_numpy(lengths)


def cut_by_length(lengths: Int64s, pass_tokens: int, most_tokens: int) -> list[Int64s]:
    """Cut examples into groups of similar length, so that the least time is lost.

    A group costs its size times its longest, and `pass_tokens` for being a pass of its own. Of
    all ways to cut the examples in order of length the cheapest is taken.

    Args:
        lengths: Tokens of each example.
        pass_tokens: What a forward and backward pass costs beside its tokens, in tokens.
        most_tokens: A group holds no more tokens, padding included, unless it is one example.

    Returns:
        Numbers into `lengths`, int64, for each group; longest first.
    """
    order = np.argsort(-lengths, kind="stable")
    longest = lengths[order]
    count = len(order)
    cost = np.full(count + 1, np.inf)
    cost[0] = 0.0
    begin = np.zeros(count + 1, dtype=np.int64)
    for first in range(count):
        # A group that begins at `first`, of 1 to as many as fit.
        most = max(1, most_tokens // max(1, int(longest[first])))
        sizes = np.arange(1, min(most, count - first) + 1)
        total = cost[first] + sizes * longest[first] + pass_tokens
        ends = first + sizes
        better = total < cost[ends]
        cost[ends[better]], begin[ends[better]] = total[better], first
    groups, end = [], count
    while end:
        groups.append(order[begin[end] : end])
        end = int(begin[end])
    return groups[::-1]


def _flat(table: pa.Table, name: str, kind: type) -> tuple[NDArray[Any], Int64s]:
    """The values of a column of lists, and where each list begins and ends."""
    chunks = table[name].chunks
    if not chunks:
        return np.empty(0, dtype=kind), np.zeros(1, dtype=np.int64)
    column = chunks[0]
    return column.values.to_numpy(), column.offsets.to_numpy().astype(np.int64)
