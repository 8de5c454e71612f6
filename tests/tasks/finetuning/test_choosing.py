"""What is learnt from, which epoch is kept, when it is enough: the rules, one by one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydantic import ValidationError
from small_finetuning import sentences, write_jsonl

from roberta_model.inference.answers import best_answer
from roberta_model.inference.reading import Columns, Reading
from roberta_model.inference.task_rows import Window
from roberta_model.training.spec import FineTuningSpec
from tasks.config.downstream import FineTuningConfig
from tasks.engine.identity import digest_of
from tasks.engine.outside import outside_file
from tasks.engine.units import UnitWork
from tasks.errors import UserError
from tasks.finetuning.items import Item
from tasks.finetuning.labels import Labels, find_labels
from tasks.finetuning.plan import Choice, DataFile, Found, Job, Tried
from tasks.finetuning.preparing import _span_of, prepare
from tasks.finetuning.scoring import best_epoch, is_better, is_enough, main_metric
from tasks.finetuning.trying import _Trial, identity_of, judgement, scoring_of, spec_of

ENCODER = {"hidden_size": 64}


def test_what_is_as_good_is_no_better() -> None:
    """So the first of equals stays; for an error less is more."""
    assert is_better("accuracy", 0.5, None)
    assert is_better("accuracy", 0.6, 0.5)
    assert is_better("mse", 0.4, 0.5)
    for metric in ("accuracy", "mse"):
        assert not is_better(metric, 0.5, 0.5)
    epochs = {step: {"f1": value} for step, value in ((10, 0.3), (20, 0.7), (30, 0.7))}
    assert best_epoch("f1", epochs) == 20
    assert best_epoch("f1", {}) is None


def test_epochs_are_told_from_one_on() -> None:
    """Of two the second was the best, and its scores are told."""
    tried = Tried(Choice(1e-4, 32, 5), 0.7, [{"f1": 0.3}, {"f1": 0.7}], 1).to_json()
    assert (tried["epoch"], tried["epochs"], tried["dev"]) == (2, 2, {"f1": 0.7})


@pytest.mark.parametrize(("patience", "ends_after"), [(1, 3), (2, 4), (9, 5)])
def test_a_training_ends_after_as_many_epochs_without_a_better_one(
    patience: int, ends_after: int
) -> None:
    """The second epoch is the best here; the fifth is the last."""
    values = (0.3, 0.7, 0.7, 0.6, 0.5)
    epochs: dict[int, dict[str, float]] = {}
    for number, value in enumerate(values, start=1):
        assert not is_enough("f1", epochs, len(values), patience)
        epochs[number] = {"f1": value}
        if is_enough("f1", epochs, len(values), patience):
            break
    assert len(epochs) == ends_after


def test_classes_stand_in_an_order_of_their_own() -> None:
    """Not in the data's: numbers by size, then words by letter."""
    items = [Item("here", "text", None, label) for label in ("b", "10", "a", "2", "b", "-1")]
    labels = find_labels("classify", items, None, "here")
    assert labels.names == ("-1", "2", "10", "a", "b")
    assert labels.counts == (1, 1, 1, 1, 2)


def test_an_answer_is_learnt_where_the_whole_of_it_is() -> None:
    """A window that ends in the middle of it, or begins there, teaches that nothing is in it."""
    window = Window([0, 9, 2, 2, 7, 8, 2], 4, [(5, 8), (9, 12)])
    assert window.place(5, 8) == (4, 4)
    assert window.place(6, 12) == (4, 5)
    assert window.place(9, 13) is None
    assert window.place(4, 8) is None
    beside = Window([0, 9, 2, 2, 7, 8, 5, 2], 4, [(5, 8), (8, 9), (9, 12)])
    assert beside.place(5, 8) == (4, 4), "the point behind it is no part of the answer"
    assert beside.place(9, 12) == (6, 6)


def test_the_first_right_answer_is_learnt_where_it_is_said_to_stand() -> None:
    """A place that is told is not looked for elsewhere, the first character's neither."""
    window, context = Window([0, 9, 2, 2, 7, 8, 6, 2], 4, [(0, 4), (5, 8), (9, 12)]), "Rome was big"
    answers = [{"text": "was", "answer_start": 5}, {"text": "Rome", "answer_start": 0}]
    assert _span_of(Item("f", "?", context, answers), window) == [5.0, 5.0]
    with pytest.raises(UserError, match="'was' does not stand in its context at character 0"):
        _span_of(Item("f", "?", context, {"text": "was", "answer_start": 0}), window)


