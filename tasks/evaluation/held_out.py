"""Held-out text: the masked loss on rows that training never saw, beside a unigram baseline.

Rows are scored in parts, a unit each; the parts' sums add up to the whole's. At <mask> there is
more: bits per byte, which is comparable between vocabularies as a loss per token is not; by how
frequent the hidden token is in the training text, by where in the row it stands and by the source
it is from; intervals by drawing the rows anew; and, with `draws`, the same under other masks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_detail import (
    CONFIDENCE_BINS,
    FREQUENCY_NAMES,
    MEASURES,
    POSITION_NAMES,
    HeldOutDetail,
    bytes_of_tokens,
)
from roberta_model.held_out_score import HeldOutScore, MaskedScore
from roberta_model.threads import one_thread
from tasks.config import HeldOutConfig
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.evaluation.device import Device
from tasks.evaluation.intervals import bootstrap_ratio
from tasks.evaluation.opened import open_model
from tasks.evaluation.origins import Origins, sources_of_rows
from tasks.evaluation.records import read_record, write_record
from tasks.evaluation.task import ModelFiles, ScoreRow, Subject, Task

ROWS_A_UNIT = 512
_PURPOSE = "held-out rows"

Sums = Mapping[str, NDArray[np.float64]]


def held_out_units(
    settings: HeldOutConfig, name: str, _files: Mapping[str, StoredFile], subject: Subject
) -> list[Unit]:
    """A unit for so many rows and each draw of masks; none where nothing is held out."""
    num_rows = min(settings.max_rows, sum(file.rows or 0 for file in subject.rows))
    num_parts = -(-num_rows // ROWS_A_UNIT)
    shared = {
        "model": subject.model,
        "rows": list(subject.rows),
        "tables": subject.tables,
        "counts": subject.counts,
        "origins": subject.origins,
        "device": subject.device,
        "max_rows": settings.max_rows,
    }
    return [
        Unit(
            f"{name}/{number:03}" + (f".draw-{draw}" if draw else ""),
            {**shared, "part": (number, num_parts), "draw": draw},
        )
        for draw in range(settings.draws + 1)
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
    origins: Origins | None,
    device: Device,
    max_rows: int,
    part: tuple[int, int],
    draw: int,
) -> UnitReport:
    """Sums over the masked tokens of one part of the held-out rows, on one draw of masks."""
    from roberta_model.scoring import chosen_rows, masked_loss

    packed = PackedRows([file.local() for file in rows])
    known = MaskingTables.load(tables.local())
    token_counts = np.load(counts.local(), allow_pickle=False)
    # Rows are ids already, so how the tokenizer would read a text does not matter.
    network, tokenizer = open_model(work, model, "bos_eos", device)
    sizes = bytes_of_tokens(tokenizer.get_vocab(), known.vocab_size)
    numbers = chosen_rows(packed.num_rows, max_rows, part)
    detail = HeldOutDetail(len(numbers), packed.row_tokens, token_counts, sizes)
    if origins is not None:
        detail.tell_sources(sources_of_rows(packed, numbers, origins), origins.num_sources)
    with one_thread():
        scored = masked_loss(
            network,
            packed,
            known,
            token_counts=token_counts,
            max_rows=max_rows,
            part=part,
            draw=draw,
            detail=detail,
        )
    write_record(work, {**scored.to_json(), **detail.to_json()})
    return UnitReport(
        summary={"rows": detail.num_rows, "draw": draw, "sums": scored.to_json()},
        rows={".json": detail.num_rows},
    )


def summarise_held_out(results: Sequence[UnitResult]) -> dict[str, Any] | None:
    """The figures over all chosen tokens, then by what stood in their place, then unigram's."""
    if not results:
        return None
    frozen = [result for result in results if result.summary["draw"] == 0]
    score = _total(frozen)
    total = score.model.total
    unigram = {"mask": score.unigram.mask, "all": score.unigram.total}
    return {
        "rows": sum(result.summary["rows"] for result in frozen),
        "masked_tokens": total.num_masked,
        **_means(total),
        "by_kind": {
            kind: {"tokens": part.num_masked, **_means(part)}
            for kind, part in vars(score.model).items()
        },
        "unigram": {name: _means(part) for name, part in unigram.items()},
        "at_mask": _detail(frozen),
        "draws": _draws(results),
    }


def _total(results: Sequence[UnitResult]) -> HeldOutScore:
    parts = [HeldOutScore.from_json(result.summary["sums"]) for result in results]
    return sum(parts, start=HeldOutScore())


