"""The training loop: against a plain loop over stock, cut up in any way, stopped and resumed."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import stock_loss_sum, stock_twin, train_in_process
from torch import Tensor, nn
from transformers import RobertaForMaskedLM

from roberta_model.data.batches import MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.recipe import MaskingRecipe, OptimizerRecipe, Schedule, StartRecipe
from roberta_model.training.loop import StepResult, Training
from roberta_model.training.spec import EXECUTION, FineTuningSpec, TrainingSpec, read_spec
from roberta_model.training.start import initialise
from roberta_model.training.step_sums import StepSums

NEVER = lambda: False  # noqa: E731


def losses_of(results: list[StepResult]) -> list[float]:
    return [result.loss for result in results]


def end_of(training: Training) -> dict[str, Tensor]:
    """Weights, moments and step count."""
    return {**training.flat.weights(), **training.optimizer.state()}


def assert_equal_to_the_bit(one: Training, other: Training) -> None:
    assert one.step == other.step
    theirs = end_of(other)
    for name, value in end_of(one).items():
        assert torch.equal(value, theirs[name]), name


def first_model(spec: TrainingSpec) -> RobertaMaskedLM:
    """What the training begins with, without dropout."""
    assert spec.model is not None
    model = RobertaMaskedLM(replace(spec.model, dropout=0.0, attention_dropout=0.0))
    initialise(model, spec.seed)
    return model


def plain_loop(stock: RobertaForMaskedLM, spec: TrainingSpec) -> Iterator[float]:
    """Train stock's model as anybody would: mean loss, AdamW, clipping, warm-up and decay."""
    assert spec.steps is not None
    rows, tables = PackedRows(spec.rows), MaskingTables.load(spec.tables)
    order = SampleOrder(spec.seed, rows.num_rows, spec.batch_rows)
    batches = MaskedBatches(rows, order, Masking(tables, spec.masking, spec.seed), spec.steps)
    recipe = spec.optimizer
    matrices = [p for p in stock.parameters() if p.dim() > 1]
    others = [p for p in stock.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), eps=recipe.epsilon)
    for step in range(spec.steps):
        batch = batches.batch(step)
        loss = stock_loss_sum(stock, batch) / batch.num_masked
        adam.zero_grad()
        loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(stock.parameters(), recipe.clip_norm)
        for group in adam.param_groups:
            group["lr"] = recipe.learning_rate * spec.schedule.factor(step, spec.steps)
        adam.step()
        yield loss.item()


@pytest.mark.parametrize("clip_norm", [None, 0.7])
def test_every_step_is_that_of_a_plain_loop_over_stock(
    clip_norm: float | None, packed: Any, tmp_path: Path
) -> None:
    """Stock's model, labels and mean loss with torch's AdamW give the very same curve."""
    spec = packed.spec(
        tmp_path / "ours",
        steps=20,
        optimizer=OptimizerRecipe(learning_rate=3e-3, weight_decay=0.1, clip_norm=clip_norm),
        schedule=Schedule("linear", 0.3),
        masking=MaskingRecipe(whole_word=clip_norm is None),
        micro_batch_rows=5,
    )
    stock = stock_twin(first_model(spec), tmp_path / "start").train()
    training, results = train_in_process(spec)

    assert losses_of(results) == pytest.approx(list(plain_loop(stock, spec)), abs=1e-4)
    assert results[-1].loss < results[0].loss - 0.3, "a curve that does not fall shows little"
    mine = training.flat.weights()["embeddings.word.weight"]
    torch.testing.assert_close(mine, stock.get_input_embeddings().weight, atol=2e-3, rtol=0)


@pytest.mark.parametrize("candidates", ["vocabulary", "batch"])
def test_any_accumulation_gives_the_same_training(
    candidates: str, packed: Any, tmp_path: Path
) -> None:
    """One micro-batch, many, uneven ones: what fits in memory is no part of the result."""
    trainings = {
        micro: train_in_process(
            packed.spec(tmp_path, steps=15, candidates=candidates, micro_batch_rows=micro)
        )
        for micro in (16, 1, 5)
    }
    whole, expected = trainings.pop(16)
    for micro, (training, results) in trainings.items():
        assert losses_of(results) == pytest.approx(losses_of(expected), abs=1e-4), micro
        assert [r.masked_tokens for r in results] == [r.masked_tokens for r in expected]
        for name, value in training.flat.weights().items():
            other = whole.flat.weights()[name]
            torch.testing.assert_close(value, other, atol=2e-3, rtol=0, msg=name)


