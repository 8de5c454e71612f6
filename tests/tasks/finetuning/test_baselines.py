"""What stands beside a fine-tuned model: each baseline by hand, on a few rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.config.downstream import FineTuningConfig
from tasks.finetuning.baselines import baselines
from tasks.finetuning.encoding import ItemEncoder
from tasks.finetuning.items import Item
from tasks.finetuning.labels import find_labels
from tasks.inference.model_folder import load_tokenizer


def found_for(
    task: str, train: Sequence[Item], dev: Sequence[Item], model: Path, **more: Any
) -> dict[str, dict[str, float]]:
    values = {"task": task, "train": "train", "dev": "dev", **more}
    settings = FineTuningConfig.model_validate(values)
    labels = find_labels(settings.task, train, settings.separator, "train")
    encoder = ItemEncoder(load_tokenizer(model), 48, 16)
    return baselines(settings, labels, encoder, train, {"dev": dev})["dev"]


def items(*rows: tuple[Any, str | None, Any]) -> list[Item]:
    return [Item(f"row {n}", *row) for n, row in enumerate(rows)]


def test_the_commonest_class_is_that_of_the_data_to_learn_from(model_folder: Path) -> None:
    """Not that of dev, where the other is the commoner."""
    train = items(("warm", None, "good"), ("bright", None, "good"), ("cold", None, "bad"))
    dev = items(("cold", None, "bad"), ("rude", None, "bad"), ("fine", None, "good"))
    found = found_for("classify", train, dev, model_folder)
    assert found["commonest"]["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["bag of words"]["accuracy"] > 1 / 3


def test_each_part_has_its_own_scores_by_what_is_learnt_once(model_folder: Path) -> None:
    """Of two parts of unequal length; training rows that can be read only once are enough."""
    train = items(("warm", None, "good"), ("bright", None, "good"), ("cold", None, "bad"))
    dev = items(("warm", None, "good"), ("bright", None, "good"), ("cold", None, "bad"))
    test = items(("cold", None, "bad"), ("warm", None, "good"))
    settings = FineTuningConfig(task="classify", train="train", dev="dev")
    labels = find_labels("classify", train, None, "train")
    encoder = ItemEncoder(load_tokenizer(model_folder), 48, 16)
    parts = {"dev": dev, "test": test}
    found = baselines(settings, labels, encoder, iter(train), parts)
    shares = {part: scored["commonest"]["accuracy"] for part, scored in found.items()}
    assert shares == pytest.approx({"dev": 2 / 3, "test": 1 / 2}, abs=1e-6)
    alone = baselines(settings, labels, encoder, iter(train), {"test": test})
    assert alone["test"] == found["test"]


def test_a_word_of_the_second_text_is_another_than_that_of_the_first(model_folder: Path) -> None:
    """Which of two texts holds the word decides, and nothing else does."""
    rows = [("the film was warm", "the house was cold", "first")] * 3
    rows += [("the film was cold", "the house was warm", "second")] * 3
    found = found_for("pair", items(*rows), items(*rows), model_folder)
    assert found["bag of words"]["accuracy"] == 1.0
    assert found["commonest"]["accuracy"] == 0.5


def test_a_text_that_says_nothing_is_of_the_commonest_class(model_folder: Path) -> None:
    """How often a class stands in what is learnt from counts as much as its words."""
    train = items(("warm", None, "good"), ("bright", None, "good"), ("cold", None, "bad"))
    found = found_for("classify", train, items(("", None, "good")), model_folder)
    assert found["bag of words"]["accuracy"] == 1.0


def test_a_word_counts_once_however_often_a_text_has_it(model_folder: Path) -> None:
    train = items(("the warm bright", None, "good"), ("the cold rude", None, "bad"))
    dev = items(("the warm bright cold cold cold cold", None, "good"))
    found = found_for("classify", train, dev, model_folder)
    assert found["bag of words"]["accuracy"] == 1.0


def test_bags_hold_the_whole_of_texts_that_the_model_reads_cut(model_folder: Path) -> None:
    train = items(("the warm bright", None, "good"), ("the cold rude", None, "bad"))
    dev = items((f"{'the ' * 60}warm bright", None, "good"))
    settings = FineTuningConfig(task="classify", train="train", dev="dev")
    encoder = ItemEncoder(load_tokenizer(model_folder), 48, 16)
    assert len(encoder.sequences(dev)[0]) == 48
    labels = find_labels("classify", train, None, "train")
    found = baselines(settings, labels, encoder, train, {"dev": dev})
    assert found["dev"]["bag of words"]["accuracy"] == 1.0


def test_the_commonest_set_of_several_classes_is_guessed(model_folder: Path) -> None:
    """In whatever order a row names them; of sets alike the last by letter, whoever counts."""
    train = items(("a", None, ["x", "y"]), ("b", None, ["y", "x"]), ("c", None, ["x"]))
    dev = items(("d", None, ["x", "y"]), ("e", None, ["y"]))
    assert found_for("classify", train, dev, model_folder)["commonest"]["accuracy"] == 0.5


def test_the_mean_of_what_is_learnt_is_guessed_for_a_number(model_folder: Path) -> None:
    """Its error is by hand: 3 for 1 and 3."""
    train = items(("a", None, 2.0), ("b", None, 4.0))
    dev = items(("c", None, 1.0), ("d", None, 3.0))
    assert found_for("regress", train, dev, model_folder)["mean"]["mse"] == pytest.approx(2.0)


def test_a_words_commonest_tag_is_guessed_and_the_commonest_of_all_elsewhere(
    model_folder: Path,
) -> None:
    """`can` is a verb twice of three times; most words are nouns."""
    train = items(
        (["can", "dogs", "run"], None, ["verb", "noun", "verb"]),
        (["can", "cats", "houses"], None, ["verb", "noun", "noun"]),
        (["can", "cats", "songs"], None, ["noun", "noun", "noun"]),
    )
    dev = items((["can", "zebras", "run"], None, ["verb", "noun", "verb"]))
    (told,) = found_for("tag", train, dev, model_folder).values()
    assert told["accuracy"] == 1.0


@pytest.mark.parametrize("tags", [("noun", "verb"), ("verb", "noun")])
def test_of_tags_alike_the_last_by_letter_is_guessed(
    tags: tuple[str, str], model_folder: Path
) -> None:
    """Whichever stands first in the file."""
    train = items(*((["run"], None, [tag]) for tag in tags))
    (told,) = found_for("tag", train, items((["run"], None, ["verb"])), model_folder).values()
    assert told["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("Dogs bark. The cat sat on a mat. Birds sing.", "The cat sat on a mat."),
        ("The cat sat. The cat sat down.", "The cat sat."),  # the first of those alike
        ("It cost 3.5 euros and the cat sat. Why?", "It cost 3.5 euros and the cat sat."),
        ("A dog barked.\nThe cat sat.\nWhy?", "The cat sat."),
        ("Rain! No end to the cat that sat", "No end to the cat that sat"),
    ],
)
def test_the_likeliest_sentence_has_most_of_the_questions_words(
    context: str, answer: str, model_folder: Path
) -> None:
    """A point within a number ends none, one before a line break does."""
    dev = items(("Where sat the cat?", context, {"text": [answer], "answer_start": [0]}))
    found = found_for("qa", dev, dev, model_folder)["likeliest sentence"]
    assert found == {"exact_match": 1.0, "f1": 1.0}
