"""Answers held against labels: every kind of task by hand, on three or four items."""

from typing import Any

import pytest

from tasks.config.downstream import FineTuningConfig
from tasks.finetuning.items import Item
from tasks.finetuning.labels import Labels
from tasks.finetuning.scoring import quick_score, score_answers

SEVERAL = Labels(("a", "b", "c"), "multi_label_classification", (1, 1, 1))


def scored(
    task: str, labels: Labels, rights: list[Any], answers: list[dict[str, Any]]
) -> dict[str, float]:
    values = {"task": task, "train": "t", "dev": "d"}
    settings = FineTuningConfig.model_validate(values)
    words = ["w"] * 3 if task == "tag" else "text"
    items = [Item(f"row {n}", words, "context", right) for n, right in enumerate(rights)]
    found = score_answers(settings, labels, items, answers)
    assert found["n"] == len(items)
    quick = quick_score(settings, labels, items, answers)
    assert {name: score["value"] for name, score in found["metrics"].items()} == quick
    for score in found["metrics"].values():
        assert score["low"] <= score["value"] <= score["high"]
    return quick


def test_several_classes_are_right_one_by_one_and_together() -> None:
    """One class of three is missed, one is too many."""
    answers: list[dict[str, Any]] = [{"labels": ["a"]}, {"labels": ["b", "c"]}, {"labels": []}]
    found = scored("classify", SEVERAL, [["a", "c"], ["b"], []], answers)
    assert found["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["f1"] == pytest.approx(2 * 2 / (3 + 3), abs=1e-6)


def test_questions_are_scored_by_their_answers_and_by_none() -> None:
    """An empty answer is right where there is none, and nowhere else."""
    rights = [{"text": ["The cat", "a cat"], "answer_start": [0, 0]}, [], ["dog"]]
    answers = [{"answer": "cat"}, {"answer": ""}, {"answer": ""}]
    found = scored("qa", Labels(()), rights, answers)
    assert found == {"exact_match": pytest.approx(2 / 3, abs=1e-6), "f1": found["f1"]}
    assert found["f1"] == pytest.approx(2 / 3, abs=1e-6)


def test_numbers_are_scored_as_numbers() -> None:
    """Given as text, too."""
    answers = [{"value": 1.0}, {"value": 3.0}, {"value": 2.0}]
    found = scored("regress", Labels(("value",), "regression"), ["1", 2, 3.0], answers)
    assert found["mse"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["spearman"] == pytest.approx(0.5, abs=1e-6)


def test_tags_are_scored_word_by_word() -> None:
    labels = Labels(("noun", "verb"))
    found = scored("tag", labels, ["noun verb noun"], [{"tags": ["noun", "noun", "noun"]}])
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-6)


def test_items_without_an_entity_have_the_metric_that_decides() -> None:
    """Some of a file may hold none: those that the pretraining text does not, or a small dev."""
    labels = Labels(("B-X", "I-X", "O"))
    found = scored("tag", labels, ["O O O"] * 2, [{"tags": ["O"] * 3}, {"tags": ["O", "B-X", "O"]}])
    assert found == {"accuracy": pytest.approx(5 / 6, abs=1e-6), "f1": 0.0}


def test_what_was_taken_for_what_has_a_row_for_what_it_is() -> None:
    """Of three that are bad one was taken for good."""
    settings = FineTuningConfig.model_validate({"task": "classify", "train": "t", "dev": "d"})
    items = [Item("", "text", None, label) for label in ("bad", "bad", "bad", "good")]
    answers = [{"label": label} for label in ("bad", "good", "bad", "good")]
    found = score_answers(settings, Labels(("bad", "good")), items, answers)
    assert found["confusion"] == [[2, 1], [0, 1]]