def test_the_gradient_of_a_step_is_the_mean_over_all_its_masked_tokens(
    packed: Any, tmp_path: Path
) -> None:
    """Not the mean of the micro-batches' means: rows that hide more tokens count for more."""
    norms = {}
    for micro in (16, 7, 1):
        spec = packed.spec(tmp_path, micro_batch_rows=micro, masking=MaskingRecipe(whole_word=True))
        (result,) = train_in_process(spec, last=1)[1]
        norms[micro] = (result.loss, result.gradient_norm)
    assert norms[1] == pytest.approx(norms[16], rel=1e-4)
    assert norms[7] == pytest.approx(norms[16], rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropout": 0.1, "micro_batch_rows": 5},
        {"precision": "bf16", "masking": MaskingRecipe(rate=0.3, rate_end=0.1, whole_word=True)},
        {"candidates": "batch", "schedule": Schedule("wsd", 0.1, 0.5)},
        {"optimizer": OptimizerRecipe("muon", 1.5e-3), "start": StartRecipe("local")},
        {"optimizer": OptimizerRecipe("muon", 1.5e-3), "precision": "bf16"},
    ],
)
def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(
    changes: dict[str, Any], packed: Any, tmp_path: Path
) -> None:
    """Stopped twice and gone on with: losses, rates, weights and moments are all the same."""
    spec = packed.spec(tmp_path, steps=15, **changes)
    whole, expected = train_in_process(spec)
    resumed, results = train_in_process(spec, last=4)
    for last in (9, 15):
        folder = resumed.save("".join(result.line() for result in results))
        resumed, more = train_in_process(replace(spec, resume=str(folder)), last=last)
        results += more

    assert [result.line() for result in results] == [result.line() for result in expected]
    assert_equal_to_the_bit(resumed, whole)


def test_saving_changes_nothing(packed: Any, tmp_path: Path) -> None:
    """A checkpoint more or less is no part of the result."""
    whole, expected = train_in_process(packed.spec(tmp_path, steps=6))
    training, first = train_in_process(packed.spec(tmp_path, steps=6), last=3)
    training.save("")
    assert losses_of([*first, *training.run(6, NEVER)]) == losses_of(expected)
    assert_equal_to_the_bit(training, whole)


def test_a_checkpoint_is_a_model_folder(packed: Any, tmp_path: Path) -> None:
    """Weights of the step, read by whoever reads models; the record says which step it is."""
    training, _ = train_in_process(packed.spec(tmp_path, steps=5), last=3)
    folder = training.save("")
    assert folder == tmp_path / "00000003"
    named = dict(load_masked_lm(folder).named_parameters())
    for name, value in training.flat.weights().items():
        assert torch.equal(named[name], value), name
    record = json.loads((folder / "checkpoint.json").read_text())
    assert (record["step"], record["steps"], record["precision"]) == (3, 5, "fp32")


@pytest.mark.parametrize(
    "other", [{"training": "other"}, {"steps": 6}, {"seed": 5}, {"precision": "bf16"}]
)
def test_a_checkpoint_of_another_training_is_refused(
    other: dict[str, Any], packed: Any, tmp_path: Path
) -> None:
    """Its step number alone says nothing: the message names what differs."""
    spec = packed.spec(tmp_path, steps=5, training="one")
    folder = train_in_process(spec, last=2)[0].save("")
    ((name, _),) = other.items()
    with pytest.raises(ValueError, match=f"of another training: its {name} is"):
        train_in_process(replace(spec, resume=str(folder), **other))


def test_precision_auto_is_that_of_the_checkpoint(packed: Any, tmp_path: Path) -> None:
    """What this machine would choose counts only where a training begins."""
    for precision in ("bf16", "fp32"):
        spec = packed.spec(tmp_path / precision, steps=5, precision=precision)
        folder = train_in_process(spec, last=1)[0].save("")
        resumed, _ = train_in_process(replace(spec, resume=str(folder), precision="auto"), last=2)
        assert resumed.precision.name == precision


def test_what_places_a_training_is_no_part_of_its_identity(packed: Any, tmp_path: Path) -> None:
    """Every other field is: a new one takes part unless it is listed among the execution."""
    spec = packed.spec(tmp_path)
    known = {field.name for kind in (TrainingSpec, FineTuningSpec) for field in fields(kind)}
    assert known >= EXECUTION
    moved = replace(spec, folder="x", rows=["y"], tables="z", threads=7, stop_step=3, began=1.0)
    assert moved.identity() == spec.identity() == replace(spec, micro_batch_rows=3).identity()
    assert set(spec.identity()) == {f.name for f in fields(spec)} - EXECUTION - {"micro_batch_rows"}
    noisy = replace(spec, dropout=0.1)
    assert noisy.identity() != replace(noisy, micro_batch_rows=3).identity()


