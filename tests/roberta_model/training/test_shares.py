"""How a step of fine-tuning is shared out, and how its loss is weighed, by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from small_models import our_model, small_config

from roberta_model.data.examples import SCHEMA
from roberta_model.heads import (
    QuestionAnsweringHead,
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.huggingface import save_model
from roberta_model.training import fine_tuning as module
from roberta_model.training.fine_tuning import FineTuningObjective, new_head, shared_out
from roberta_model.training.spec import FineTuningSpec

CONFIG = small_config(num_layers=1)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> FineTuningSpec:
    """Six examples of 3, 4, ... 8 tokens, the classes 0 and 1 in turn."""
    folder = tmp_path_factory.mktemp("shares")
    save_model(our_model(CONFIG), folder / "model")
    ids = [list(range(4, 7 + number)) for number in range(6)]
    targets = [[float(number % 2)] for number in range(6)]
    with pa.OSFile(str(folder / "e.arrow"), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(pa.table({"ids": ids, "targets": targets}, schema=SCHEMA))
    return FineTuningSpec(
        examples=str(folder / "e.arrow"),
        head="sequence",
        labels=("no", "yes"),
        folder=str(folder),
        initial=str(folder / "model"),
        steps=9,
        batch_rows=4,
        device="cpu",
    )


def objective_of(spec: FineTuningSpec) -> FineTuningObjective:
    return FineTuningObjective(spec, Accelerator(cpu=True))


def test_the_dearest_pieces_go_first_and_to_whoever_has_least() -> None:
    """Of equals the earlier piece goes first, to the earlier process."""
    assert shared_out([5, 3, 3, 2], 2) == [[0, 3], [1, 2]]
    assert shared_out([1, 9, 4, 4], 2) == [[1], [2, 3, 0]]
    assert shared_out([7, 7, 7], 2) == [[0, 2], [1]]
    assert shared_out([7], 3) == [[0], [], []]
    assert shared_out([], 2) == [[], []]


def test_passes_are_as_many_as_their_tokens_ask_for(
    spec: FineTuningSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An even number, of ten tokens each at most; never more than examples."""
    monkeypatch.setattr(module, "_CPU_PASS_TOKENS", 10)
    objective = objective_of(spec)
    lengths = [np.array([5] * count) for count in (1, 2, 4, 5, 8, 9)]
    assert [objective._num_passes(each) for each in lengths] == [1, 2, 2, 4, 4, 6]
    assert objective_of(replace(spec, micro_batch_rows=2))._pass_tokens == 2 * 8


def test_a_step_is_told_in_tokens_on_average_and_in_epochs(spec: FineTuningSpec) -> None:
    """Six examples of 5.5 tokens; steps begin at 0, 4, 8, 12."""
    objective = objective_of(spec)
    assert objective.step_tokens == 22
    assert [objective.epoch(step) for step in range(4)] == [0, 0, 1, 2]


def test_a_step_has_its_own_examples_and_their_words(spec: FineTuningSpec) -> None:
    objective = objective_of(spec)
    shares = list(objective.micro_batches(2, 4))
    for step, share in zip((2, 3), shares, strict=True):
        _, numbers = objective.order.rows_of(step)
        longest = max(int(number) for number in numbers)
        assert share.words_U.tolist() == list(range(4, 7 + longest))
        found = sorted(len(batch.rows.ids_N) for _, batch in share.passes)
        assert sum(found) == sum(3 + int(number) for number in numbers)


def loss_of(spec: FineTuningSpec, **changes: Any) -> tuple[float, int]:
    """The summed loss of a step and its items, the head's logits being its bias alone."""
    objective = objective_of(replace(spec, **changes))
    head = objective.model.head_module
    assert isinstance(head, SequenceClassificationHead)
    out = head.out
    with torch.no_grad():
        out.weight.zero_()
        out.bias.copy_(torch.tensor([1.0, 3.0])[: len(out.bias)])
    (share,) = objective.micro_batches(0, 1)
    sums = [objective._loss_sum(batch) for _, batch in share.passes]
    return sum(float(loss.detach()) for loss, _ in sums), sum(items for _, items in sums)


def test_the_loss_is_summed_over_examples_and_classes_are_weighed(spec: FineTuningSpec) -> None:
    """Three of either class in the whole epoch of six; a weight is not divided by."""
    whole = {"batch_rows": 6}
    no, yes = np.log(1 + np.exp(2.0)), np.log(1 + np.exp(-2.0))
    assert loss_of(spec, **whole) == pytest.approx((3 * no + 3 * yes, 6), rel=1e-5)
    weighed = loss_of(spec, **whole, weights=(2.0, 0.5))
    assert weighed == pytest.approx((6 * no + 1.5 * yes, 6), rel=1e-5)


