"""The lines that `roberta run` ends with, from figures as the stages write them."""

from typing import Any

from flows.artifacts import tasks_page
from flows.summary import _filled


def test_a_guess_of_white_space_is_told_in_words() -> None:
    """An escaped line break, or nothing at all, is no answer that a person can read."""
    guesses = [(" list", 0.5), ("\n", 0.3), (" ", 0.1), ("\ufffd", 0.05)]
    example = {"text": "A <mask>.", "top": [{"token": t, "score": s} for t, s in guesses]}
    assert _filled(example) == "A <mask>.  ->  list 0.50, (line break) 0.30, (space) 0.10"


def test_a_taught_task_says_what_the_training_text_held_or_that_nobody_knows() -> None:
    """Of the data whose score is told."""
    score = {"value": 0.8, "low": 0.7, "high": 0.9}
    scored: dict[str, Any] = {"n": 40, "metrics": {"accuracy": score}}
    known = {**scored, "contamination": {"items": 40, "contained": 12}}
    task = {"metric": "accuracy", "baselines_on": {"dev": {}}, "scores": {"dev": scored}}
    page = tasks_page({"tasks": {"a": task, "b": {**task, "scores": {"dev": known}}}})
    assert "12 of 40" in page
    assert page.count("not known") == 1