def test_a_stop_ends_after_the_step_that_was_running(packed: Any, tmp_path: Path) -> None:
    """SIGTERM between two steps loses nothing: the step is whole and told as the last one."""
    asked = iter([False, False, True])
    training, results = train_in_process(packed.spec(tmp_path), must_stop=lambda: next(asked))
    assert [result.must_stop for result in results] == [False, False, True]
    assert training.step == 3
    _, expected = train_in_process(packed.spec(tmp_path), last=3)
    assert losses_of(results) == losses_of(expected)


def test_a_training_goes_on_from_somebody_elses_model(packed: Any, tmp_path: Path) -> None:
    """`model.from`: the first loss is the given model's, not an untrained one's."""
    trained, _ = train_in_process(packed.spec(tmp_path, steps=50))
    given = tmp_path / "given"
    save_model(trained.model, given)
    spec = replace(packed.spec(tmp_path), model=None, initial=str(given))
    _, (first,) = train_in_process(spec, last=1)
    _, (fresh,) = train_in_process(packed.spec(tmp_path), last=1)
    assert first.loss < fresh.loss - 0.3


def test_rows_of_another_tokenizer_are_refused(packed: Any, tmp_path: Path) -> None:
    """Ids of another vocabulary would train, and mean nothing."""
    spec = packed.spec(tmp_path)
    assert spec.model is not None
    for model in (replace(spec.model, vocab_size=800), replace(spec.model, max_row_tokens=32)):
        with pytest.raises(ValueError, match="the model takes rows of at most"):
            train_in_process(replace(spec, model=model))
    with pytest.raises(ValueError, match="no rows to train on"):
        train_in_process(replace(spec, rows=[]))


def test_a_loss_that_is_no_number_stops_the_training(packed: Any, tmp_path: Path) -> None:
    """No checkpoint is written over the last sound one, and the paragraph says what to do."""
    save_model(first_model(packed.spec(tmp_path)), tmp_path / "given")
    file = tmp_path / "given" / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.bias"][9] = 3e38  # a number, and the sum of a few of them is none
    save_file(weights, file, metadata={"format": "pt"})
    spec = replace(packed.spec(tmp_path), model=None, initial=str(tmp_path / "given"))
    with pytest.raises(ValueError, match="became inf at step 1.*lower the learning rate"):
        train_in_process(spec)


def test_a_gradient_that_is_no_number_stops_the_training_before_the_update(
    packed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sound loss with a gradient of inf or nan used to be trained on, saved and called done."""
    training, _ = train_in_process(packed.spec(tmp_path, steps=5), last=1)
    before, collect = training.flat.master.clone(), StepSums.collect

    def overflowing(sums: StepSums) -> None:
        collect(sums)
        sums.gradient[7] = float("inf")

    monkeypatch.setattr(StepSums, "collect", overflowing)
    with pytest.raises(
        ValueError, match="gradient's norm became inf at step 2.*lower the learning rate"
    ):
        list(training.run(5, NEVER))
    assert torch.equal(training.flat.master, before), "the update came before the check"
    assert training.step == 1


def test_weights_that_are_no_numbers_are_not_saved(packed: Any, tmp_path: Path) -> None:
    """Whatever made them: no folder appears, and the earlier checkpoint stays."""
    training, _ = train_in_process(packed.spec(tmp_path, steps=5), last=1)
    training.flat.master[3] = float("nan")
    with pytest.raises(ValueError, match="nan or infinite after step 1.*lower the learning rate"):
        training.save("")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_spec_comes_back_from_its_file(packed: Any, tmp_path: Path) -> None:
    """What the stage writes is what the process reads; a misspelt field is named."""
    spec = packed.spec(tmp_path, masking=MaskingRecipe(whole_word=True))
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec.to_json()))
    assert read_spec(path) == spec
    with pytest.raises(ValueError, match="unknown fields: batchrows"):
        TrainingSpec.from_json({**spec.to_json(), "batchrows": 3})
    with pytest.raises(ValueError, match="incomplete.*tables"):
        TrainingSpec.from_json({n: v for n, v in spec.to_json().items() if n != "tables"})
