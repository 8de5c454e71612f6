"""The held-out summary: what follows from the units' sums, and how sure it is."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.ledger import Ledger
from tasks.engine.units import StoredFile, UnitResult
from tasks.evaluation.held_out import held_out_scores, summarise_held_out

Rows = list[tuple[float, float, float, float]]
NOTHING = {"loss_sum": 0.0, "num_masked": 0, "num_correct": 0}


def result(folder: Path, number: int, draw: int, rows: Sequence[tuple[float, ...]]) -> UnitResult:
    """A unit as `score_held_out` leaves it, from (tokens, loss, right, bytes) of its rows."""
    columns = dict(zip(("tokens", "loss", "right", "bytes"), zip(*rows, strict=True), strict=True))
    totals = {name: sum(values) for name, values in columns.items()}
    mask = {
        "loss_sum": totals["loss"],
        "num_masked": int(totals["tokens"]),
        "num_correct": int(totals["right"]),
    }
    kinds = {"mask": mask, "random": NOTHING, "kept": NOTHING}
    one_band = {name: [value, 0, 0, 0, 0, 0] for name, value in totals.items()}
    sources = {name: [0, value] for name, value in totals.items()}
    quarters = {name: values[:4] for name, values in one_band.items()}
    record = {"rows": columns, "frequency": one_band, "position": quarters, "source": sources}
    record["calibration"] = {
        "tokens": [0, 20, *[0] * 7, 20],
        "confidence": [0, 3, *[0] * 7, 19],
        "right": [0, 5, *[0] * 7, 15],
    }
    path = folder / f"{number}-{draw}.json"
    path.write_text(json.dumps(record))
    file = StoredFile(str(path), "0", path.stat().st_size)
    summary = {"rows": len(rows), "draw": draw, "sums": {"model": kinds, "unigram": kinds}}
    return UnitResult(f"held_out/{number}", "k", {".json": file}, Ledger(), summary, reused=False)


def test_figures_at_masks_are_ratios_of_the_sums(tmp_path: Path) -> None:
    """Bits per byte divide by the bytes of the hidden tokens, whatever the vocabulary."""
    parts = [
        result(tmp_path, 0, 0, [(10, 20.0, 4, 50), (10, 30.0, 1, 30)]),
        result(tmp_path, 1, 0, [(20, 10.0, 15, 120)]),
    ]
    found: Any = summarise_held_out("held_out", parts)
    assert found["rows"] == 3
    hidden = found["at_mask"]
    assert hidden["tokens"] == 40
    assert hidden["accuracy"] == 0.5
    assert hidden["loss"] == 1.5
    assert hidden["bits_per_byte"] == pytest.approx(60 / math.log(2) / 200)
    interval = hidden["intervals"]["bits_per_byte"]
    assert interval["low"] < hidden["bits_per_byte"] < interval["high"]
    assert hidden["intervals"]["perplexity"]["low"] < math.exp(1.5)
    assert hidden["by_frequency"]["0"]["accuracy"] == 0.5
    assert hidden["by_frequency"]["1 to 9"] == {
        "tokens": 0,
        **dict.fromkeys(("loss", "perplexity", "accuracy", "bits_per_byte")),
    }
    first, second = hidden["by_source"]
    assert (first["tokens"], first["loss"]) == (0, None)
    assert (second["tokens"], second["accuracy"], second["loss"]) == (40, 0.5, 1.5)
    assert found["draws"] == []
    calibration = hidden["calibration"]
    assert calibration["error"] == pytest.approx((2 + 4) / 40)
    assert calibration["bins"][1] == {
        **{"low": 0.1, "high": 0.2, "tokens": 40},
        **{"confidence": pytest.approx(0.15), "accuracy": 0.25},
    }
    assert calibration["bins"][0]["accuracy"] is None


def test_further_draws_stand_beside_the_frozen_one_and_never_in_it(tmp_path: Path) -> None:
    """The score is that of the frozen masks; the others say how much hangs on the draw."""
    frozen = result(tmp_path, 0, 0, [(10, 20.0, 4, 50), (10, 20.0, 4, 50)])
    other = result(tmp_path, 0, 1, [(10, 50.0, 0, 50), (10, 50.0, 0, 50)])
    found: Any = summarise_held_out("held_out", [frozen, other])
    alone: Any = summarise_held_out("held_out", [frozen])
    assert {**found, "draws": []} == alone
    assert [(each["draw"], each["accuracy"]) for each in found["draws"]] == [(0, 0.4), (1, 0.0)]


def test_the_scores_are_those_at_masks_with_the_unigram_as_guessing(tmp_path: Path) -> None:
    """Higher accuracy is better, lower perplexity and bits; nothing hidden gives no score."""
    rows = [(10, 20.0, 4, 50), (10, 20.0, 4, 50)]
    summary = summarise_held_out("held_out", [result(tmp_path, 0, 0, rows)])
    assert summary is not None
    told = {score["measure"]: score for score in held_out_scores("held_out", summary)}
    assert list(told) == ["accuracy at <mask>", "perplexity at <mask>", "bits per byte at <mask>"]
    assert [score["better"] for score in told.values()] == ["higher", "lower", "lower"]
    assert told["accuracy at <mask>"]["chance"] == summary["unigram"]["mask"]["accuracy"]
    empty = summarise_held_out("held_out", [result(tmp_path, 0, 0, [(0, 0.0, 0, 0)])])
    assert empty is not None
    assert held_out_scores("held_out", empty) == []
    assert summarise_held_out("held_out", []) is None
