"""Metrics against scikit-learn and against SQuAD's own rules; a constant guess earns nothing."""

import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from roberta_model.data.randomness import random_bits
from tasks.finetuning.metrics import (
    answer_f1,
    answer_words,
    class_measures,
    confusion_of,
    entities,
    exact_match,
    is_bio,
    multi_label_measures,
    normalised_answer,
    number_measures,
    tag_measures,
    with_intervals,
)
from tasks.finetuning.predictor import Predictor

EVERY = np.arange(200)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_classes_are_scored_as_scikit_learn_scores_them(num_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, num_classes, 200)
    found = np.where(rng.random(200) < 0.6, gold, rng.integers(0, num_classes, 200))
    measures = class_measures(gold.tolist(), found.tolist(), num_classes)
    assert measures["accuracy"](EVERY) == pytest.approx(reference.accuracy_score(gold, found))
    assert measures["mcc"](EVERY) == pytest.approx(reference.matthews_corrcoef(gold, found))
    macro = reference.f1_score(gold, found, average="macro")
    assert measures["macro_f1"](EVERY) == pytest.approx(macro)
    if num_classes == 2:
        assert measures["f1"](EVERY) == pytest.approx(reference.f1_score(gold, found))
    expected = reference.confusion_matrix(gold, found).tolist()
    assert confusion_of(gold.tolist(), found.tolist(), num_classes) == expected


def test_ten_thousand_classes_are_scored_without_a_table_of_their_pairs() -> None:
    """A thousand draws of a table of 10,000 by 10,000 would take hours and gigabytes."""
    gold = np.arange(400) * 20
    found = np.where(gold % 60 == 0, gold, 9_999)
    tracemalloc.start()
    measures = class_measures(gold.tolist(), found.tolist(), 10_000)
    scores = {name: measure(np.arange(400)) for name, measure in measures.items()}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(gold, found))
    assert scores["mcc"] == pytest.approx(reference.matthews_corrcoef(gold, found))
    macro = reference.f1_score(gold, found, average="macro", zero_division=0)
    assert scores["macro_f1"] == pytest.approx(macro)
    assert most < 10_000_000


def test_a_class_that_is_nowhere_does_not_count() -> None:
    """Neither given nor right: scikit-learn leaves it out of the mean."""
    gold, found = [0, 0, 1, 1], [0, 1, 1, 1]
    expected = reference.f1_score(gold, found, average="macro")
    assert class_measures(gold, found, 3)["macro_f1"](np.arange(4)) == pytest.approx(expected)


def test_several_classes_a_text() -> None:
    rng = np.random.default_rng(3)
    gold, found = rng.random((200, 4)) < 0.3, rng.random((200, 4)) < 0.4
    measures = multi_label_measures(gold, found)
    for name, average in (("f1", "micro"), ("macro_f1", "macro")):
        expected = reference.f1_score(gold, found, average=average)
        assert measures[name](EVERY) == pytest.approx(expected)
    assert measures["accuracy"](EVERY) == pytest.approx(reference.accuracy_score(gold, found))


def test_numbers() -> None:
    """With values alike, whose ranks are shared."""
    rng = np.random.default_rng(4)
    gold = rng.integers(0, 6, 200).astype(float)
    found = gold + rng.normal(0, 2, 200).round()
    measures = number_measures(gold.tolist(), found.tolist())
    assert measures["pearson"](EVERY) == pytest.approx(stats.pearsonr(gold, found).statistic)
    assert measures["spearman"](EVERY) == pytest.approx(stats.spearmanr(gold, found).statistic)
    assert measures["mse"](EVERY) == pytest.approx(reference.mean_squared_error(gold, found))


def test_a_constant_is_worth_nothing() -> None:
    gold = [0, 1] * 100
    measures = class_measures(gold, [1] * 200, 2)
    assert measures["mcc"](EVERY) == 0.0
    assert measures["accuracy"](EVERY) == 0.5
    assert number_measures([float(n) for n in gold], [0.7] * 200)["spearman"](EVERY) == 0.0


@pytest.mark.parametrize("number", [0.1, 0.7, 2.2])
def test_a_constant_is_worth_nothing_beside_another(number: float) -> None:
    """Their rounded means differ from them by one and the same: no correlation is made of that."""
    for size in (3, 6, 7, 11, 100):
        measures = number_measures([number] * size, [1.1 * number] * size)
        assert measures["pearson"](np.arange(size)) == 0.0


def test_entities_are_read_as_conlleval_reads_them() -> None:
    tags = ["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER", "O", "B-PER"]
    assert entities(tags) == {
        ("PER", 0, 2),
        ("LOC", 3, 4),
        ("LOC", 4, 5),
        ("PER", 5, 6),
        ("PER", 7, 8),
    }


def test_tags_count_by_word_and_by_entity() -> None:
    gold = [["B-A", "I-A", "O"], ["O", "B-B", "O"]]
    found = [["B-A", "O", "O"], ["O", "B-B", "O"]]
    measures = tag_measures(gold, found, ["B-A", "B-B", "I-A", "O"])
    both = np.arange(2)
    assert measures["accuracy"](both) == pytest.approx(5 / 6)
    assert measures["f1"](both) == pytest.approx(2 * 1 / 4)
    assert "f1" not in tag_measures([["noun", "verb"]], [["noun", "noun"]], ["noun", "verb"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("an apple a day", "apple day"),
        ("U.S.", "us"),
        ("theatre", "theatre"),
        ("a.b-c", "abc"),
    ],
)
def test_answers_are_normalised_as_squads_script_does(text: str, expected: str) -> None:
    assert normalised_answer(text) == expected


