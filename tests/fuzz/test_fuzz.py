"""The fuzzer's first cases, and each that once was a finding, as part of the normal tests."""

import dataclasses
from pathlib import Path

import pytest
from fuzz import Finding, run_batch, run_case
from targets import TARGETS

SEED = 7
_CASES = 25


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_files_are_read_or_refused_in_our_own_words(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cases every time; `make fuzz` goes on from there for minutes."""
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path))
    for number in range(_CASES):
        assert run_case(SEED, target, number) is None, f"{target}:{number}"


def test_a_reader_that_lets_an_exception_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it was; a fuzzer that finds nothing must be able to."""

    def fail(folder: Path) -> None:
        raise KeyError("text")

    monkeypatch.setitem(TARGETS, "config", dataclasses.replace(TARGETS["config"], use=fail))
    assert "KeyError: 'text'" in (run_case(SEED, "config", 0) or "")


def test_cases_run_in_a_process_of_their_own() -> None:
    """All of a batch, none left out; one that ends its process is known by its number."""
    assert list(run_batch(SEED, "config", 3, 4)) == [3, 4, 5, 6]
    (found,) = run_batch(SEED, "no target", 5, 1)
    assert found == Finding("no target", 5, "the process ended with 1")
