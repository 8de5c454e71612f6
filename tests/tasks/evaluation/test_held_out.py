"""The held-out summary: what follows from the units' sums, and how sure it is."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byte_models import TOKENS, byte_model
from small_models import write_random_rows

from roberta_model.data.masking import MaskingTables
from tasks.config import HeldOutConfig
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, UnitResult, UnitWork
from tasks.evaluation.device import Device
from tasks.evaluation.held_out import (
    held_out_scores,
    held_out_units,
    score_held_out,
    summarise_held_out,
)
from tasks.evaluation.intervals import bootstrap_ratio
from tasks.evaluation.origins import Origins
from tasks.evaluation.task import Subject
from tasks.stages.evaluate_suite import model_files

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
    found: Any = summarise_held_out(parts)
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
    found: Any = summarise_held_out([frozen, other])
    alone: Any = summarise_held_out([frozen])
    assert {**found, "draws": []} == alone
    assert [(each["draw"], each["accuracy"]) for each in found["draws"]] == [(0, 0.4), (1, 0.0)]


def test_the_scores_are_those_at_masks_with_the_unigram_as_guessing(tmp_path: Path) -> None:
    """Higher accuracy is better, lower perplexity and bits; nothing hidden gives no score."""
    rows = [(10, 20.0, 4, 50), (10, 20.0, 4, 50)]
    summary = summarise_held_out([result(tmp_path, 0, 0, rows)])
    assert summary is not None
    told = {score["measure"]: score for score in held_out_scores("held_out", summary)}
    assert list(told) == ["accuracy at <mask>", "perplexity at <mask>", "bits per byte at <mask>"]
    assert [score["better"] for score in told.values()] == ["higher", "lower", "lower"]
    assert told["accuracy at <mask>"]["chance"] == summary["unigram"]["mask"]["accuracy"]
    empty = summarise_held_out([result(tmp_path, 0, 0, [(0, 0.0, 0, 0)])])
    assert empty is not None
    assert held_out_scores("held_out", empty) == []
    assert summarise_held_out([]) is None


def shard(rows: int | None) -> StoredFile:
    return StoredFile("rows.arrow", "0", 1, rows)


def labels_of(max_rows: int, *rows: int | None, draws: int = 0) -> dict[str, tuple[Any, int]]:
    """The units' parts and draws by their labels."""
    subject = Subject({}, rows=[shard(count) for count in rows])
    units = held_out_units(HeldOutConfig(max_rows=max_rows, draws=draws), "held_out", {}, subject)
    return {unit.label: (unit.payload["part"], unit.payload["draw"]) for unit in units}


def test_there_is_a_unit_for_every_512_rows() -> None:
    """Of as many as there are, and of no more than are asked for."""
    assert labels_of(2048, 300, 212) == {"held_out/000": ((0, 1), 0)}
    assert list(labels_of(2048, 300, 213)) == ["held_out/000", "held_out/001"]
    assert labels_of(1025, 5000)["held_out/002"] == ((2, 3), 0)
    assert len(labels_of(1024, 5000)) == 2
    assert labels_of(2048, None) == labels_of(2048) == {}


def test_further_draws_score_every_part_anew() -> None:
    """Under labels of their own; the frozen masks keep theirs."""
    found = labels_of(2048, 600, draws=2)
    assert found == {
        **{"held_out/000": ((0, 2), 0), "held_out/001": ((1, 2), 0)},
        **{"held_out/000.draw-1": ((0, 2), 1), "held_out/001.draw-1": ((1, 2), 1)},
        **{"held_out/000.draw-2": ((0, 2), 2), "held_out/001.draw-2": ((1, 2), 2)},
    }


def test_a_unit_is_told_all_that_its_sums_depend_on() -> None:
    """Model, rows, masking tables, counts, origins, and of how many rows it takes its part."""
    tables, counts = shard(1), replace(shard(2), sha256="1")
    origins = Origins([shard(3)], {"a": 0}, 1)
    model = {"config.json": shard(4)}
    subject = Subject(
        model, "none", [shard(9)], tables, counts, origins=origins, device=Device("gpu")
    )
    (unit,) = held_out_units(HeldOutConfig(max_rows=7), "held_out", {}, subject)
    assert unit.payload == {
        **{"model": model, "rows": [shard(9)], "tables": tables, "counts": counts},
        **{"origins": origins, "device": Device("gpu"), "max_rows": 7},
        **{"part": (0, 1), "draw": 0},
    }


def test_each_interval_is_of_its_own_sums(tmp_path: Path) -> None:
    """Over the rows of all units, in nats but for bits per byte."""
    rows: list[tuple[float, ...]] = [(10, 20.0, 4, 50), (10, 30.0, 1, 30), (20, 10.0, 15, 120)]
    parts = [result(tmp_path, 0, 0, rows[:2]), result(tmp_path, 1, 0, rows[2:])]
    found: Any = summarise_held_out(parts)
    tokens, loss, right, size = (np.array(column, float) for column in zip(*rows, strict=True))
    ln2, named = math.log(2), "held-out rows"
    assert found["at_mask"]["intervals"] == {
        "loss": bootstrap_ratio(loss, tokens, named),
        "perplexity": bootstrap_ratio(loss, tokens, named, np.exp),
        "accuracy": bootstrap_ratio(right, tokens, named),
        "bits_per_byte": bootstrap_ratio(loss / ln2, size, named),
    }


