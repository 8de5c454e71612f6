"""Held-out text: the masked loss on rows that training never saw, beside a unigram baseline.

Rows are scored in parts, a unit each; the parts' sums add up to the whole's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_score import HeldOutScore, MaskedScore
from roberta_model.scoring import masked_loss
from roberta_model.threads import one_thread
from tasks.config import HeldOutConfig
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.evaluation.opened import open_model
from tasks.evaluation.records import write_record
from tasks.evaluation.task import ModelFiles, Score, Subject, Task

ROWS_A_UNIT = 512


def held_out_units(
    settings: HeldOutConfig, name: str, _files: Mapping[str, StoredFile], subject: Subject
) -> list[Unit]:
    """A unit for so many rows; none where nothing is held out."""
    num_rows = min(settings.max_rows, sum(file.rows or 0 for file in subject.rows))
    num_parts = -(-num_rows // ROWS_A_UNIT)
    shared = {
        "model": subject.model,
        "rows": list(subject.rows),
        "tables": subject.tables,
        "counts": subject.counts,
        "max_rows": settings.max_rows,
    }
    return [
        Unit(f"{name}/{number:03}", {**shared, "part": (number, num_parts)})
        for number in range(num_parts)
    ]


@shown_as("held-out rows")
def score_held_out(
    work: UnitWork,
    *,
    model: ModelFiles,
    rows: Sequence[StoredFile],
    tables: StoredFile,
    counts: StoredFile,
    max_rows: int,
    part: tuple[int, int],
) -> UnitReport:
    """Sums over the masked tokens of one part of the held-out rows, on frozen masks."""
    packed = PackedRows([file.local() for file in rows])
    known = MaskingTables.load(tables.local())
    token_counts = np.load(counts.local(), allow_pickle=False)
    # Rows are ids already, so how the tokenizer would read a text does not matter.
    network, _ = open_model(work, model, "bos_eos")
    with one_thread():
        scored = masked_loss(
            network, packed, known, token_counts=token_counts, max_rows=max_rows, part=part
        )
    write_record(work, scored.to_json())
    num_rows = min(max_rows, packed.num_rows)
    taken = num_rows * (part[0] + 1) // part[1] - num_rows * part[0] // part[1]
    return UnitReport(summary={"rows": taken, "sums": scored.to_json()})


def summarise_held_out(_name: str, results: Sequence[UnitResult]) -> dict[str, Any] | None:
    """The figures over all chosen tokens, then by what stood in their place, then unigram's."""
    if not results:
        return None
    parts = [HeldOutScore.from_json(result.summary["sums"]) for result in results]
    score = sum(parts, start=HeldOutScore())
    total = score.model.total
    unigram = {"mask": score.unigram.mask, "all": score.unigram.total}
    return {
        "rows": sum(result.summary["rows"] for result in results),
        "masked_tokens": total.num_masked,
        **_means(total),
        "by_kind": {
            kind: {"tokens": part.num_masked, **_means(part)}
            for kind, part in vars(score.model).items()
        },
        "unigram": {name: _means(part) for name, part in unigram.items()},
    }


def _means(score: MaskedScore) -> dict[str, float | None]:
    """Loss, perplexity and accuracy; None where no token was asked for."""
    names = ("loss", "perplexity", "accuracy")
    return {name: getattr(score, name) if score.num_masked else None for name in names}


def held_out_scores(name: str, summary: Mapping[str, Any]) -> list[Score]:
    """Perplexity over all chosen tokens, and how often the hidden ones were guessed."""
    found = []
    hidden = summary["by_kind"]["mask"]
    if summary["masked_tokens"]:
        found.append(
            Score(
                task=name,
                measure="perplexity",
                value=summary["perplexity"],
                n=summary["masked_tokens"],
                interval=None,
                chance=None,
                better="lower",
            )
        )
    if hidden["tokens"]:
        found.append(
            Score(
                task=name,
                measure="accuracy at <mask>",
                value=hidden["accuracy"],
                n=hidden["tokens"],
                interval=None,
                chance=summary["unigram"]["mask"]["accuracy"],
                better="higher",
            )
        )
    return found


HELD_OUT = Task(
    kind="held_out",
    settings=HeldOutConfig,
    score=score_held_out,
    units=held_out_units,
    summarise=summarise_held_out,
    scores=held_out_scores,
)