def test_the_loss_of_values_is_the_mean_square_of_each(spec: FineTuningSpec) -> None:
    one = loss_of(spec, batch_rows=6, problem="regression", labels=("value",))
    assert one == pytest.approx((3 * 1.0 + 3 * 0.0, 6))


def test_a_head_is_what_the_task_asks_for_with_the_trainings_dropout(spec: FineTuningSpec) -> None:
    noisy = replace(spec, dropout=0.4, problem="multi_label_classification")
    head = new_head(noisy, CONFIG)
    assert isinstance(head, SequenceClassificationHead)
    assert (head.labels, head.dropout.p, head.problem) == (("no", "yes"), 0.4, noisy.problem)
    tagger = new_head(replace(noisy, head="tokens"), CONFIG)
    assert isinstance(tagger, TokenClassificationHead)
    assert (tagger.labels, tagger.dropout.p) == (("no", "yes"), 0.4)
    assert isinstance(new_head(replace(spec, head="span"), CONFIG), QuestionAnsweringHead)


def test_the_encoder_is_the_given_one_and_the_head_follows_from_the_seed(
    spec: FineTuningSpec,
) -> None:
    """All of it is trained, with the training's dropout."""
    one, same, other = (
        dict(objective_of(replace(spec, seed=seed)).model.named_parameters()) for seed in (1, 1, 2)
    )
    for name, value in our_model(CONFIG).named_parameters():
        if not name.startswith("lm_head."):
            assert torch.equal(one[name], value), name
    assert torch.equal(one["classifier.dense.weight"], same["classifier.dense.weight"])
    assert not torch.equal(one["classifier.dense.weight"], other["classifier.dense.weight"])
    assert all(value.requires_grad for value in one.values())
    model = objective_of(replace(spec, dropout=0.2)).model
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}
    assert model.training


def test_examples_must_fit_the_model_and_be_there(spec: FineTuningSpec, tmp_path: Path) -> None:
    """As long as the model reads is not too long."""
    for longest, fits in ((24, True), (25, False)):
        path = tmp_path / f"{longest}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            rows = {"ids": [[4] * longest], "targets": [[0.0]]}
            writer.write_table(pa.table(rows, schema=SCHEMA))
        given = replace(spec, examples=str(path))
        if fits:
            assert objective_of(given).step_tokens == 24 * 4
        else:
            with pytest.raises(ValueError, match="an example has 25 tokens; the model reads"):
                objective_of(given)
    with pa.OSFile(str(tmp_path / "none"), "wb") as sink, pa.ipc.new_file(sink, SCHEMA):
        pass
    with pytest.raises(ValueError, match="there are no examples to learn from"):
        objective_of(replace(spec, examples=str(tmp_path / "none")))


def test_a_head_for_the_same_classes_goes_on_and_another_begins_anew(
    spec: FineTuningSpec, tmp_path: Path
) -> None:
    """Whatever the dropout; other names, another order or another kind are another head."""
    tuned = objective_of(spec).model
    with torch.no_grad():
        tuned.head_module.get_parameter("dense.weight").add_(1.0)
    save_model(tuned, tmp_path / "tuned")
    name = "classifier.dense.weight"

    def first(**changes: Any) -> dict[str, torch.Tensor]:
        given = replace(spec, initial=str(tmp_path / "tuned"), **changes)
        return dict(objective_of(given).model.named_parameters())

    kept = first(seed=5, dropout=0.3)
    assert torch.equal(kept[name], tuned.get_parameter(name))
    assert kept[name].requires_grad
    for labels in (("yes", "no"), ("no", "maybe"), ("no", "yes", "both")):
        assert not torch.equal(first(labels=labels)[name], tuned.get_parameter(name)), labels
    several = first(problem="multi_label_classification")
    assert not torch.equal(several[name], tuned.get_parameter(name))


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"head": "span", "labels": ()}, True),
        ({"labels": ("0", "1")}, False),
        ({"labels": ("LABEL_0", "LABEL_1")}, False),
        ({"head": "tokens", "labels": ("B-PER", "O")}, True),
    ],
)
def test_numbers_are_no_names_and_answers_need_none(
    changes: dict[str, Any], is_kept: bool, spec: FineTuningSpec, tmp_path: Path
) -> None:
    """One set's 1 is yes and another's no."""
    asked = replace(spec, **changes)
    head = new_head(asked, CONFIG)
    save_model(RobertaWithHead(CONFIG, head), tmp_path)
    assert module._answers_the_same(tmp_path, head) == is_kept


def test_a_folder_without_the_weights_of_its_head_gets_a_new_one(
    spec: FineTuningSpec, tmp_path: Path
) -> None:
    save_model(our_model(CONFIG), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    asked = new_head(spec, CONFIG)
    (tmp_path / "config.json").write_text(json.dumps(config | asked.to_huggingface()))
    assert not module._answers_the_same(tmp_path, asked)