@pytest.mark.parametrize(("text", "start"), [(" Rome ", 0), ("Rome\n", 1), ("Rome", 1)])
def test_white_space_around_an_answer_is_no_part_of_it(text: str, start: int) -> None:
    """No token covers it: at the edge of a context the answer was learnt as none."""
    context = text if start == 0 else f" {text}"
    window = Window([0, 9, 2, 2, 7, 2], 4, [(1, 5)])
    item = Item("f", "?", context, {"text": text, "answer_start": start})
    assert _span_of(item, window) == [4.0, 4.0]
    with pytest.raises(UserError, match="f: the answer is empty"):
        _span_of(Item("f", "?", context, {"text": " ", "answer_start": 0}), window)


@pytest.mark.parametrize("answers", ["Paris", {"text": "Paris"}])
def test_an_answer_that_stands_nowhere_is_named(answers: Any) -> None:
    with pytest.raises(UserError, match=r"'Paris' does not stand in its context\. Mend"):
        _span_of(Item("f", "?", "Rome", answers), Window([0, 2, 2, 7, 2], 3, [(0, 4)]))


@pytest.mark.parametrize(("nothing", "found"), [((2.0, 9.0), "cat"), ((9.0, 9.5), "")])
def test_there_is_no_answer_where_every_window_says_so(
    nothing: tuple[float, float], found: str
) -> None:
    """One window that lacks the answer is sure of that: the other's answer stands."""
    windows = []
    for start, (score, least) in enumerate(zip((6.0, 1.0), nothing, strict=True)):
        logits_T2 = np.full((4, 2), -9.0, dtype=np.float32)
        logits_T2[0] = least / 2
        logits_T2[2] = score / 2
        windows.append((Window([0, 2, 7, 2], 2, [(4 * start, 4 * start + 3)]), logits_T2))
    assert best_answer("cat dog", windows, may_be_none=True)["answer"] == found
    assert best_answer("cat dog", windows, may_be_none=False)["answer"] == "cat"


def test_a_training_is_told_from_one_of_other_examples_or_another_encoder(tmp_path: Path) -> None:
    """As its scores are kept under this name."""
    files = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        files.append(outside_file(tmp_path / name))
    one, two = files
    spec = FineTuningSpec(
        examples="", folder="", initial="-", head="sequence", labels=("a", "b"), steps=1
    )
    known = {
        identity_of(spec, examples, {"model.safetensors": encoder})
        for examples in files
        for encoder in files
    }
    assert len(known) == 4
    assert identity_of(spec, one, {"model.safetensors": two}) in known


def test_kept_weights_are_told_from_those_that_another_judge_would_keep(tmp_path: Path) -> None:
    """Other data that choose, another metric, more patience, another training: others."""
    files = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        files.append(DataFile(name, outside_file(tmp_path / name)))
    known = {
        digest_of(judgement(training, {"dev": dev}, metric, patience))
        for training in ("a", "b")
        for dev in files
        for metric in ("accuracy", "f1")
        for patience in (1, 2)
    }
    assert len(known) == 16


def test_scores_on_dev_are_known_by_all_that_changes_how_it_is_read(tmp_path: Path) -> None:
    """Its texts may be longer than any that is learnt from: the training is then the same."""
    files = {}
    for name in ("dev", "other", "tokenizer.json"):
        (tmp_path / name).write_text(name)
        files[name] = outside_file(tmp_path / name)
    found = found_in(tmp_path, 4)

    def known(found: Found, dev: str = "dev", **settings: object) -> str:
        model = {"tokenizer.json": files["tokenizer.json"]}
        job = Job(settings_of(**settings), {"dev": DataFile(dev, files[dev])}, model)
        choice = Choice(1e-4, 2, 0)
        spec = spec_of(job.settings, found, choice, ENCODER)
        trial = _Trial(cast(Any, None), job, found, choice, spec, "training", "")
        both = trial._epoch_unit(2), trial._weights_unit()
        assert all(unit.payload["scoring"] == scoring_of(job, found) for unit in both)
        return digest_of(both[0].payload)

    assert known(found, epochs=3, seeds=4, learning_rates=[0.1]) == known(found)
    others = [
        known(replace(found, reading=replace(found.reading, max_tokens=64))),
        known(replace(found, reading=replace(found.reading, stride=8))),
        known(replace(found, labels=replace(found.labels, names=("b", "a")))),
        known(found, "other"),
        known(found, format="csv"),
    ]
    assert len({known(found), *others}) == 6