def _draws(results: Sequence[UnitResult]) -> list[dict[str, Any]]:
    """The figures at <mask> under each draw of masks, the frozen one first."""
    numbers = sorted({result.summary["draw"] for result in results})
    if len(numbers) < 2:
        return []
    found = []
    for draw in numbers:
        hidden = _total([r for r in results if r.summary["draw"] == draw]).model.mask
        found.append({"draw": draw, "tokens": hidden.num_masked, **_means(hidden)})
    return found


def _detail(results: Sequence[UnitResult]) -> dict[str, Any]:
    """What the units' files say of hidden tokens: bits per byte, bands, and intervals."""
    records = [read_record(result) for result in results]
    rows = {
        measure: np.concatenate([np.array(record["rows"][measure]) for record in records])
        for measure in MEASURES
    }
    found: dict[str, Any] = dict(_figures({name: sums.sum() for name, sums in rows.items()}))
    found["intervals"] = _intervals(rows)
    found["calibration"] = _calibration([record["calibration"] for record in records])
    for name, bands in (("frequency", FREQUENCY_NAMES), ("position", POSITION_NAMES)):
        sums = _summed(records, name)
        found[f"by_{name}"] = dict(zip(bands, _each(sums), strict=True))
    found["by_source"] = _each(_summed(records, "source"))
    return found


def _summed(records: Sequence[Mapping[str, Any]], name: str) -> Sums:
    """The units' sums of a grouping, by measure."""
    return {
        measure: np.sum([record[name][measure] for record in records], axis=0)
        for measure in MEASURES
    }


def _each(sums: Sums) -> list[dict[str, Any]]:
    """The figures of each group of a grouping."""
    count = len(sums[MEASURES[0]])
    return [_figures({name: sums[name][number] for name in MEASURES}) for number in range(count)]


def _calibration(parts: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """How sure the model was beside how often it was right, in bins of its confidence.

    `error` is the expected calibration error (Guo et al. 2017): the mean difference of the two
    over the bins, by their tokens.
    """
    sums = {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}
    bins = []
    for number, tokens in enumerate(sums["tokens"].tolist()):
        means = {"confidence": sums["confidence"][number], "accuracy": sums["right"][number]}
        edges = {"low": number / CONFIDENCE_BINS, "high": (number + 1) / CONFIDENCE_BINS}
        told = {name: float(value / tokens) if tokens else None for name, value in means.items()}
        bins.append({**edges, "tokens": int(tokens), **told})
    total = float(sums["tokens"].sum())
    gaps = np.abs(sums["confidence"] - sums["right"]).sum()
    return {"error": float(gaps) / total if total else None, "bins": bins}


def _figures(sums: Mapping[str, Any]) -> dict[str, Any]:
    """The means that follow from sums; None where no token was hidden."""
    tokens, loss, right, size = (float(sums[measure]) for measure in MEASURES)
    score = MaskedScore(loss, int(tokens), int(right))
    bits = loss / math.log(2) / size if size else None
    return {"tokens": int(tokens), **_means(score), "bits_per_byte": bits}


def _intervals(rows: Sums) -> dict[str, Any]:
    """95 % intervals of the figures at <mask>."""
    loss, tokens = rows["loss"], rows["tokens"]
    return {
        "loss": bootstrap_ratio(loss, tokens, _PURPOSE),
        "perplexity": bootstrap_ratio(loss, tokens, _PURPOSE, np.exp),
        "accuracy": bootstrap_ratio(rows["right"], tokens, _PURPOSE),
        "bits_per_byte": bootstrap_ratio(loss / math.log(2), rows["bytes"], _PURPOSE),
    }


def _means(score: MaskedScore) -> dict[str, float | None]:
    """Loss, perplexity and accuracy; None where no token was asked for."""
    names = ("loss", "perplexity", "accuracy")
    return {name: getattr(score, name) if score.num_masked else None for name in names}


def held_out_scores(name: str, summary: Mapping[str, Any]) -> list[ScoreRow]:
    """How often hidden tokens were guessed, their perplexity and their bits per byte."""
    hidden = summary["at_mask"]
    if not hidden["tokens"]:
        return []
    chances = {
        "accuracy": summary["unigram"]["mask"]["accuracy"],
        "perplexity": summary["unigram"]["mask"]["perplexity"],
    }
    return [
        ScoreRow(
            task=name,
            measure=f"{measure.replace('_', ' ')} at <mask>",
            value=hidden[measure],
            n=hidden["tokens"],
            interval=hidden["intervals"][measure],
            chance=chances.get(measure),
            better="higher" if measure == "accuracy" else "lower",
        )
        for measure in ("accuracy", "perplexity", "bits_per_byte")
        if hidden[measure] is not None
    ]


HELD_OUT = Task(
    kind="held_out",
    settings=HeldOutConfig,
    score=score_held_out,
    units=held_out_units,
    summarise=summarise_held_out,
    scores=held_out_scores,
)
