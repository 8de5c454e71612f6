"""The same key means the same bytes: what each stage writes is pinned, see `support/pins.py`."""

import copy
import re
from pathlib import Path

import pytest
from pins import EXACT, Pin, make_pins, only_inputs_changed, problem_with, read_pins
from pins import versions_of as installed

from tasks.stages import STAGE_NAMES

LOCK = Path(__file__).resolve().parents[1] / "deployments" / "requirements.lock"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pin]:
    """What the stages make today."""
    return make_pins(tmp_path_factory.mktemp("pins") / "store")


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_bytes_change_only_with_the_key(stage: str, made: dict[str, Pin]) -> None:
    """A change of what a stage writes without a raised version is found, and what to do is said."""
    pin = read_pins().get(stage)
    if pin is not None and pin["libraries"] != installed(stage):
        pytest.skip(f"pinned with {pin['libraries']}, installed are {installed(stage)}")
    if pin is not None and only_inputs_changed(pin, made[stage]):
        pytest.skip("a stage before it makes other bytes; see there")
    if problem := problem_with(stage, pin, made[stage]):
        pytest.fail(problem, pytrace=False)


def test_the_pins_are_of_the_locked_versions() -> None:
    """Whoever moves the lock writes the pins anew; else they would be skipped for ever."""
    lock = LOCK.read_text(encoding="utf-8").lower()
    locked = dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", lock, re.MULTILINE))
    for stage, pin in read_pins().items():
        for library, version in pin["libraries"].items():
            if library != "unicode":  # Python's own
                assert f"{locked[library]}.".startswith(f"{version}."), f"{stage}: run `make pins`"


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_any_changed_output_is_a_problem(stage: str) -> None:
    """Of every stage: another byte, a lost file, another count in the ledger or the summary."""
    pin = read_pins()[stage]
    assert problem_with(stage, pin, pin) is None
    for path in pin["made"]["outputs"]:
        other = copy.deepcopy(pin)
        other["made"]["outputs"][path] = "something else"
        assert f"outputs.{path}" in str(problem_with(stage, pin, other))
        del other["made"]["outputs"][path]
        assert "raise the version" in str(problem_with(stage, pin, other))
    other = copy.deepcopy(pin)
    other["made"]["ledger"] = {"documents": {"in": 1, "kept": 1, "dropped": {}}}
    assert "ledger" in str(problem_with(stage, pin, other))


def test_figures_of_training_have_a_tolerance_and_bytes_have_none() -> None:
    """Another BLAS is no other version; a loss that is nowhere near the old one is."""
    pin = read_pins()["pretrain"]
    for by, wrong in ((0.01, False), (3.0, True)):
        other = copy.deepcopy(pin)
        other["made"]["summary"]["final_loss"] += by
        assert (problem_with("pretrain", pin, other) is not None) is wrong
        assert problem_with(EXACT[0], pin, other) is not None


def test_a_raised_version_asks_for_new_pins_and_excuses_what_follows() -> None:
    """The message names the field; stages behind are not blamed for other inputs."""
    pin = read_pins()["tokenizer"]
    raised, behind = copy.deepcopy(pin), copy.deepcopy(pin)
    raised["identity"]["version"] += 1
    assert "identity.version" in str(problem_with("tokenizer", pin, raised))
    assert "make pins" in str(problem_with("tokenizer", pin, raised))
    assert not only_inputs_changed(pin, raised)
    behind["identity"]["inputs"]["clean"] = "other"
    assert only_inputs_changed(pin, behind)
    assert not only_inputs_changed(pin, pin)
