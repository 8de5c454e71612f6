"""The planted faults fit the code as it is; `make mutants` runs the tests against each."""

import mutants
import pytest
from planting import Mutant


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_can_be_planted(mutant: Mutant) -> None:
    """Its line stands there once, and its tests exist."""
    assert (mutants.ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.right) == 1
    assert mutant.wrong != mutant.right
    for place in mutant.tests:
        assert (mutants.ROOT / place).exists(), place
