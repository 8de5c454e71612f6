"""Rows of dev and test that are learnt from as well are counted."""

from collections.abc import Sequence
from typing import Any

from tasks.finetuning.items import Item
from tasks.finetuning.repeated import count_repeated


def counted(**parts: Sequence[tuple[Any, str | None]]) -> dict[str, int]:
    def items_of(part: str) -> list[Item]:
        return [Item(f"{part}:{n}", *texts, f"label {n}") for n, texts in enumerate(parts[part])]

    return count_repeated(items_of, [part for part in parts if part != "train"])


def test_a_text_is_the_same_whatever_its_case_and_spaces_and_label() -> None:
    train = [("one", None), ("A  cold\nday", None), ("caf\u00e9", None)]
    dev = [
        ("a cold day ", None),
        ("A warm day", None),
        ("CAFE\u0301", None),
        ("a colder day", None),
    ]
    assert counted(train=train, dev=dev) == {"dev": 2}


def test_test_is_held_against_train_and_dev_but_dev_not_against_test() -> None:
    parts = {"train": [("a", None)], "dev": [("b", None), ("c", None)]}
    assert counted(**parts, test=[("a", None), ("b", None), ("d", None)]) == {"dev": 0, "test": 2}


def test_rows_of_one_part_that_are_alike_are_no_repetition() -> None:
    assert counted(train=[("a", None)], dev=[("b", None), ("b", None)]) == {"dev": 0}


def test_of_a_pair_both_texts_must_be_the_same() -> None:
    dev = [("q", "other"), ("q", "text"), ("qtext", ""), ("text", "q")]
    assert counted(train=[("q", "text")], dev=dev) == {"dev": 1}


def test_words_to_tag_are_compared_as_the_text_that_they_are() -> None:
    assert counted(train=[(["A", "b"], None)], dev=[(["a", "b"], None), (["ab"], None)]) == {
        "dev": 1
    }
