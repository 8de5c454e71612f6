"""Two runs side by side, rule by rule: windows of losses, intervals, fields and ledgers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made, hand_made_run, output

from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.run_diff import _compared, _losses, _mean, diff_runs, find_run
from tasks.publishing.scores import Score, lie_apart


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def trained(
    store: Store, key: str, losses: list[float], held_out: Mapping[int, float] | None = None
) -> dict[str, Artifact]:
    lines = [
        json.dumps({"step": step, "loss": loss, "held_out_loss": (held_out or {}).get(step)})
        for step, loss in enumerate(losses, start=1)
    ]
    text = "".join(f"{line}\n" for line in lines)
    store.write(f"5-pretrain/{key}/losses.jsonl", text.encode())
    entry = output("losses.jsonl", len(text))
    return {"pretrain": hand_made(store, "pretrain", key, outputs=[entry])}


def score(value: float, interval: tuple[float, float] | None = None, **more: Any) -> Score:
    return Score("mood", "accuracy", value, interval=interval, **more)


def test_losses_are_means_over_the_same_last_steps_of_both(store: Store) -> None:
    """Eight points up to the shorter run's end, each the mean of a sixteenth of it."""
    a, b = trained(store, "a", [float(n) for n in range(1, 33)]), trained(store, "b", [2.0] * 50)
    found = _losses(a, b)
    assert [each["step"] for each in found] == [4, 8, 12, 16, 20, 24, 28, 32]
    assert [each["a"] for each in found] == [3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert {each["b"] for each in found} == {2.0}


def test_beside_them_stand_the_held_out_losses_last_measured(store: Store) -> None:
    """Up to each of those steps; none where nothing was measured before it."""
    a = trained(store, "a", [2.0] * 8, {4: 3.5, 8: 3.0})
    found = _losses(a, trained(store, "b", [2.0] * 8))
    assert [each["a_held_out"] for each in found] == [None] * 3 + [3.5] * 4 + [3.0]
    assert {each["b_held_out"] for each in found} == {None}


def test_of_few_steps_each_is_shown_once(store: Store) -> None:
    found = _losses(trained(store, "a", [3.0, 2.0, 1.0]), trained(store, "b", [6.0, 5.0, 4.0, 3.0]))
    assert [(each["step"], each["a"], each["b"]) for each in found] == [
        (1, 3.0, 6.0),
        (2, 2.0, 5.0),
        (3, 1.0, 4.0),
    ]
    assert _losses(trained(store, "a", []), trained(store, "b", [1.0])) == []
    assert _losses({}, trained(store, "b", [1.0])) == []


def test_a_mean_ends_with_its_step_and_begins_with_the_first() -> None:
    losses = [4.0, 3.0, 2.0, 1.0]
    assert _mean(losses, 3, 2) == 2.5
    assert _mean(losses, 1, 3) == 4.0
    assert _mean([1 / 3, 1 / 3], 2, 2) == 0.333333


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ((0.1, 0.2), (0.3, 0.4), True),
        ((0.3, 0.4), (0.1, 0.2), True),
        ((0.1, 0.3), (0.3, 0.4), False),
        ((0.3, 0.4), (0.1, 0.3), False),
        ((0.1, 0.9), (0.4, 0.5), False),
        (None, (0.4, 0.5), None),
        ((0.4, 0.5), None, None),
    ],
)
def test_intervals_that_touch_do_notlie_apart(a: Any, b: Any, apart: bool | None) -> None:
    assert lie_apart(score(0.5, a), score(0.5, b)) is apart


def test_a_score_that_one_run_lacks_has_no_change() -> None:
    both = _compared(score(0.5, (0.4, 0.6)), score(0.25))
    assert (both["a"], both["b"], both["change"]) == (0.5, 0.25, -0.25)
    assert (both["a_interval"], both["b_interval"]) == ([0.4, 0.6], None)
    for pair in ((score(0.5), None), (None, score(0.5))):
        found = _compared(*pair)
        assert (found["a"], found["b"]) == tuple(each and each.value for each in pair)
        assert found["change"] is found["intervals_apart"] is None
    lower = _compared(None, score(9.0, is_share=False, higher_is_better=False))
    assert (lower["higher_is_better"], lower["is_share"]) == (False, False)
    zero = _compared(score(0.0, (0.0, 0.1)), score(0.0, (0.0, 0.1)))
    assert (zero["a"], zero["b"], zero["change"], zero["intervals_apart"]) == (0.0, 0.0, 0.0, False)


