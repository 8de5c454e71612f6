"""Fine-tuning: its loss is stock's, whatever the cuts; it learns; it resumes exactly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers
from accelerate import Accelerator
from small_models import our_model, small_config

from roberta_model.data.examples import (
    IGNORED,
    SCHEMA,
    Examples,
    cut_by_length,
    padded_ids,
)
from roberta_model.huggingface import save_model
from roberta_model.recipe import HeadName, OptimizerRecipe, Problem
from roberta_model.training.checkpoint import read_checkpoint
from roberta_model.training.fine_tuning import FineTuningObjective, StepShare, first_model
from roberta_model.training.loop import Training
from roberta_model.training.spec import FineTuningSpec
from tasks.config import LaunchConfig
from tasks.training.launch import Trainer, launch_arguments

CLASSES = ("bad", "good", "neither")
NUM_EXAMPLES = 40
CONFIG = small_config(dropout=0.0, attention_dropout=0.0)


def write_examples(path: Path, head: HeadName, problem: Problem) -> None:
    """Random rows of 5 to 24 tokens; the class of a row is that of its second token."""
    rng = np.random.default_rng(5)
    ids, targets = [], []
    for _ in range(NUM_EXAMPLES):
        row = rng.integers(4, CONFIG.vocab_size, int(rng.integers(5, 25)))
        row[0] = 0
        ids.append(row.tolist())
        if head == "tokens":
            asked = [IGNORED if n % 3 == 0 else int(id) % 3 for n, id in enumerate(row)]
            targets.append(asked)
        elif head == "span":
            targets.append(sorted(rng.integers(0, len(row), 2).tolist()))
        elif problem == "regression":
            targets.append([float(row[1]) / 100])
        elif problem == "multi_label_classification":
            targets.append([float(row[1] % 2), float(row[2] % 2), float(row[3] % 2)])
        else:
            targets.append([float(row[1] % 3)])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(pa.table({"ids": ids, "targets": targets}, schema=SCHEMA))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pretrained model."""
    folder = tmp_path_factory.mktemp("model")
    save_model(our_model(CONFIG), folder)
    return folder


def make_spec(folder: Path, model: Path, **changes: Any) -> FineTuningSpec:
    """A fine-tuning of a few steps in fp32 on the CPU."""
    head: HeadName = changes.get("head", "sequence")
    problem: Problem = changes.get("problem", "single_label_classification")
    path = folder / f"{head}-{problem}.arrow"
    if not path.exists():
        write_examples(path, head, problem)
    labels = ("value",) if problem == "regression" else () if head == "span" else CLASSES
    values: dict[str, Any] = {
        "head": "sequence",
        "labels": labels,
        "steps": 6,
        "batch_rows": 16,
        "precision": "fp32",
        "optimizer": OptimizerRecipe(learning_rate=2e-3),
        "seed": 3,
        "device": "cpu",
        **changes,
    }
    return FineTuningSpec(examples=str(path), folder=str(folder), initial=str(model), **values)


def run(spec: FineTuningSpec, last: int | None = None) -> tuple[Training, list[float]]:
    training = Training(spec, Accelerator(cpu=True))
    return training, [
        result.loss for result in training.run(last or spec.steps or 0, lambda: False)
    ]


KINDS = [
    ("sequence", "single_label_classification", "ForSequenceClassification"),
    ("sequence", "multi_label_classification", "ForSequenceClassification"),
    ("sequence", "regression", "ForSequenceClassification"),
    ("tokens", "single_label_classification", "ForTokenClassification"),
    ("span", "single_label_classification", "ForQuestionAnswering"),
]