def test_kinds_and_the_baseline_keep_apart_in_the_summary(tmp_path: Path) -> None:
    """All chosen tokens, then each kind, then unigram's: the loss of each over its own tokens."""
    one = result(tmp_path, 0, 0, [(10, 20.0, 4, 50), (10, 20.0, 4, 50)])
    model = {"mask": (40.0, 20, 8), "random": (30.0, 10, 1), "kept": (1.0, 10, 9)}
    unigram = {"mask": (100.0, 20, 2), "random": (60.0, 10, 0), "kept": (80.0, 10, 1)}
    names = ("loss_sum", "num_masked", "num_correct")
    sums = {
        whose: {kind: dict(zip(names, figures, strict=True)) for kind, figures in kinds.items()}
        for whose, kinds in (("model", model), ("unigram", unigram))
    }
    summary: Any = summarise_held_out([replace(one, summary={"rows": 2, "draw": 0, "sums": sums})])
    assert (summary["masked_tokens"], summary["rows"]) == (40, 2)
    assert summary["loss"] == pytest.approx(71 / 40)
    assert summary["accuracy"] == pytest.approx(18 / 40)
    assert summary["perplexity"] == pytest.approx(math.exp(71 / 40))
    told = {kind: (each["tokens"], each["loss"]) for kind, each in summary["by_kind"].items()}
    assert told == {"mask": (20, 2.0), "random": (10, 3.0), "kept": (10, 0.1)}
    unigrams = {kind: each["loss"] for kind, each in summary["unigram"].items()}
    assert unigrams == {"mask": 5.0, "all": 6.0}
    scores = {score["measure"]: score for score in held_out_scores("held_out", summary)}
    chances = [score["chance"] for score in scores.values()]
    assert chances == [pytest.approx(0.1), pytest.approx(math.exp(5)), None]
    assert {score["n"] for score in scores.values()} == {20}
    for measure, score in scores.items():
        name = measure.removesuffix(" at <mask>").replace(" ", "_")
        assert score["value"] == summary["at_mask"][name]
        assert score["interval"] == summary["at_mask"]["intervals"][name]


def test_bands_and_bins_stand_in_their_order(tmp_path: Path) -> None:
    """Each figure under the name of its own band; a bin's edges are tenths."""
    found: Any = summarise_held_out([result(tmp_path, 0, 0, [(8, 4.0, 2, 16)])])
    hidden = found["at_mask"]
    assert [band for band, part in hidden["by_frequency"].items() if part["tokens"]] == ["0"]
    assert [band for band, part in hidden["by_position"].items() if part["tokens"]] == [
        "first quarter"
    ]
    assert (len(hidden["by_frequency"]), len(hidden["by_position"])) == (6, 4)
    bins = hidden["calibration"]["bins"]
    assert [(each["low"], each["tokens"]) for each in bins if each["tokens"]] == [
        (0.1, 20),
        (0.9, 20),
    ]
    assert bins[9]["high"] == 1.0
    assert bins[9]["accuracy"] == 0.75
    assert hidden["intervals"]["loss"] is None, "one row says nothing of others"


def test_a_unit_scores_its_own_draw_and_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    """Further draws hide other tokens of the same rows; the same draw hides the same."""
    write_random_rows(tmp_path / "rows.arrow", 9, 24, len(TOKENS))
    MaskingTables.from_vocabulary(TOKENS).save(tmp_path / "tables.npz")
    np.save(tmp_path / "counts.npy", np.ones(len(TOKENS), dtype=np.int64))
    model = model_files(byte_model(tmp_path / "model"))
    sums: list[Any] = []
    for draw, max_rows in ((0, 100), (1, 100), (1, 100), (0, 4)):
        report = score_held_out(
            UnitWork("held_out/000", tmp_path / f"unit-{len(sums)}"),
            model=model,
            rows=[outside_file(tmp_path / "rows.arrow")],
            tables=outside_file(tmp_path / "tables.npz"),
            counts=outside_file(tmp_path / "counts.npy"),
            origins=None,
            device=Device("cpu"),
            max_rows=max_rows,
            part=(0, 1),
            draw=draw,
        )
        assert report.summary["rows"] == report.rows[".json"] == min(9, max_rows)
        assert report.summary["draw"] == draw
        sums.append(report.summary["sums"])
    assert sums[0] != sums[1]
    assert sums[1] == sums[2]
    assert sums[3]["unigram"]["mask"]["num_masked"] < sums[0]["unigram"]["mask"]["num_masked"]
