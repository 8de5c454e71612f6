"""The training process, writing down what each process of it trains on.

`python -m recorded_training SPEC.json FOLDER` is `roberta_model.training.process` with one
addition: every process leaves `<rank>.jsonl` in the folder, a line for each sample that it
asked for: which row it is, and how it is masked.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roberta_model.data.batches import MaskedBatch, MaskedBatches
from roberta_model.training import process as pretraining


def record() -> list[dict[str, Any]]:
    """Note every sample that is prepared from now on."""
    notes: list[dict[str, Any]] = []
    prepare = MaskedBatches.batch

    def noting(
        self: MaskedBatches, step: int, start: int = 0, stop: int | None = None
    ) -> MaskedBatch:
        batch = prepare(self, step, start, stop)
        notes.extend(samples_of(self, batch, step, start))
        return batch

    MaskedBatches.batch = noting  # type: ignore[method-assign]
    return notes


def samples_of(
    batches: MaskedBatches, batch: MaskedBatch, step: int, start: int
) -> Iterator[dict[str, Any]]:
    """What each row of a batch is, and how it is masked."""
    size, width = batch.input_ids_BT.shape
    epochs, rows = batches.order.rows_of(step, start, start + size)
    for place in range(size):
        mine = batch.positions_M // width == place
        yield {
            "sample": [step, start + place],
            "row": [int(epochs[place]), int(rows[place])],
            "ids": batch.input_ids_BT[place].tolist(),
            "places": (batch.positions_M[mine] % width).tolist(),
            "targets": batch.targets_M[mine].tolist(),
        }


def main() -> int:
    """Train, then write the notes."""
    spec, folder = sys.argv[1:]
    notes = record()
    code = pretraining.main([spec])
    lines = "".join(json.dumps(note) + "\n" for note in notes)
    (Path(folder) / f"{os.environ.get('RANK', '0')}.jsonl").write_text(lines)
    return code


if __name__ == "__main__":
    pretraining.leave(main())  # as the process itself ends, see there: a late abort is no failure
