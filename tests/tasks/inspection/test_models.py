"""Published models and their scores: which is the newest, what decides, who stands where."""

from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made

from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection.leaderboard import leaderboard
from tasks.inspection.models import earlier_models, published_models
from tasks.publishing.anchors import anchors_of
from tasks.publishing.latest import point_latest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def row(task: str, measure: str, value: float, **more: Any) -> dict[str, Any]:
    return {"task": task, "measure": measure, "value": value, "n": 50, "interval": None, **more}


def published(
    store: Store,
    key: str,
    *scores: dict[str, Any],
    name: str = "letters",
    evaluated: str | None = None,
    encoder: tuple[str, str] = ("t", "k"),
) -> Artifact:
    """A model that was published on a day that its key names, with its evaluation."""
    evaluation = evaluated or f"e{key}"
    hand_made(store, "evaluate", evaluation, summary={"scores": list(scores)})
    inputs = dict(zip(("pretrain", "tokenizer"), encoder, strict=True))
    return hand_made(
        store,
        "publish",
        key,
        ended=f"2026-01-0{key}T12:34:56+00:00",
        config={"name": name},
        made_from={"evaluate": evaluation, **inputs},
        summary={"parameters": 7},
    )


def boards(store: Store) -> dict[str, Any]:
    return {board["score"]: board for board in leaderboard(store)["boards"]}


def test_models_come_newest_first_those_of_a_name_where_one_is_given(store: Store) -> None:
    for key, name in (("1", "letters"), ("3", "mail"), ("2", "letters")):
        published(store, key, name=name)
    assert [model.published.key for model in published_models(store)] == ["3", "2", "1"]
    assert [model.published.key for model in published_models(store, "letters")] == ["2", "1"]
    newest = next(published_models(store))
    assert (newest.name, newest.finished) == ("mail", "2026-01-03 12:34")
    assert newest.folder == store.url("7-publish/3/model")


def test_a_model_whose_evaluation_is_gone_is_left_out(store: Store) -> None:
    published(store, "1")
    published(store, "2")
    store.remove("6-evaluate/e2/manifest.json")
    assert [model.published.key for model in published_models(store)] == ["1"]


def test_what_was_taught_is_the_newest_of_the_same_weights_and_tokenizer(store: Store) -> None:
    for key, ended, weights, tokenizer in (
        ("old", "2026-02-01", "t", "k"),
        ("new", "2026-02-02", "t", "k"),
        ("other-weights", "2026-02-03", "u", "k"),
        ("other-tokenizer", "2026-02-04", "t", "l"),
    ):
        inputs = {"pretrain": weights, "tokenizer": tokenizer}
        hand_made(store, "finetune", key, ended=ended, made_from=inputs)
    published(store, "1")
    published(store, "2", encoder=("v", "k"))
    of_other, of_ours = published_models(store)
    assert of_ours.taught is not None
    assert of_ours.taught.key == "new"
    assert of_other.taught is None


def test_of_a_task_that_was_taught_the_first_score_decides(store: Store) -> None:
    """Behind those of the evaluation, each task once."""
    published(store, "1", row("held_out", "accuracy", 0.5))
    taught = [row("mood", "mcc", 0.3), row("mood", "accuracy", 0.8), row("kind", "f1", 0.6)]
    hand_made(store, "finetune", "f", made_from={"pretrain": "t", "tokenizer": "k"}, summary={
        "scores": taught
    })  # fmt: skip
    (model,) = published_models(store)
    names = [score.name for score in model.scores]
    assert names == ["held-out text, accuracy", "mood, mcc", "kind, f1"]