def test_baselines_learn_from_what_the_model_learns_from(
    tmp_path: Path, model_folder: Path
) -> None:
    """Where dev calls bad what training called good, bags of words are always wrong."""
    known = sentences(40, seed=0)
    swapped = {"good": "bad", "bad": "good"}
    rows = {
        "train": [{"sentence": text, "label": label} for text, label in known],
        "dev": [{"sentence": text, "label": swapped[label]} for text, label in known],
    }
    files = {
        part: DataFile(f"{part}.jsonl", outside_file(write_jsonl(tmp_path / f"{part}.jsonl", its)))
        for part, its in rows.items()
    }
    settings = FineTuningConfig(task="classify", train="train.jsonl", dev="dev.jsonl")
    model = {path.name: outside_file(path) for path in model_folder.iterdir()}
    made = prepare(UnitWork("found", tmp_path), settings=settings, files=files, model=model)
    assert made.summary["rows"] == {"train": 40, "dev": 40}
    assert made.summary["baselines"]["dev"]["bag of words"]["accuracy"] == 0.0


def test_texts_to_learn_from_are_cut_as_asked_and_counted(
    tmp_path: Path, model_folder: Path
) -> None:
    """Those of dev are not learnt from, and do not count; nobody reads more than the encoder."""
    long = "the house was warm " * 20
    rows = [{"sentence": text, "label": text[-3:]} for text in ("it was good", "it was bad", long)]
    part = DataFile("all.jsonl", outside_file(write_jsonl(tmp_path / "all.jsonl", rows)))
    model = {path.name: outside_file(path) for path in model_folder.iterdir()}
    for asked, most in ((16, 16), (512, 48)):
        settings = FineTuningConfig(task="classify", train="all", dev="all", max_tokens=asked)
        files = {"train": part, "dev": part}
        folder = tmp_path / str(asked)
        folder.mkdir()
        made = prepare(UnitWork("found", folder), settings=settings, files=files, model=model)
        assert (made.summary["reading"]["max_tokens"], made.summary["cut"]) == (most, 1)


@pytest.mark.parametrize(("rows", "epochs", "steps", "an_epoch"), [(65, 3, 7, 3), (64, 2, 4, 2)])
def test_a_training_is_as_long_as_its_epochs(
    rows: int, epochs: int, steps: int, an_epoch: int, tmp_path: Path
) -> None:
    """The last step may be part of an epoch more; what is scored is each epoch's end."""
    spec = spec_of(
        settings_of(epochs=epochs), found_in(tmp_path, rows), Choice(1e-4, 32, 5), ENCODER
    )
    assert (spec.steps, spec.checkpoint_steps) == (steps, an_epoch)
    assert (spec.batch_rows, spec.seed, spec.optimizer.learning_rate) == (32, 5, 1e-4)


def test_rare_classes_count_more_where_that_is_asked_for(tmp_path: Path) -> None:
    """So that all count alike; the mean item counts 1. Nobody else has weights."""
    found = found_in(tmp_path, 40, counts=(30, 10))
    assert spec_of(settings_of(), found, Choice(1e-4, 32, 0), ENCODER).weights is None
    weights = spec_of(settings_of(balance=True), found, Choice(1e-4, 32, 0), ENCODER).weights
    assert weights == pytest.approx((40 / 60, 40 / 20))


def settings_of(**more: object) -> FineTuningConfig:
    values = {"task": "classify", "train": "train.jsonl", "dev": "dev.jsonl", **more}
    return FineTuningConfig.model_validate(values)


def found_in(folder: Path, rows: int, counts: tuple[int, ...] = (1, 1)) -> Found:
    (folder / "examples").write_text("")
    examples = replace(outside_file(folder / "examples"), rows=rows)
    reading = Reading("classify", Columns("text", None, "label"), 48, 16, may_have_no_answer=False)
    labels = Labels(("a", "b"), "single_label_classification", counts)
    return Found(examples, reading, labels, "accuracy", {}, 0, {}, {})


@pytest.mark.parametrize(
    ("task", "labels", "metric", "other"),
    [
        ("qa", Labels(()), "f1", "exact_match"),
        ("classify", Labels(("a", "b"), "multi_label_classification"), "f1", "macro_f1"),
        ("regress", Labels(("value",), "regression"), "spearman", "mse"),
        ("tag", Labels(("B-X", "I-X", "O")), "f1", "accuracy"),
        ("tag", Labels(("noun", "verb")), "accuracy", "f1"),
        ("pair", Labels(("a", "b")), "accuracy", "mcc"),
    ],
)
def test_the_usual_metric_of_a_task_decides_unless_another_is_asked_for(
    task: str, labels: Labels, metric: str, other: str
) -> None:
    """What the benchmarks of each kind use; what no answer of the task is scored by is refused."""
    assert main_metric(settings_of(task=task), labels) == metric
    assert main_metric(settings_of(task=task, metric=other), labels) == other
    with pytest.raises(ValidationError, match=f"{task} is scored by .*{metric}"):
        settings_of(task=task, metric="accuracy" if task in ("qa", "regress") else "mse")