@pytest.mark.parametrize(("head", "problem", "kind"), KINDS)
def test_the_loss_is_stocks(
    tmp_path: Path, model_folder: Path, head: HeadName, problem: Problem, kind: str
) -> None:
    """The mean over the global batch, as stock computes it from one padded batch."""
    spec = make_spec(tmp_path, model_folder, head=head, problem=problem, steps=1)
    training = Training(spec, Accelerator(cpu=True))
    save_model(training.model, tmp_path / "stock")
    stock = getattr(transformers, f"Roberta{kind}").from_pretrained(tmp_path / "stock").eval()
    examples = Examples(Path(spec.examples))
    _, numbers = training.objective.order.rows_of(0)  # type: ignore[attr-defined]
    ids_BT, _ = padded_ids([examples.ids(number) for number in numbers], CONFIG.pad_id)
    targets_BK = torch.full(ids_BT.shape, IGNORED)
    for row, number in zip(targets_BK, numbers, strict=True):
        row[: len(examples.targets(number))] = torch.from_numpy(examples.targets(number).copy())
    if head != "tokens":
        targets_BK = targets_BK[:, : len(examples.targets(0))]
    mask = (ids_BT != CONFIG.pad_id).long()
    given: dict[str, Any] = {"input_ids": ids_BT, "attention_mask": mask}
    if head == "span":
        starts, ends = targets_BK.long().T
        given |= {"start_positions": starts, "end_positions": ends}
    elif problem == "single_label_classification":
        labels = targets_BK.long()
        given["labels"] = labels if head == "tokens" else labels[:, 0]
    else:
        given["labels"] = targets_BK
    if head == "span":  # stock lets padding take part in the softmax
        logits = stock(input_ids=given["input_ids"], attention_mask=mask)
        hidden = (mask == 0) * -1e9
        losses = [
            torch.nn.functional.cross_entropy(given_logits + hidden, targets)
            for given_logits, targets in (
                (logits.start_logits, given["start_positions"]),
                (logits.end_logits, given["end_positions"]),
            )
        ]
        expected = float((losses[0] + losses[1]).detach() / 2)
    else:
        expected = float(stock(**given).loss.detach())
    (loss,) = [result.loss for result in training.run(1, lambda: False)]
    assert loss == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("head", "problem", "kind"), KINDS)
def test_it_learns(
    tmp_path: Path, model_folder: Path, head: HeadName, problem: Problem, kind: str
) -> None:
    """The loss falls well below its start, for every head."""
    _, losses = run(make_spec(tmp_path, model_folder, head=head, problem=problem, steps=60))
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_cuts_change_nothing(tmp_path: Path, model_folder: Path) -> None:
    """One pass for each example gives the losses that one for all gives."""
    _, together = run(make_spec(tmp_path, model_folder))
    _, alone = run(make_spec(tmp_path, model_folder, micro_batch_rows=1))
    assert together == pytest.approx(alone, abs=1e-5)


def test_the_noise_of_dropout_is_of_the_step_and_the_pass(
    tmp_path: Path, model_folder: Path
) -> None:
    """Drawn anew in each of them, and the same again whenever it is asked for."""
    spec = make_spec(tmp_path, model_folder, dropout=0.3)
    training = Training(spec, Accelerator(cpu=True))
    objective = training.objective
    share = next(iter(objective.micro_batches(0, 1)))
    _, batch = share.passes[0]

    def loss(step: int, number: int) -> float:
        numbered = replace(share, passes=[(number, batch)])
        return float(objective.backward(step, numbered, training.sums)[0])

    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [loss(*place) for place in places] == (drawn := [loss(*place) for place in places])
    assert len(set(drawn)) == len(places)


@pytest.mark.parametrize(("head", "problem", "kind"), KINDS)
def test_only_the_words_of_a_step_have_a_gradient(
    tmp_path: Path, model_folder: Path, head: HeadName, problem: Problem, kind: str
) -> None:
    """Step after step it is what one dense backward pass over the whole batch leaves."""
    spec = make_spec(tmp_path, model_folder, head=head, problem=problem, dropout=0.0)
    training, examples = Training(spec, Accelerator(cpu=True)), Examples(Path(spec.examples))
    objective = training.objective
    seen = []
    for step, share in enumerate(objective.micro_batches(0, 3)):
        _, numbers = objective.order.rows_of(step)  # type: ignore[attr-defined]
        words = sorted({int(id) for number in numbers for id in examples.ids(number)})
        assert share.words_U.tolist() == words
        loss_sum, items = objective.backward(step, share, training.sums)
        means = training.sums.average(loss_sum, items, stop=False)
        found = training.sums.gradient.clone()
        expected = dense_gradient(training, share)
        torch.testing.assert_close(found, expected / items, atol=1e-6, rtol=1e-4)
        assert means.gradient_norm == pytest.approx(float((expected / items).norm()), rel=1e-4)
        seen.append(words)
    assert seen[0] != seen[1], "no row of a step before is left over"


def dense_gradient(training: Training, share: StepShare) -> torch.Tensor:
    """The summed gradient of a step with a dense word embedding, in the order of the weights."""
    sums = torch.zeros_like(training.flat.master)
    for _, batch in share.passes:
        training.objective._loss_sum(batch)[0].backward()  # type: ignore[attr-defined]
        for part, parameter in zip(
            training.flat.views(sums), training.flat.parameters, strict=True
        ):
            assert parameter.grad is not None
            part += parameter.grad.to_dense()
            parameter.grad = None
    return sums


