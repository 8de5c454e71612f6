"""What a held-out score hides: by row, by the token's frequency, place and source, by confidence.

Only positions that show <mask> are counted: at the others the answer, or a wrong one, stands in
the input.

Shapes: N positions, R rows, V vocabulary, G bands.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FREQUENCY_EDGES = (1, 10, 100, 1000, 10_000)
FREQUENCY_NAMES = ("0", "1 to 9", "10 to 99", "100 to 999", "1,000 to 9,999", "10,000 and more")
POSITION_NAMES = ("first quarter", "second quarter", "third quarter", "last quarter")
MEASURES = ("tokens", "loss", "right", "bytes")
CONFIDENCE_BINS = 10


class Answers(NamedTuple):
    """What a model answered at some positions.

    Attributes:
        rows_N: Which of the scored rows, from 0.
        columns_N: Where in its row.
        targets_N: The token asked for.
        is_hidden_N: Whether <mask> stands there.
        losses_N: Cross-entropy in nats.
        is_right_N: Whether the target alone came first.
        confidence_N: The probability of what came first.
    """

    rows_N: NDArray[np.int64]
    columns_N: NDArray[np.int64]
    targets_N: NDArray[np.int64]
    is_hidden_N: NDArray[np.bool_]
    losses_N: NDArray[np.float64]
    is_right_N: NDArray[np.bool_]
    confidence_N: NDArray[np.float64]


@dataclass
class HeldOutDetail:
    """Sums of tokens, loss (nats), right answers and bytes: of each row, and of each band.

    Args:
        num_rows: How many rows are scored.
        row_tokens: Tokens in a row.
        counts_V: How often each token stands in the training rows.
        bytes_V: How many bytes of text each token stands for.
    """

    num_rows: int
    row_tokens: int
    counts_V: NDArray[np.int64]
    bytes_V: NDArray[np.int64]

    def __post_init__(self) -> None:
        self.rows = np.zeros((len(MEASURES), self.num_rows))
        self.frequency = np.zeros((len(MEASURES), len(FREQUENCY_NAMES)))
        self.position = np.zeros((len(MEASURES), len(POSITION_NAMES)))
        self.calibration = np.zeros((3, CONFIDENCE_BINS))
        self.source = np.zeros((len(MEASURES), 0))
        self.sources_RT: NDArray[np.int32] | None = None

    def tell_sources(self, sources_RT: NDArray[np.int32], num_sources: int) -> None:
        """Say which source each token of the scored rows is from; before anything is added."""
        self.sources_RT = sources_RT
        self.source = np.zeros((len(MEASURES), num_sources))

    def add(self, answers: Answers) -> None:
        """Count the answers at hidden positions."""
        hidden = answers.is_hidden_N
        targets_N = answers.targets_N[hidden]
        values = np.stack(
            [
                np.ones(len(targets_N)),
                answers.losses_N[hidden],
                answers.is_right_N[hidden].astype(np.float64),
                self.bytes_V[targets_N].astype(np.float64),
            ]
        )
        frequency_N = np.searchsorted(FREQUENCY_EDGES, self.counts_V[targets_N], side="right")
        rows_N, columns_N = answers.rows_N[hidden], answers.columns_N[hidden]
        position_N = columns_N * len(POSITION_NAMES) // self.row_tokens
        groups = [(self.rows, rows_N), (self.frequency, frequency_N), (self.position, position_N)]
        if self.sources_RT is not None:
            sources_N = self.sources_RT[rows_N, columns_N].astype(np.int64)
            groups.append((self.source, sources_N))
        for sums, groups_N in groups:
            for measure, weights_N in enumerate(values):
                sums[measure] += np.bincount(groups_N, weights_N, minlength=sums.shape[1])
        confidence_N = answers.confidence_N[hidden].astype(np.float64)
        bins_N = np.minimum(CONFIDENCE_BINS - 1, (confidence_N * CONFIDENCE_BINS).astype(np.int64))
        for measure, weights_N in enumerate((values[0], confidence_N, values[2])):
            self.calibration[measure] += np.bincount(bins_N, weights_N, minlength=CONFIDENCE_BINS)

    def to_json(self) -> dict[str, Any]:
        """The sums as plain JSON: by measure, a list over rows, bands, sources or bins each."""
        parts = ("tokens", "confidence", "right")
        calibration = dict(zip(parts, self.calibration.tolist(), strict=True))
        return {"calibration": calibration} | {
            name: dict(zip(MEASURES, sums.tolist(), strict=True))
            for name, sums in (
                ("rows", self.rows),
                ("frequency", self.frequency),
                ("position", self.position),
                ("source", self.source),
            )
        }


def bytes_of_tokens(vocabulary: dict[str, int], vocab_size: int) -> NDArray[np.int64]:
    """How many bytes each token of a byte-level BPE stands for: a character of it is a byte."""
    bytes_V = np.zeros(vocab_size, dtype=np.int64)
    for token, number in vocabulary.items():
        bytes_V[number] = len(token)
    return bytes_V
