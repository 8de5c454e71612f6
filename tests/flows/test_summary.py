"""The lines that `roberta run` ends with, from figures as the stages write them."""

from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made

from flows.artifacts import tasks_page
from flows.summary import _filled, _worse_than_before, print_summary
from tasks.engine.store import Store
from tasks.engine.stores import open_store


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


def test_a_run_that_taught_says_where_and_whether_it_was_worth_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder that `predict` wants is in no other line; and a bag of words may be as good."""
    store = open_store(str(tmp_path))
    tasks = {
        name: {
            "metric": "accuracy",
            "scores": {"dev": {"metrics": {"accuracy": {"value": 0.5}}}},
            "baselines_on": {"dev": {"bag of words": {"accuracy": value}}},
        }
        for name, value in (("mood", 0.7), ("topic", 0.3))
    }
    hand_made(store, "finetune", "f", summary={"tasks": tasks})
    path = store.url("8-finetune/f")
    entry = {"name": "finetune", "key": "f", "state": "done", "seconds": 1.0, "path": path}
    record = {"name": "letters", "stages": [entry], "model": "m", "report": "r"}
    print_summary(record, store)
    told = capsys.readouterr().out
    assert "caution: mood: No better than a bag of words, which needs no encoder" in told
    assert "caution: topic" not in told
    for name in ("mood", "topic"):
        assert f"predict {path}/{name}/model FILE\n" in told


def published(store: Store, key: str, value: float, half: float = 0.01, **more: Any) -> str:
    """The folder of a model of the pipeline `letters`, with its one score."""
    interval = {"low": value - half, "high": value + half}
    row = {
        "task": "a",
        "measure": "accuracy",
        "value": value,
        "n": 50,
        "interval": interval,
        **more,
    }
    hand_made(store, "evaluate", f"e{key}", summary={"scores": [row]})
    config, made_from = {"name": "letters"}, {"evaluate": f"e{key}"}
    return hand_made(store, "publish", key, config=config, made_from=made_from).folder


@pytest.mark.parametrize(
    ("now", "half", "is_told"),
    [(0.2, 0.01, True), (0.4, 0.01, False), (0.29, 0.01, False), (0.2, 0.2, False)],
)
def test_a_model_that_takes_a_clearly_better_ones_place_says_so(
    tmp_path: Path, now: float, half: float, is_told: bool
) -> None:
    """Not one that is better, nor one whose interval touches the other's."""
    store = open_store(str(tmp_path))
    before, after = published(store, "1", 0.3, half), published(store, "2", now, half)
    record = {"name": "letters", "model": store.url(f"{after}/model"), "replaces": before}
    told = _worse_than_before(record, store)
    assert (told is not None) == is_told
    assert _worse_than_before({**record, "replaces": None}, store) is None
    if told is not None:
        assert "a, accuracy: 20.0%, and 30.0% of the model" in told
        assert f"That one is {store.url(before)}/model until" in told


def test_of_errors_the_lower_is_the_better(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    more: dict[str, Any] = {"measure": "mse", "better": "lower"}
    low, high = (published(store, key, value, **more) for key, value in (("1", 0.2), ("2", 0.4)))
    for before, after, is_told in ((low, high, True), (high, low, False)):
        record = {"name": "letters", "model": store.url(f"{after}/model"), "replaces": before}
        assert (_worse_than_before(record, store) is not None) == is_told
