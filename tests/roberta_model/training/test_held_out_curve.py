"""The held-out curve: true, cheap, and no part of what is learnt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_models import train_in_process

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.scoring import masked_loss
from roberta_model.training.held_out_curve import rows_and_steps
from roberta_model.training.loop import Training
from roberta_model.training.pace import probe_of
from roberta_model.training.spec import TrainingSpec


def curve_of(results: list[Any]) -> dict[int, float]:
    return {r.step: r.held_out_loss for r in results if r.held_out_loss is not None}


def with_curve(packed: Any, folder: Path, **changes: Any) -> TrainingSpec:
    """Sixty steps; what is held out are rows of the training, which is all the same here."""
    spec = packed.spec(folder, steps=60, held_out=packed.rows, **changes)
    assert isinstance(spec, TrainingSpec)
    return spec


def test_a_point_is_the_loss_of_the_weights_of_its_step(packed: Any, tmp_path: Path) -> None:
    """Against the score of a training that ends there, on the same rows and frozen masks."""
    spec = with_curve(packed, tmp_path)
    rows = PackedRows(packed.rows)
    num_rows, steps = rows_and_steps(60, spec.batch_rows, rows.num_rows)
    training, results = train_in_process(spec, last=steps[0])
    assert list(curve_of(results)) == steps[:1] == [30]
    tables = MaskingTables.load(packed.tables)
    score = masked_loss(training.model, rows, tables, max_rows=num_rows)
    assert curve_of(results)[steps[0]] == score.model.total.loss
    assert training.model.training, "what follows is trained as before"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_training_ends_in_the_same_weights_without_it(
    dropout: float, packed: Any, tmp_path: Path
) -> None:
    """Nothing is drawn for it, dropout's noise neither; cut off between points it is the same."""
    spec = with_curve(packed, tmp_path, dropout=dropout)
    whole, results = train_in_process(spec)
    without, others = train_in_process(replace(spec, held_out=[]))
    assert torch.equal(whole.flat.master, without.flat.master)
    assert [r.loss for r in results] == [r.loss for r in others]
    assert curve_of(others) == {}
    first, before = train_in_process(spec, last=17)
    folder = first.save("")
    resumed, after = train_in_process(replace(spec, resume=str(folder)), last=60)
    assert [r.line() for r in (*before, *after)] == [r.line() for r in results]
    assert list(curve_of(results)) == [30, 60]


@pytest.mark.parametrize("steps", [1, 14, 500, 10_000, 500_000])
@pytest.mark.parametrize("num_rows", [3, 100, 100_000])
def test_it_costs_a_hundredth_of_the_rows_at_most(steps: int, num_rows: int) -> None:
    """But for a handful of rows; the last step is measured, and no step twice."""
    rows, measured = rows_and_steps(steps, 32, num_rows)
    assert 0 < rows <= num_rows
    assert measured[-1] == steps
    assert measured == sorted(set(measured))
    assert measured[0] >= 1
    assert rows * len(measured) <= max(4, 0.01 * steps * 32)


def test_a_probe_measures_steps_alone_and_other_processes_leave_it_to_the_first(
    packed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor has a training a curve for which nothing is held out."""
    spec = with_curve(packed, tmp_path)
    alone = Accelerator(cpu=True)
    assert probe_of(replace(spec, steps=None, minutes=1.0), alone).curve is None
    assert Training(replace(spec, held_out=[]), alone).curve is None
    assert Training(spec, alone).curve is not None
    monkeypatch.setattr(Accelerator, "is_main_process", False)
    assert Training(spec, alone).curve is None
