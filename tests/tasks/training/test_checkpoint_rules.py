"""Which checkpoint a training goes on from, and which it keeps, on the real engine and real files.

Each test is the body of a stage, so that units are committed, found and let go as in a run.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import our_model, small_config

from roberta_model.training.checkpoint import (
    RECORD,
    is_sound_checkpoint,
    write_checkpoint,
    write_measured,
)
from tasks.config import Config
from tasks.engine.runner import run_stage
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.stores import open_store
from tasks.training.checkpoint_units import Checkpoints, step_number
from tasks.training.resolved import Resolved, read_resolved

Body = Callable[[StageContext[Any]], None]
Within = Callable[[Body], None]
FACTS = {"training": "mine", "steps": 10, "precision": "fp32", "seed": 0}


@pytest.fixture
def within(tmp_path: Path) -> Within:
    """Run something as a stage; as nothing is wrong with it, the stage is done."""

    def run(body: Body) -> None:
        def stage(context: StageContext[Any]) -> StageReport:
            body(context)
            return StageReport()

        config = Config.model_validate({"corpus": [{"type": "docs"}]})
        store = open_store(str(tmp_path / "store"))
        run_stage(Stage("toy", 5, 1, (), lambda _: None, stage), config, store)

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real checkpoint of step 2, with the losses of both steps."""
    folder = tmp_path_factory.mktemp("whole") / "00000002"
    model = our_model(small_config(num_layers=1))
    weights = dict(model.named_parameters())
    losses = '{"step": 1}\n{"step": 2}\n'
    write_checkpoint(folder, model, weights, {}, losses, {**FACTS, "step": 2})
    return folder


def leave(place: Path, whole: Path, step: int, after: int, **facts: Any) -> Path:
    """A checkpoint as a trainer leaves it: of a step, with the losses since another."""
    folder = place / "run" / f"{step:08d}"
    shutil.copytree(whole, folder)
    losses = "".join(f'{{"step": {number}}}\n' for number in range(after + 1, step + 1))
    (folder / "losses.jsonl").write_text(losses)
    record = json.loads((folder / RECORD).read_text())
    record["files"]["losses.jsonl"] = hashlib.sha256(losses.encode()).hexdigest()
    record |= {"step": step, **facts}
    (folder / RECORD).write_text(json.dumps(record))
    assert is_sound_checkpoint(folder)
    return folder


def mine(context: StageContext[Any]) -> Checkpoints:
    return Checkpoints(context, "mine", resolved=Resolved(10, "fp32"))


def committed(context: StageContext[Any], whole: Path, *steps: int) -> Checkpoints:
    """A training that has committed checkpoints after these steps."""
    checkpoints, newest, after = mine(context), None, 0
    for step in steps:
        folder = leave(context.lasting_scratch(), whole, step, after)
        newest, after = checkpoints.adopt(folder, newest, {"seconds": float(step)}), step
    return checkpoints


def spoil(checkpoints: Checkpoints, step: int) -> None:
    found = checkpoints.find(step)
    assert found is not None
    path = found.files["/model.safetensors"].local()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(bytes(content))


def test_a_checkpoint_holds_the_losses_of_all_steps_so_far(within: Within, whole: Path) -> None:
    """And how fast each interval was; the folder it came from is gone."""

    def body(context: StageContext[Any]) -> None:
        checkpoints = committed(context, whole, 2, 4, 5)
        newest = checkpoints.newest(checkpoints.steps())
        assert newest is not None
        assert step_number(newest) == 5
        lines = newest.files["/losses.jsonl"].local().read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5]
        assert newest.files["/losses.jsonl"].rows == 5
        assert newest.summary == {"step": 5, "steps": 10, "precision": "fp32"}
        intervals = newest.provenance["intervals"]
        assert [(part["step"], part["seconds"]) for part in intervals] == [
            (2, 2.0),
            (4, 4.0),
            (5, 5.0),
        ]
        assert list((context.lasting_scratch() / "run").iterdir()) == []

    within(body)


def test_the_newest_is_the_furthest_that_is_sound(within: Within, whole: Path) -> None:
    """Among the steps that are asked about."""

    def body(context: StageContext[Any]) -> None:
        checkpoints = committed(context, whole, 2, 4, 6)
        assert checkpoints.steps() == [2, 4, 6]
        assert [
            step_number(found) for found in map(checkpoints.newest, ([2, 4], [4, 6, 2])) if found
        ] == [4, 6]
        spoil(checkpoints, 6)
        found = checkpoints.newest([2, 4, 6])
        assert found is not None
        assert step_number(found) == 4
        assert checkpoints.steps() == [2, 4, 6], "sound or not"
        assert checkpoints.newest([]) is None

    within(body)


def test_a_checkpoint_of_other_length_or_precision_is_none_of_this_training(
    within: Within, whole: Path
) -> None:
    def body(context: StageContext[Any]) -> None:
        committed(context, whole, 2)
        for resolved, is_found in (
            (None, True),
            (Resolved(10, "fp32"), True),
            (Resolved(11, "fp32"), False),
            (Resolved(10, "bf16"), False),
        ):
            asked = Checkpoints(context, "mine", resolved=resolved)
            assert (asked.find(2) is not None) is is_found
        assert Checkpoints(context, "other").find(2) is None
        assert mine(context).find(3) is None

    within(body)


