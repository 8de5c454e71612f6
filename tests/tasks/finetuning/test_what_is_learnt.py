"""Labelled rows as what is learnt from: the targets of each task, read back from the file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_finetuning import write_jsonl

from roberta_model.data.examples import IGNORED, Examples
from tasks.config.downstream import FineTuningConfig
from tasks.engine.outside import outside_file
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import UserError
from tasks.finetuning.items import Answer, Item, answers_of
from tasks.finetuning.labels import find_labels
from tasks.finetuning.plan import DataFile
from tasks.finetuning.preparing import prepare
from tasks.inference.model_folder import load_tokenizer

Rows = Sequence[Mapping[str, Any]]


def prepared(
    task: str, rows: Rows, model: Path, folder: Path, dev: Rows | None = None, **more: Any
) -> tuple[Examples, UnitReport]:
    """What the unit that looks through the data makes of some rows."""
    files = {}
    for part, its in (("train", rows), ("dev", dev or rows)):
        path = write_jsonl(folder / f"{part}.jsonl", [dict(row) for row in its])
        files[part] = DataFile(path.name, outside_file(path))
    values = {"task": task, "train": "train.jsonl", "dev": "dev.jsonl", **more}
    work = UnitWork("found", folder)
    report = prepare(
        work,
        settings=FineTuningConfig.model_validate(values),
        files=files,
        model={path.name: outside_file(path) for path in model.iterdir()},
    )
    return Examples(work.path(".arrow")), report


def targets(examples: Examples) -> list[list[float]]:
    return [examples.targets(n).tolist() for n in range(len(examples))]


def test_numbers_are_learnt_as_they_are(model_folder: Path, tmp_path: Path) -> None:
    """As numbers or as text; and what is none is refused with its place."""
    rows: list[dict[str, Any]] = [{"text": "warm", "score": 2.5}, {"text": "cold", "score": "-3"}]
    examples, report = prepared("regress", rows, model_folder, tmp_path)
    assert targets(examples) == [[2.5], [-3.0]]
    assert report.summary["labels"]["names"] == ("value",)
    assert report.summary["labels"]["problem"] == "regression"
    for wrong in ("many", "nan", 1e7):
        bad = [*rows, {"text": "rude", "score": wrong}]
        with pytest.raises(UserError, match=r"train.jsonl.*3.*is no number between"):
            prepared("regress", bad, model_folder, tmp_path)


def test_every_class_of_a_text_is_learnt(model_folder: Path, tmp_path: Path) -> None:
    """Lists, or cells with a separator; a text of no class teaches that it has none."""
    expected = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    lists = [["a", "c"], ["b"], []]
    rows: list[dict[str, Any]] = [{"text": "warm", "label": names} for names in lists]
    examples, _ = prepared("classify", rows, model_folder, tmp_path)
    assert targets(examples) == expected
    cells = [{"text": "warm", "label": " | ".join(names) or "|"} for names in lists]
    examples, report = prepared("classify", cells, model_folder, tmp_path, separator="|")
    assert targets(examples) == expected
    assert report.summary["labels"]["counts"] == (1, 1, 1)


def test_the_first_token_of_each_word_learns_its_tag(model_folder: Path, tmp_path: Path) -> None:
    """All others are ignored: <s>, </s>, and what else a word is made of."""
    rows = [{"tokens": ["the", "zzz", "film"], "tags": ["O", "B-X", "I-X"]}]
    examples, _ = prepared("tag", rows, model_folder, tmp_path)
    tokenizer = load_tokenizer(model_folder)
    spelt = tokenizer.encode("the zzz film")
    assert examples.ids(0).tolist() == spelt.ids
    firsts = [spelt.char_to_token(place) for place in (0, 4, 8)]
    assert len(spelt.ids) > 2 + len(firsts), "one of the words is of several tokens"
    (found,) = targets(examples)
    names = ("B-X", "I-X", "O")
    learnt = {n: names[int(value)] for n, value in enumerate(found) if value != IGNORED}
    assert learnt == dict(zip(firsts, ("O", "B-X", "I-X"), strict=True))


def test_words_behind_the_first_row_learn_their_own_tags(
    model_folder: Path, tmp_path: Path
) -> None:
    """Each word of a long text once, in order, whichever row it stands in."""
    rng = np.random.default_rng(0)
    tags = rng.choice(["noun", "verb"], 200).tolist()
    rows = [{"tokens": ["film" if tag == "noun" else "was" for tag in tags], "tags": tags}]
    examples, _ = prepared("tag", rows, model_folder, tmp_path)
    assert len(examples) > 3
    learnt = [int(value) for part in targets(examples) for value in part if value != IGNORED]
    assert [("noun", "verb")[number] for number in learnt] == tags


def test_an_answers_first_and_last_token_are_learnt(model_folder: Path, tmp_path: Path) -> None:
    """Where it is said to stand, not where it stands first; at <s> where there is none."""
    context = "the film was warm and the house was warm"
    every: tuple[Any, ...] = (
        {"text": ["warm"], "answer_start": [context.rindex("warm")]},
        [{"text": "the film", "answer_start": 0}],
        {"text": [], "answer_start": []},
    )
    rows = [{"question": "what", "context": context, "answers": answers} for answers in every]
    examples, report = prepared("qa", rows, model_folder, tmp_path)
    assert report.summary["reading"]["may_have_no_answer"]
    tokenizer = load_tokenizer(model_folder)
    for number, answer in enumerate(("warm", "the film")):
        first, last = (int(value) for value in examples.targets(number))
        span = examples.ids(number)[first : last + 1].tolist()
        assert tokenizer.decode(span).strip() == answer
    assert int(examples.targets(0)[0]) > len(tokenizer.encode("what", "the film was warm").ids) - 1
    assert targets(examples)[2] == [0.0, 0.0]


def test_an_answer_that_does_not_stand_there_is_refused(model_folder: Path, tmp_path: Path) -> None:
    """One character off: named with its record."""
    asked: dict[str, Any] = {"question": "what", "context": "it was warm"}
    answers: list[Any] = [[], [{"text": "warm", "answer_start": 6}]]
    rows = [{**asked, "answers": right} for right in answers]
    with pytest.raises(UserError, match="train.jsonl.*2.*'warm' does not stand.*at character 6"):
        prepared("qa", rows, model_folder, tmp_path)


def test_answers_come_in_every_form_that_sets_use() -> None:
    """SQuAD's objects, the hub's lists, plain text; and nothing else."""
    both = [Answer("a", 3), Answer("b", 9)]
    squad = [{"text": "a", "answer_start": 3}, {"text": "b", "answer_start": 9}]
    hub = {"text": ["a", "b"], "answer_start": [3, 9]}
    forms: tuple[Any, ...] = (squad, hub)
    for label in forms:
        assert answers_of(Item("here", "q", "c", label)) == both
    assert answers_of(Item("here", "q", "c", {"text": ["a", "b"]})) == [
        Answer("a", -1),
        Answer("b", -1),
    ]
    assert answers_of(Item("here", "q", "c", {"text": "a", "answer_start": 3})) == [Answer("a", 3)]
    assert answers_of(Item("here", "q", "c", {"text": [], "answer_start": []})) == []
    assert answers_of(Item("here", "q", "c", "a")) == [Answer("a", -1)]
    assert answers_of(Item("here", "q", "c", ["a", "b"])) == [Answer("a", -1), Answer("b", -1)]
    assert answers_of(Item("here", "q", "c", [])) == []
    wrong: tuple[Any, ...] = (7, [{"answer": "a"}], {"text": [None], "answer_start": [1]})
    wrong += ({}, {"text": ["a", "b"], "answer_start": [3]}, {"text": "a", "answer_start": "3"})
    wrong += ({"text": "a", "answer_start": -3}, {"text": "a", "answer_start": True})
    for label in wrong:
        with pytest.raises(UserError, match="here: the answers are"):
            answers_of(Item("here", "q", "c", label))


def test_rows_that_choose_are_counted_and_looked_at(model_folder: Path, tmp_path: Path) -> None:
    """Before anything is learnt: a class that nobody could learn is named with its row."""
    rows = [{"text": "warm", "label": "good"}, {"text": "cold", "label": "bad"}]
    dev = [*rows, rows[0]]
    _, report = prepared("classify", rows, model_folder, tmp_path, dev=dev)
    assert report.summary["rows"] == {"train": 2, "dev": 3}
    assert report.rows == {".arrow": 2}
    unknown = [*dev, {"text": "rude", "label": "new"}]
    with pytest.raises(UserError, match="dev.jsonl.*4.*'new' is not among"):
        prepared("classify", rows, model_folder, tmp_path, dev=unknown)
    assert json.dumps(report.summary)


NO_LABELS = (None, "", "  ", float("nan"), ["a", None], ["a", ""], ["a", float("nan")])


@pytest.mark.parametrize("label", NO_LABELS)
def test_what_tables_have_for_nothing_is_no_class(
    label: Any, model_folder: Path, tmp_path: Path
) -> None:
    """White space, and the NaN that pandas writes: named with its row."""
    rows = [{"text": "warm", "label": "a"}, {"text": "cold", "label": label}]
    with pytest.raises(UserError, match=r"train.jsonl.*2.*there is no label in 'label'"):
        prepared("classify", rows, model_folder, tmp_path)


def test_half_a_surrogate_pair_is_named_with_its_row(model_folder: Path, tmp_path: Path) -> None:
    """No tokenizer takes it; in words to tag neither."""
    rows: list[dict[str, Any]] = [{"text": "a\ud800b", "label": "x"}, {"text": "c", "label": "y"}]
    with pytest.raises(UserError, match=r"1.*'text' holds half .*ud800 at character 1"):
        prepared("classify", rows, model_folder, tmp_path)
    rows = [{"tokens": ["a", "\udfff"], "tags": ["O", "O"]}]
    with pytest.raises(UserError, match=r"1.*'tokens' holds half .*udfff"):
        prepared("tag", rows, model_folder, tmp_path)


def test_a_label_of_many_digits_is_a_name_like_others() -> None:
    """Python turns no text of more than 4,300 digits into a number."""
    items = [Item("", "text", None, label) for label in ("9" * 5000, "7", "a")]
    assert find_labels("classify", items, None, "here").names == ("7", "9" * 5000, "a")


METRICS: Mapping[str, tuple[str, Rows]] = {
    "classify": ("f1", [{"text": "a", "label": label} for label in "abc"]),
    "several": ("mcc", [{"text": "a", "label": ["a", "b"]}, {"text": "b", "label": ["a"]}]),
    "tag": ("f1", [{"tokens": ["a", "b"], "tags": ["noun", "verb"]}]),
}


@pytest.mark.parametrize("case", METRICS)
def test_a_metric_that_labels_are_not_scored_by_is_refused_before_anything_learns(
    case: str, model_folder: Path, tmp_path: Path
) -> None:
    """F1 is that of the second of two classes, or of entities; mcc is of one class a text."""
    metric, rows = METRICS[case]
    task = "classify" if case == "several" else case
    told = f"train.jsonl are not scored by {metric}, but by .*accuracy"
    with pytest.raises(UserError, match=told) as problem:
        prepared(task, rows, model_folder, tmp_path, metric=metric)
    assert "\n" not in str(problem.value)
    prepared(task, rows, model_folder, tmp_path, metric="accuracy")
