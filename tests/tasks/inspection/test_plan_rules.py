"""What a plan says of a stage: cached, resume or run, and why, from what lies in the store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made, hand_made_run
from toy_stage import ToySlice, toy_stages

from tasks.config import Config, EngineConfig
from tasks.engine.lease import Lease
from tasks.engine.runner import identify, run_stage
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection import plan
from tasks.inspection.plan import StagePlan, _plan_known, _plan_pending, _stands_ready

CONFIG: Any = Config.model_construct(name="letters", corpus=[], engine=EngineConfig(workers=1))


def stage_of(value: int = 1, **changes: Any) -> Stage[Any]:
    """The toy stage that writes two numbers, under a name that stores know."""
    first, _ = toy_stages(ToySlice(numbers=[1, 2], value=value))
    return replace(first, name="download", **changes)


def known(store: Store, stage: Stage[Any]) -> StagePlan:
    found, artifact = _plan_known(stage, CONFIG, store, identify(stage, CONFIG, {}))
    assert (artifact is not None) == (found.action == "cached")
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_what_was_never_made_is_run(store: Store) -> None:
    found = known(store, stage_of())
    assert (found.action, found.why) == ("run", ["it has not run yet"])
    assert found.key == identify(stage_of(), CONFIG, {}).key
    assert found.to_json() == {
        "name": "download",
        "key": found.key,
        "action": "run",
        "why": ["it has not run yet"],
        "estimate": {},
    }


def test_what_is_whole_is_cached_and_what_stands_says_so(store: Store) -> None:
    for stage, why in (
        (stage_of(), "nothing it depends on has changed"),
        (stage_of(stands=lambda _: True), "it stays as it was first made"),
    ):
        run_stage(stage, CONFIG, store)
        found = known(store, stage)
        assert (found.action, found.why) == ("cached", [why])


def test_what_is_damaged_is_made_whole_and_the_file_is_named(store: Store) -> None:
    made = run_stage(stage_of(), CONFIG, store).artifact
    Path(store.url(f"{made.folder}/numbers/00001.txt")).write_text("9\n")
    found = known(store, stage_of())
    assert (found.key, found.action) == (made.key, "resume")
    assert found.why == ["damaged: numbers/00001.txt"]


def test_of_what_ended_early_the_finished_units_are_counted(store: Store) -> None:
    made = run_stage(stage_of(), CONFIG, store).artifact
    store.remove(f"{made.folder}/manifest.json")
    found = known(store, stage_of())
    assert (found.key, found.action) == (made.key, "resume")
    assert found.why == ["an earlier run ended early; 2 finished units are kept"]
    with Lease(store, made.folder).held(lambda _: None):
        assert known(store, stage_of()).why == ["a run is at work on it; 2 finished units are kept"]


def test_what_is_otherwise_than_the_newest_of_its_name_is_run_and_says_how(store: Store) -> None:
    made = run_stage(stage_of(1), CONFIG, store).artifact
    hand_made_run(store, "other", {"download": made.key}, name="mail")
    assert known(store, stage_of(2)).why == ["it has not run yet"]
    hand_made_run(store, "ours", {"download": made.key})
    found = known(store, stage_of(2))
    assert (found.action, found.why) == ("run", ["value: 1 -> 2"])
    assert found.key != made.key


def test_a_removed_artifact_is_not_told_as_a_change(store: Store) -> None:
    """What it was made from is as before: another artifact of the same identity was used."""
    stage = stage_of()
    made = run_stage(stage, CONFIG, store).artifact
    hand_made(store, "download", "kept", config=made.config)
    hand_made_run(store, "ours", {"download": "kept"})
    for path in store.files(made.folder):
        store.remove(f"{made.folder}/{path}")
    found = known(store, stage)
    assert (found.action, found.why) == ("run", ["its artifact was removed"])


def test_only_what_stands_and_is_made_need_not_wait_for_its_inputs(store: Store) -> None:
    stands = stage_of(stands=lambda _: True)
    assert not _stands_ready(stands, CONFIG, store)
    for stage in (stands, stage_of()):
        run_stage(stage, CONFIG, store)
    assert _stands_ready(stands, CONFIG, store)
    assert not _stands_ready(stage_of(), CONFIG, store)


def test_what_waits_for_others_is_run_and_names_them(store: Store) -> None:
    """Its own changes first; the inputs that are made already are held against the newest's."""
    stage = stage_of(2, needs=("clean", "tokenizer"))
    found = _plan_pending(stage, CONFIG, store, {}, ["clean"])
    assert (found.key, found.action, found.why) == (None, "run", ["it has not run yet"])
    newest = hand_made(
        store,
        "download",
        "d",
        config={"numbers": [1, 2], "value": 1},
        made_from={"clean": "c0", "tokenizer": "t0"},
    )
    hand_made_run(store, "ours", {"download": newest.key})
    made = {"clean": hand_made(store, "clean", "c1")}
    found = _plan_pending(stage, CONFIG, store, made, ["tokenizer", "pack"])
    assert (found.key, found.action) == (None, "run")
    assert found.why == [
        "value: 1 -> 2",
        "input clean: c0 -> c1",
        "tokenizer and pack will run first; if the outputs come out the same, this is reused",
    ]


def test_a_plan_hands_only_what_is_whole_to_the_stages_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first has to run, the key of the second is not known yet."""
    first = stage_of()
    _, second = toy_stages(ToySlice(numbers=[1, 2]))
    second = replace(second, name="clean", needs=("download",))
    asked: list[str | None] = []
    monkeypatch.setattr(plan, "check_outside", lambda _, until: asked.append(until))
    monkeypatch.setattr(plan, "all_stages", lambda _, until: [first, second])
    before = plan.make_plan(CONFIG, store, "clean")
    assert [(each.name, each.action) for each in before] == [("download", "run"), ("clean", "run")]
    assert before[1].key is None
    assert asked == ["clean"], "what a stage would read from outside is looked for first"
    made = run_stage(first, CONFIG, store).artifact
    after = plan.make_plan(CONFIG, store, "clean")
    assert [each.action for each in after] == ["cached", "run"]
    assert after[1].key == identify(second, CONFIG, {"download": made}).key
    Path(store.url(f"{made.folder}/numbers/00000.txt")).write_text("9\n")
    assert plan.make_plan(CONFIG, store, "clean")[1].key is None
