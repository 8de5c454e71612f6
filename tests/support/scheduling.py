"""Which tests pytest-xdist gives to one worker, and what it gives out first.

The tests of a folder that share a server or a finished run go to one worker, else each worker
would make its own. What takes longest begins first: left to the end, it would keep one worker
busy while the others have nothing to do.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# By how long they take, the longest first; the rest of the tests follow, a module at a time.
TOGETHER = (
    "tests/flows/serving/",
    "tests/flows/",
    "tests/chaos/",
    "tests/roberta_model/training/",
    "tests/test_pipeline.py",
    "tests/test_pins.py",
    "tests/tasks/engine/",
    "tests/test_extending.py",
    "tests/tasks/stages/",
    "tests/test_wheel.py",
)


def scope_of(nodeid: str) -> str:
    """What is given out with a test: its folder's tests, or its module's.

    >>> scope_of("tests/flows/test_cli.py::test_hints"), scope_of("tests/test_docs.py::test_it")
    ('tests/flows/', 'tests/test_docs.py')
    """
    module = nodeid.split("::", 1)[0]
    return next((place for place in TOGETHER if module.startswith(place)), module)


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests, those that take longest first; otherwise in the order they have."""
    rank = {place: number for number, place in enumerate(TOGETHER)}
    return sorted(items, key=lambda item: rank.get(scope_of(item.nodeid), len(TOGETHER)))


class LongestFirst(LoadScopeScheduling):
    """Gives out the tests of a scope together, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)  # without a log of xdist's own it prints what it does

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