def test_ledgers_stages_and_fields_of_both_are_told_even_where_one_has_none(store: Store) -> None:
    counts = {"in": 5, "kept": 4, "dropped": {"short": 1}}
    hand_made(store, "clean", "c1", ledger={"documents": counts, "other": counts})
    hand_made(store, "clean", "c2", ledger={"bytes": counts})
    hand_made_run(store, "a1", {"download": "d", "clean": "c1"}, started="1", config={"x": 1})
    b = {"download": "d", "clean": "c2", "pack": "gone", "unknown": "u"}
    hand_made_run(store, "b1", b, started="2", state="failed", config={"x": 2})
    found = diff_runs(store, "a1", "b1")
    assert found["a"] == {"run": "a1", "name": "letters", "started": "1", "state": "done"}
    assert found["b"]["state"] == "failed"
    assert found["config"] == [{"field": "x", "before": 1, "after": 2}]
    assert found["stages"] == [
        {"name": "download", "a": "d", "b": "d", "same": True, "files": {}},
        {"name": "clean", "a": "c1", "b": "c2", "same": False, "files": {}},
        {"name": "pack", "a": None, "b": "gone", "same": False, "files": {}},
    ]
    assert found["ledger"] == [
        {"stage": "clean", "measure": "documents", "a": counts, "b": None},
        {"stage": "clean", "measure": "bytes", "a": None, "b": counts},
    ]
    assert (found["losses"], found["scores"]) == ([], [])


def test_scores_of_both_stand_in_the_first_ones_order_the_evaluations_first(store: Store) -> None:
    def row(task: str, value: float) -> dict[str, Any]:
        return {"task": task, "measure": "f1", "value": value, "n": 9, "interval": None}

    for run, tasks in (("a", ("x", "y")), ("b", ("z", "x"))):
        rows = [row(task, 0.5) for task in tasks]
        hand_made(store, "evaluate", f"e{run}", summary={"scores": rows})
        hand_made(store, "finetune", f"f{run}", summary={"scores": [row("taught", 0.25)]})
        hand_made_run(store, run, {"finetune": f"f{run}", "evaluate": f"e{run}"})
    names = [each["name"] for each in diff_runs(store, "a", "b")["scores"]]
    assert names == ["x, f1", "y, f1", "taught, f1", "z, f1"]


def test_files_that_a_stage_has_read_anew_are_named(store: Store) -> None:
    """By name where a stage keeps it, else by label: no field of the config tells of them."""
    names = [{"sha256": "d1", "name": "a.txt"}], [{"sha256": "d2", "name": "a.txt"}]
    for run, key, summary in zip("ab", ("d1", "d2"), names, strict=True):
        hand_made(store, "download", key, externals={"00-0": key}, summary={"files": summary})
        mood = {"mood/train": f"of {run}", "mood/dev": "same"}
        hand_made(store, "finetune", f"f{run}", externals=mood)
        hand_made_run(store, run, {"download": key, "finetune": f"f{run}"})
    found = [(stage["name"], stage["files"]) for stage in diff_runs(store, "a", "b")["stages"]]
    assert found == [
        ("download", {"changed": ["a.txt"]}),
        ("finetune", {"changed": ["mood/train"]}),
    ]


def test_a_run_before_is_counted_among_those_that_finished() -> None:
    runs: list[dict[str, Any]] = [
        {"run": f"id{n}", "name": name, "state": state}
        for n, (name, state) in enumerate(
            [
                ("one", "done"),
                ("two", "failed"),
                ("two", "done"),
                ("one", "stopped"),
                ("one", "done"),
            ]
        )
    ]
    for word, run in (
        ("latest", "id0"), ("latest~1", "id2"), ("latest~2", "id4"), ("one~1", "id4"),
        ("two", "id2"), ("id3", "id3"), ("one~0", "id0"),
    ):  # fmt: skip
        assert find_run(runs, word)["run"] == run, word
    with pytest.raises(UserError, match="one~2: there are only 2 finished runs of 'one', so ~1 is"):
        find_run(runs, "one~2")
    with pytest.raises(UserError, match="id: 5 runs begin so"):
        find_run(runs, "id")
    with pytest.raises(UserError, match="two~x: no run is called or begins so"):
        find_run(runs, "two~x")