def test_earlier_models_are_those_of_another_evaluation_each_once(store: Store) -> None:
    """The newest of those that share one; at most so many; what is shown is text."""
    published(store, "1", row("a", "accuracy", 0.25), evaluated="old")
    published(store, "2", row("a", "accuracy", 0.25), evaluated="old")
    published(store, "3", row("a", "accuracy", 0.5), evaluated="now")
    published(store, "4", row("a", "accuracy", 0.75), evaluated="other")
    published(store, "5", row("a", "accuracy", 0.75), name="mail", evaluated="mail")
    found = earlier_models(store, "letters", "now")
    assert [each["key"] for each in found] == ["4", "2"]
    assert found[1] == {
        "finished": "2026-01-02 12:34",
        "key": "2",
        "scores": [{"name": "a, accuracy", "value": 0.25, "shown": "25.0%"}],
    }
    assert [each["key"] for each in earlier_models(store, "letters", "now", most=1)] == ["4"]


def test_a_board_has_the_best_first_whichever_way_is_up(store: Store) -> None:
    published(store, "1", row("a", "f1", 0.5), row("b", "mse", 0.5, better="lower"))
    published(store, "2", row("a", "f1", 0.7), row("b", "mse", 0.7, better="lower"))
    published(store, "3", row("a", "f1", 0.6))
    found = boards(store)
    assert [each["key"] for each in found["a, f1"]["rows"]] == ["2", "3", "1"]
    assert [each["key"] for each in found["b, mse"]["rows"]] == ["1", "2"]
    assert (found["a, f1"]["higher_is_better"], found["b, mse"]["higher_is_better"]) == (
        True,
        False,
    )
    assert (found["a, f1"]["is_share"], found["b, mse"]["is_share"]) == (True, False)


def test_the_newest_of_each_name_is_marked_on_every_board_it_stands_on(store: Store) -> None:
    """A model that lacks a score is the newest all the same, so none older is marked."""
    published(store, "1", row("a", "f1", 0.9), name="mail")
    published(store, "2", row("a", "f1", 0.8))
    published(store, "3", row("a", "f1", 0.7))
    published(store, "4", row("b", "f1", 0.7), name="other")
    published(store, "5", row("b", "f1", 0.6), name="mail")
    marked = {
        name: [r["key"] for r in b["rows"] if r["is_latest"]] for name, b in boards(store).items()
    }
    assert marked == {"a, f1": ["3"], "b, f1": ["4", "5"]}


def test_an_older_model_that_was_published_again_is_marked_in_place_of_the_newest(
    store: Store,
) -> None:
    published(store, "1", row("a", "f1", 0.9))
    published(store, "2", row("a", "f1", 0.8))
    point_latest(store, "7-publish/1", "letters")
    assert [r["key"] for r in boards(store)["a, f1"]["rows"] if r["is_latest"]] == ["1"]


def test_a_row_tells_what_a_score_is_made_of(store: Store) -> None:
    interval = {"low": 0.4, "high": 0.6, "method": "bootstrap"}
    published(store, "1", row("a", "f1", 0.5, interval=interval))
    published(store, "2", row("a", "f1", 0.4))
    first, second = boards(store)["a, f1"]["rows"]
    assert first == {
        "kind": "model",
        "name": "letters",
        "value": 0.5,
        "interval": [0.4, 0.6],
        "items": 50,
        "unit": "items",
        "finished": "2026-01-01 12:34",
        "key": "1",
        "parameters": 7,
        "is_latest": False,
    }
    assert second["interval"] is None


def test_published_scores_stand_only_beside_shares_of_their_own_task(store: Store) -> None:
    published(
        store,
        "1",
        row("blimp", "accuracy", 0.5),
        row("blimp", "perplexity", 9.0, better="lower"),
        row("mood", "accuracy", 0.5),
        row("squad-1.1", "exact_match", 0.5),
        row("sst-2", "macro_f1", 0.5),
    )
    found = {
        name: [each for each in board["rows"] if each["kind"] == "published"]
        for name, board in boards(store).items()
    }
    assert found.pop("BLiMP, accuracy") == [
        {"kind": "published", "name": a.name, "value": a.value, "set": a.set, "source": a.source}
        for a in sorted(anchors_of("BLiMP", "accuracy"), key=lambda a: (-a.value, a.name))
    ]
    assert list(found.values()) == [[], [], [], []]
