"""A short, seeded part of the matrix of faults; `make chaos` runs all of it."""

from collections.abc import Iterator
from itertools import product

import pytest
from faults import CLOCK, EVERYWHERE, NETWORK, SIGNALS, STAGES, Fault, matrix
from installation import Installation, installation
from scenario import Result, Scenario, clear_away

from tasks.stages import STAGE_NAMES

SEED = 7
QUICK_UNTIL = "tokenizer"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One `roberta serve` for the faults of this module."""
    with installation(tmp_path_factory.mktemp("chaos") / "here") as running:
        yield running


def chosen(target: str, how: str, stage: str) -> Fault:
    """The first fault of the matrix of this kind."""
    return next(
        fault
        for fault in matrix(SEED, 200)
        if (fault.target, fault.how, fault.stage) == (target, how, stage)
    )


def check(result: Result) -> None:
    assert result.problems == [], (result.states, result.did)
    assert result.true_seconds < 120


def test_two_hundred_faults_hit_every_process_by_every_signal_in_every_stage() -> None:
    """The matrix is the same for the same seed, another for another, and leaves nothing out."""
    faults = matrix(SEED, 200)
    assert faults == matrix(SEED, 200)
    assert faults != matrix(SEED + 1, 200)
    assert [fault.number for fault in faults] == list(range(200))
    assert STAGES == STAGE_NAMES
    hit = {(fault.target, fault.how, fault.stage) for fault in faults}
    assert set(product(EVERYWHERE, SIGNALS, STAGES)) <= hit
    assert set(product(("trainer", "rank"), SIGNALS, ("pretrain",))) <= hit
    assert set(product(("source",), NETWORK, ("download",))) <= hit
    assert set(product(("clock",), CLOCK, STAGES)) <= hit
    for target, how in (("store", "full"), ("database", "locked"), ("run", "cancelled")):
        assert set(product((target,), (how,), STAGES)) <= hit


@pytest.mark.slow
@pytest.mark.parametrize(("target", "stage"), [("flow", "tokenizer"), ("pool worker", "clean")])
def test_a_killed_flow_or_pool_ends_in_the_same_bytes(
    place: Installation, target: str, stage: str
) -> None:
    """Up to the tokenizer. test_restart and tasks/engine have faster tests."""
    place.template("one", QUICK_UNTIL)
    result = Scenario(place, chosen(target, "KILL", stage), QUICK_UNTIL).play()
    check(result)
    assert result.at != "not begun"
    clear_away(place, result.name)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_any_fault_ends_in_the_same_published_bytes(number: int, whole: Installation) -> None:
    """The first ten of the matrix, through all stages."""
    result = Scenario(whole, matrix(SEED, 200)[number]).play()
    check(result)
    clear_away(whole, result.name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Another one, whose undisturbed runs go to the end."""
    with installation(tmp_path_factory.mktemp("chaos") / "whole") as running:
        yield running