@pytest.mark.parametrize(
    ("left", "goal", "expected"),
    [
        ([(4, 2), (6, 4)], 10, 6),  # one after the other
        ([(4, 2), (6, 4)], 6, 6),
        ([(4, 2), (6, 4)], 5, 4),  # none beyond the goal
        ([(5, 3)], 10, 2),  # losses of step 3 are missing
        ([(4, 1)], 10, 2),  # those of step 2 would be there twice
        ([(2, 0)], 10, 2),  # no further than what there is
    ],
)
def test_what_a_killed_run_left_is_taken_over_where_it_goes_on(
    within: Within, whole: Path, left: list[tuple[int, int]], goal: int, expected: int
) -> None:
    def body(context: StageContext[Any]) -> None:
        checkpoints = committed(context, whole, 2)
        for step, after in left:
            folder = leave(context.lasting_scratch() / "left", whole, step, after)
            write_measured(folder, {"seconds": step / 2, "processes": 2, "path": "no figure"})
        shutil.move(context.lasting_scratch() / "left" / "run", context.lasting_scratch() / "x")
        found = checkpoints.adopt_left(goal)
        assert found is not None
        assert step_number(found) == expected
        taken = [{"step": s, "seconds": s / 2, "processes": 2} for s, _ in left if s <= expected]
        here = taken if expected > 2 else []
        assert found.provenance["intervals"] == [{"step": 2, "seconds": 2.0}, *here]
        assert "/measured.json" not in found.files
        lines = found.files["/losses.jsonl"].local().read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, expected + 1))

    within(body)


@pytest.mark.parametrize(
    "facts", [{"training": "other"}, {"steps": 11}, {"precision": "bf16"}, {"training": None}]
)
def test_what_another_training_left_is_not(
    within: Within, whole: Path, facts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def body(context: StageContext[Any]) -> None:
        checkpoints = mine(context)
        folder = leave(context.lasting_scratch(), whole, 2, 0, **facts)
        assert not checkpoints.continues(folder, 0)
        assert checkpoints.adopt_left(10) is None
        assert folder.is_dir()

    caplog.set_level("INFO")
    within(body)
    assert "a checkpoint of another training is left out" in caplog.text


@pytest.mark.parametrize("spoilt", ["a weight", "losses cut short", "no losses", "no record"])
def test_what_is_not_whole_is_not(within: Within, whole: Path, spoilt: str) -> None:
    def body(context: StageContext[Any]) -> None:
        folder = leave(context.lasting_scratch(), whole, 2, 0)
        assert mine(context).continues(folder, 0)
        if spoilt == "no record":
            (folder / RECORD).unlink()
        elif spoilt == "no losses":
            (folder / "losses.jsonl").unlink()
        elif spoilt == "losses cut short":
            (folder / "losses.jsonl").write_text('{"step": 1}\n')
        else:
            weights = folder / "model.safetensors"
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(bytes(content))
        assert not mine(context).continues(folder, 0)

    within(body)


@pytest.mark.parametrize(
    ("num_kept", "keep", "kept"),
    [
        (1, [], [8]),
        (2, [], [6, 8]),
        (9, [], [2, 4, 6, 8]),
        (1, [4], [4, 8]),
        (2, [2, 8], [2, 6, 8]),
    ],
)
def test_the_newest_stay_and_those_that_are_to_be_kept(
    within: Within, whole: Path, num_kept: int, keep: list[int], kept: list[int]
) -> None:
    """One beyond the step, of an earlier run that got further, is none of them."""

    def body(context: StageContext[Any]) -> None:
        checkpoints = committed(context, whole, 2, 4, 6, 8, 9)
        checkpoints.let_go_before(8, num_kept, keep)
        assert checkpoints.steps() == [*kept, 9]

    within(body)


def test_while_none_of_the_kept_is_sound_the_newest_sound_one_stays(
    within: Within, whole: Path
) -> None:
    def body(context: StageContext[Any]) -> None:
        checkpoints = committed(context, whole, 2, 4, 6)
        spoil(checkpoints, 6)
        checkpoints.let_go_before(6, 1, [])
        assert checkpoints.newest(checkpoints.steps()) is not None
        assert checkpoints.steps() == [4, 6]

    within(body)


def test_the_length_of_a_training_is_found_out_once(within: Within, whole: Path) -> None:
    """From its own unit, from a committed checkpoint, or from one that a killed run left."""

    def body(context: StageContext[Any]) -> None:
        unknown = Checkpoints(context, "mine")
        assert unknown.recall() is None
        folder = leave(context.lasting_scratch(), whole, 2, 0)
        assert Checkpoints(context, "other").recall() is None
        assert unknown.recall() == Resolved(10, "fp32")
        assert read_resolved(context, "mine") == Resolved(10, "fp32")
        shutil.rmtree(folder)
        assert Checkpoints(context, "mine").recall() == Resolved(10, "fp32")
        later = Checkpoints(context, "mine")
        later.resolve(Resolved(99, "bf16"))
        assert read_resolved(context, "mine") == Resolved(10, "fp32")
        assert read_resolved(context, "other") is None
        assert read_resolved(context, "mine", "a/") is None

    within(body)


def test_trainings_of_one_stage_are_told_apart_by_their_prefix(within: Within, whole: Path) -> None:
    def body(context: StageContext[Any]) -> None:
        one = Checkpoints(context, "mine", prefix="a/", resolved=Resolved(10, "fp32"))
        one.adopt(leave(context.lasting_scratch(), whole, 2, 0), None, {})
        assert one.unit(2).label == "a/checkpoint/00000002"
        assert one.steps() == [2]
        assert mine(context).steps() == []
        assert Checkpoints(context, "mine", prefix="b/").steps() == []

    within(body)
