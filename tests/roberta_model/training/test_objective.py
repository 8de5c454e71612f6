"""What a process does in a step: its span of the batch, its noise, its candidates, its model."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from small_models import byte_tables, small_config, write_random_rows

from roberta_model.data.batches import MaskedBatch
from roberta_model.encoder import Layer
from roberta_model.training import objective as module
from roberta_model.training.objective import (
    MaskedLMObjective,
    my_share,
    seed_dropout,
    set_dropout,
)
from roberta_model.training.spec import TrainingSpec

TABLES = byte_tables()


@pytest.fixture
def spec(tmp_path: Path) -> TrainingSpec:
    """Seven rows a step of twenty-four tokens; forty rows in all."""
    write_random_rows(tmp_path / "rows.arrow", 40, 24, TABLES.vocab_size)
    TABLES.save(tmp_path / "tables.npz")
    return TrainingSpec(
        rows=[str(tmp_path / "rows.arrow")],
        tables=str(tmp_path / "tables.npz"),
        folder=str(tmp_path),
        model=small_config(TABLES.vocab_size, dropout=0.1, attention_dropout=0.1),
        steps=20,
        batch_rows=7,
        device="cpu",
    )


def objective_of(spec: TrainingSpec, rank: int = 0, processes: int = 1) -> MaskedLMObjective:
    """As one of several processes sees it."""
    place = SimpleNamespace(device=torch.device("cpu"), process_index=rank, num_processes=processes)
    return MaskedLMObjective(spec, 20, cast(Accelerator, place))


def test_a_batch_is_shared_out_from_the_first_process_on() -> None:
    assert [my_share(7, rank, 3) for rank in range(3)] == [(0, 2), (2, 4), (4, 7)]
    assert [my_share(2, rank, 3) for rank in range(3)] == [(0, 0), (0, 1), (1, 2)]


def test_the_spans_of_a_process_are_its_share_of_every_step(spec: TrainingSpec) -> None:
    """Cut into passes of three rows; the last one is what is left."""
    cut = replace(spec, micro_batch_rows=3)
    assert objective_of(cut)._spans(4, 6) == [
        (4, 0, 3),
        (4, 3, 6),
        (4, 6, 7),
        (5, 0, 3),
        (5, 3, 6),
        (5, 6, 7),
    ]
    assert objective_of(cut, 1, 2)._spans(4, 5) == [(4, 3, 6), (4, 6, 7)]
    assert objective_of(cut, 0, 8)._spans(4, 6) == []
    assert list(objective_of(cut, 0, 8).micro_batches(0, 3)) == [[], [], []]


def test_the_samples_of_a_step_are_those_of_its_number(spec: TrainingSpec) -> None:
    """And not of how many were asked for before."""
    objective = objective_of(replace(spec, micro_batch_rows=3))
    (micro,) = objective.micro_batches(4, 5)
    whole = objective.batches.batch(4)
    assert torch.equal(torch.cat([batch.input_ids_BT for batch in micro]), whole.input_ids_BT)
    assert not torch.equal(objective.batches.batch(3).input_ids_BT, whole.input_ids_BT)


def test_passes_are_as_large_as_memory_allows_unless_told(
    spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4,096 tokens of rows of 24 are 170 rows; one row at least."""
    assert objective_of(spec).micro_rows == 170
    assert objective_of(replace(spec, micro_batch_rows=3)).micro_rows == 3
    monkeypatch.setattr(module, "CPU_MICRO_TOKENS", 20)
    assert objective_of(spec).micro_rows == 1


def test_a_step_of_all_processes_is_told_in_tokens_and_epochs(spec: TrainingSpec) -> None:
    """Forty rows, seven a step: the sixth step (from 0: 5) begins at row 35, the next at 42."""
    objective = objective_of(spec, 1, 2)
    assert objective.step_tokens == 7 * 24
    assert [objective.epoch(step) for step in (0, 5, 6, 11, 12)] == [0, 0, 1, 1, 2]


def noise(spec: TrainingSpec, step: int, *which: int) -> float:
    seed_dropout(spec, step, *which)
    return float(torch.rand(()))


def test_noise_follows_from_seed_step_process_and_pass(spec: TrainingSpec) -> None:
    """Each of them draws its own, and the same again whatever was drawn in between."""
    noisy = replace(spec, dropout=0.1)
    places = [(noisy, 0, 0, 0), (noisy, 1, 0, 0), (noisy, 0, 1, 0), (noisy, 0, 0, 1)]
    places += [(noisy, 1, 1, 1), (replace(noisy, seed=9), 0, 0, 0)]
    first = [noise(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [noise(*place) for place in reversed(places)] == first[::-1]


def test_without_dropout_nothing_is_seeded(spec: TrainingSpec) -> None:
    """A library that draws is not made to draw the same in each step."""
    torch.manual_seed(5)
    expected = torch.rand(2).tolist()
    torch.manual_seed(5)
    assert [noise(spec, 3, 0, 0), noise(spec, 3, 0, 0)] == expected


def test_the_trainings_dropout_holds_everywhere_whatever_the_models_is(
    spec: TrainingSpec,
) -> None:
    for share in (0.0, 0.25):
        model = objective_of(replace(spec, dropout=share)).model
        found = {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)}
        found |= {cast(Layer, layer).attention.attention_dropout for layer in model.layers}
        assert found == {share}
        assert model.training
        assert model.config.dropout == 0.1, "what is published says it, not this"
    set_dropout(model, 0.5)
    assert cast(Layer, model.layers[1]).attention.attention_dropout == 0.5


def batch_of(targets: list[int]) -> MaskedBatch:
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    return MaskedBatch(nothing, None, torch.arange(len(targets)), torch.tensor(targets), 1)


def test_candidates_are_the_targets_of_the_whole_step(spec: TrainingSpec) -> None:
    """Of all passes, each once and ascending; None where the whole vocabulary takes part."""
    micro = [batch_of([9, 7, 9]), batch_of([30, 7])]
    assert objective_of(spec)._candidates(micro) is None
    found: Any = objective_of(replace(spec, candidates="batch"))._candidates(micro)
    assert found.tolist() == [7, 9, 30]


def test_rows_and_vocabulary_must_fit_the_model(spec: TrainingSpec) -> None:
    """Just as long is not too long; a larger vocabulary is as wrong as a smaller one."""
    size = TABLES.vocab_size
    for changes in ({"max_row_tokens": 23}, {"vocab_size": size + 1}, {"vocab_size": size - 1}):
        assert spec.model is not None
        with pytest.raises(ValueError, match="the packed rows have 24 from"):
            objective_of(replace(spec, model=replace(spec.model, **changes)))