def test_answers_are_scored_by_the_best_right_one() -> None:
    answers = ["the big house", "a house"]
    assert exact_match("House", answers) == 1.0
    assert answer_f1("big old house", answers) == pytest.approx(2 * 2 / (3 + 2))
    assert answer_f1("tree", answers) == 0.0
    assert exact_match("", []) == answer_f1("", []) == 1.0
    assert exact_match("house", []) == answer_f1("house", []) == 0.0
    assert answer_f1("北京市", ["北京"]) == pytest.approx(2 * 2 / 5)


def test_the_interval_holds_the_value_and_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 200).tolist()
    found = [g if rng.random() < 0.8 else 1 - g for g in gold]
    once = with_intervals(class_measures(gold, found, 2), 200)
    again = with_intervals(class_measures(gold, found, 2), 200)
    assert once == again
    score = once["accuracy"]
    assert score.low < score.value < score.high
    # The normal approximation is good at 200 items.
    assert score.high - score.low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 200) ** 0.5, rel=0.15)


def test_the_interval_is_of_a_thousand_draws_of_as_many_items() -> None:
    """The 2.5 % and 97.5 % points, each draw with its own number."""
    values = np.array([0.0, 1.0, 5.0, 2.0, 9.0, 4.0, 4.0])
    drawn = random_bits(0, "bootstrap", np.arange(1000)[:, None], np.arange(7)[None, :])
    means = values[(drawn % np.uint64(7)).astype(np.int64)].mean(axis=1)
    found = with_intervals({"mean": lambda n: float(values[n].mean())}, 7)["mean"]
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_what_is_nowhere_is_worth_nothing() -> None:
    """No entity at all, no class of any text, one class alone: nought, and no division by it."""
    nothing = np.zeros((3, 2), dtype=bool)
    measures = multi_label_measures(nothing, nothing)
    assert {name: measures[name](np.arange(3)) for name in measures} == {
        **{"f1": 0.0, "macro_f1": 0.0, "accuracy": 1.0}
    }
    tags = tag_measures([["O", "B-A"], ["O"]], [["O", "O"], ["O"]], ["B-A", "O"])
    assert tags["f1"](np.array([1])) == 0.0
    assert class_measures([0] * 4, [0] * 4, 2)["mcc"](np.arange(4)) == 0.0


def test_tags_are_of_the_bio_kind_where_all_are() -> None:
    """Nothing but O tells of no entity."""
    assert is_bio({"O", "B-A", "I-A"})
    assert is_bio({"B-A"})
    assert not is_bio({"O"})
    assert not is_bio({"O", "B-A", "E-A"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u3042\u30a2", 2),
        ("\u4e16\u754c", 2),
        ("\u0e01\u0e02", 2),
        ("\u0e81\u1780\u1000", 3),
        ("\u0431\u0430 the cat", 2),
    ],
)
def test_letters_of_scripts_without_spaces_are_words(text: str, words: int) -> None:
    """Kana, Han, Thai, Lao and others; else words are what spaces part, without articles."""
    assert len(answer_words(text)) == words


def test_words_that_come_twice_count_twice() -> None:
    """As often as both have them."""
    assert answer_f1("cat cat dog", ["cat"]) == pytest.approx(2 * 1 / 4)
    assert answer_f1("cat cat dog", ["cat cat"]) == pytest.approx(2 * 2 / 5)


def test_items_drawn_anew_are_ranked_among_each_other() -> None:
    """As scipy ranks what was drawn: an item drawn twice is two alike."""
    gold, found = [1.0, 2.0, 3.0, 4.0, 9.0], [2.0, 1.0, 5.0, 3.0, 4.0]
    drawn = np.array([0, 0, 0, 2, 3, 4])
    expected = stats.spearmanr(np.array(gold)[drawn], np.array(found)[drawn]).statistic
    assert number_measures(gold, found)["spearman"](drawn) == pytest.approx(expected)


def test_every_word_of_a_tagged_text_counts_alike() -> None:
    """Not every text: one of three words is three times one of one."""
    gold, found = [["a"], ["a", "a", "a"]], [["a"], ["b", "b", "b"]]
    assert tag_measures(gold, found, ["a", "b"])["accuracy"](np.arange(2)) == 0.25


def test_a_text_has_the_classes_that_are_likelier_than_not() -> None:
    """As likely as not is none of them, or a model that knows nothing would name them all."""
    head = SimpleNamespace(problem="multi_label_classification", labels=("a", "b", "c"))
    logits_C = np.array([0.0, 0.1, -0.1], dtype=np.float32)
    assert Predictor._class(cast(Any, head), logits_C)["labels"] == ["b"]


def test_an_article_between_signs_leaves_a_space() -> None:
    """As SQuAD's script has it: a dash is none of its punctuation."""
    assert normalised_answer("x—the—y") == "x— —y"


@pytest.mark.parametrize("several", [False, True])
def test_rare_classes_leave_the_mean_of_f1s_within_its_interval(several: bool) -> None:
    """A draw lacks a third of those that are there once; left out, or 0, they would move it."""
    gold = np.concatenate([np.arange(200) % 4, np.arange(200)])  # four are common, and found
    found = np.where((gold < 4) | (several & (gold % 2 == 0)), gold, 0)
    if several:
        measures = multi_label_measures(np.eye(200)[gold], np.eye(200)[found])
    else:
        measures = class_measures(gold.tolist(), found.tolist(), 200)
    scored = with_intervals({"macro_f1": measures["macro_f1"]}, 400)["macro_f1"]
    expected = reference.f1_score(gold, found, average="macro")
    assert scored.value == pytest.approx(expected)
    assert scored.low < scored.value < scored.high
    assert scored.high - scored.low < 0.2
