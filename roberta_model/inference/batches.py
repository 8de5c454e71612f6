"""Texts as batches of ids: encoded side by side, sorted by length, padded as little as can be.

Shape letters: B rows, T tokens in the longest of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from roberta_model.inference.encodable import lone_half
from roberta_model.inference.unusable import UnusableError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Text = str | tuple[str, str]
"""A text, or two that belong together."""

_CPU_TOKENS = 2048
_GPU_TOKENS = 1 << 16


@dataclass(frozen=True)
class Batch:
    """Some rows of about one length.

    Attributes:
        numbers: Which of the given sequences they are.
        ids_BT: Their ids, padded at the end.
        lengths_B: How many of each row's are real; None where all are.
    """

    numbers: list[int]
    ids_BT: Tensor
    lengths_B: Tensor | None


def encode(tokenizer: "Tokenizer", texts: Sequence[Text], first: int = 1) -> "list[Encoding]":
    """Tokenise texts on all cores, special tokens around them.

    Args:
        tokenizer: The model's.
        texts: Texts, or pairs of them.
        first: The number of the first text, for messages.

    Raises:
        UnusableError: A text is none that an encoding can carry; names its number.
    """
    for number, text in enumerate(texts, start=first):
        require_encodable((text,) if isinstance(text, str) else text, number)
    encoded: list[Encoding] = tokenizer.encode_batch(list(texts))
    return encoded


def too_long(sequences: Sequence[Sequence[int]], limit: int) -> list[str | None]:
    """Of each row of tokens what is wrong with its length, where a model reads `limit` at most.

    >>> too_long([[0, 2], [0, 7, 2]], limit=2)
    [None, '3 tokens, and the model reads at most 2']
    """
    return [
        None if len(ids) <= limit else f"{len(ids)} tokens, and the model reads at most {limit}"
        for ids in sequences
    ]


def require_encodable(parts: Iterable[str], number: int) -> None:
    """Hold the parts of a text against what a tokenizer takes.

    Raises:
        UnusableError: An encoding cannot carry one of them; names the text's number.
    """
    for part in parts:
        if (half := lone_half(part)) is not None:
            raise UnusableError(f"Text {number:,} holds {half}. Mend it.")


def batch_tokens(device: torch.device) -> int:
    """The most tokens in one forward pass on a device, padding included."""
    return _GPU_TOKENS if device.type == "cuda" else _CPU_TOKENS


def batches(
    sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> Iterator[Batch]:
    """Every sequence that has tokens once, the longest first, as batches on a device.

    >>> cpu = torch.device("cpu")
    >>> (batch,) = batches([[0, 2], [], [0, 7, 2]], pad_id=1, device=cpu)
    >>> batch.numbers, batch.ids_BT.tolist(), batch.lengths_B.tolist()
    ([2, 0], [[0, 7, 2], [0, 2, 1]], [3, 2])
    """
    most = batch_tokens(device)
    order = [number for number, ids in enumerate(sequences) if ids]
    order.sort(key=lambda number: -len(sequences[number]))
    start = 0
    while start < len(order):
        T = len(sequences[order[start]])
        numbers = order[start : start + max(1, most // T)]
        start += len(numbers)
        rows = [sequences[number] for number in numbers]
        ids_BT = torch.full((len(rows), T), pad_id)
        for row, ids in enumerate(rows):
            ids_BT[row, : len(ids)] = torch.tensor(ids)
        lengths_B = torch.tensor([len(ids) for ids in rows])
        is_padded = len(rows[-1]) < T
        yield Batch(numbers, ids_BT.to(device), lengths_B.to(device) if is_padded else None)