def test_two_processes_learn_what_one_learns(tmp_path: Path, model_folder: Path) -> None:
    """Real ones: they exchange the vectors of a step's words, and all the rest."""
    spec = make_spec(tmp_path, model_folder, head="sequence", checkpoint_steps=6)
    alone, losses = run(spec)
    told = tmp_path / "spec.json"
    told.write_text(json.dumps({"kind": spec.kind, **replace(spec, threads=1).to_json()}))
    settings = LaunchConfig(processes=2, threads=1, device="cpu")
    arguments = launch_arguments(settings, "roberta_model.training.process", [str(told)])
    with Trainer(arguments, threads=1) as trainer:
        assert list(trainer.events())[-1] == {"event": "done", "step": 6}
        trainer.check_end()
    saved = tmp_path / "00000006"
    lines = [json.loads(line) for line in (saved / "losses.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == pytest.approx(losses, abs=1e-5)
    weights, _, _ = read_checkpoint(saved)
    for name, value in alone.flat.weights().items():
        torch.testing.assert_close(weights[name], value, atol=1e-4, rtol=0, msg=name)


def test_a_step_is_cut_into_an_even_number_of_passes(tmp_path: Path, model_folder: Path) -> None:
    """So that two processes do half each; one example is one pass."""
    spec = make_spec(tmp_path, model_folder, batch_rows=16, micro_batch_rows=5)
    objective = FineTuningObjective(spec, Accelerator(cpu=True))
    for share in objective.micro_batches(0, 4):
        assert len(share.passes) % 2 == 0
        assert sorted(number for number, _ in share.passes) == list(range(len(share.passes)))
    single = FineTuningObjective(replace(spec, batch_rows=1), Accelerator(cpu=True))
    assert [len(share.passes) for share in single.micro_batches(0, 3)] == [1, 1, 1]


def test_class_weights_weigh(tmp_path: Path, model_folder: Path) -> None:
    """A class of weight 0 teaches nothing; the mean stays one over examples."""
    spec = make_spec(tmp_path, model_folder, weights=[0.0, 0.0, 0.0], steps=1)
    _, (loss,) = run(spec)
    assert loss == 0.0


@pytest.mark.parametrize("attention", ["pretrained", "uniform"])
def test_a_resumed_training_ends_in_the_same_bytes(
    tmp_path: Path, model_folder: Path, attention: str
) -> None:
    """With dropout, from a checkpoint in the middle of an epoch; queries of zero learn too."""
    given = {"dropout": 0.1, "first_attention": attention}
    whole, losses = run(make_spec(tmp_path, model_folder, **given))
    assert losses[-1] < losses[0]
    half, _ = run(make_spec(tmp_path, model_folder, **given), last=3)
    saved = half.save("")
    resumed, _ = run(make_spec(tmp_path, model_folder, **given, resume=str(saved)))
    last = resumed.model.layers[-1].attention.qkv  # type: ignore[union-attr]
    assert last.weight[: CONFIG.width].any()  # type: ignore[union-attr, index]
    assert torch.equal(resumed.flat.master, whole.flat.master)


def test_the_cheapest_cut_is_found() -> None:
    """Against every way to cut eight examples."""
    lengths = np.array([3, 30, 4, 28, 3, 9, 10, 3])
    order = sorted(lengths.tolist(), reverse=True)

    def cost(groups: list[list[int]]) -> int:
        return sum(len(group) * max(group) + 5 for group in groups)

    best = min(
        cost([list(part) for part in np.split(order, cuts)])
        for bits in range(2**7)
        if (cuts := [n + 1 for n in range(7) if bits >> n & 1]) is not None
    )
    groups = cut_by_length(lengths, 5, 1000)
    assert sorted(np.concatenate(groups).tolist()) == list(range(8))
    assert cost([lengths[group].tolist() for group in groups]) == best


def test_no_group_holds_too_much() -> None:
    """But for an example that is too long by itself."""
    lengths = np.array([50, 7, 7, 7, 7])
    groups = cut_by_length(lengths, 1000, 20)
    sizes = [[int(lengths[n]) for n in group] for group in groups]
    assert sizes == [[50], [7, 7], [7, 7]]


def test_s_may_begin_by_reading_all_tokens_alike(tmp_path: Path, model_folder: Path) -> None:
    """The last layer's queries are zero then, and nothing else differs."""
    before, after = (
        first_model(make_spec(tmp_path, model_folder, first_attention=attention)).state_dict()
        for attention in ("pretrained", "uniform")
    )
    last = f"layers.{CONFIG.num_layers - 1}.attention.qkv."
    for name, parameter in before.items():
        if name.startswith(last):
            assert parameter[: CONFIG.width].any() or name.endswith("bias")
            parameter[: CONFIG.width] = 0
        torch.testing.assert_close(after[name], parameter, rtol=0, atol=0)
