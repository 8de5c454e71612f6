"""The worked examples in docstrings are true: every `>>>` of the three packages is run."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITH_EXAMPLES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for package in ("roberta_model", "tasks", "flows")
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
WORKED_THROUGHOUT = ("roberta_model.data.mask_selection", "tasks.cleaning.minhash")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    """What a docstring shows is what happens."""
    found = doctest.testmod(importlib.import_module(name), report=True)
    assert found.attempted > 0, f"{name}: no docstring holds the example"
    assert not found.failed


@pytest.mark.parametrize("name", WORKED_THROUGHOUT)
def test_every_public_function_of_dense_array_code_has_an_example(name: str) -> None:
    """A reader sees numbers go in and come out where the code is array operations alone."""
    module = importlib.import_module(name)
    tests = {test.name: test.examples for test in doctest.DocTestFinder().find(module)}
    public = [
        test for test in tests if test != name and not test.rsplit(".", 1)[-1].startswith("_")
    ]
    assert len(public) >= 3
    assert [test for test in public if not tests[test]] == []
