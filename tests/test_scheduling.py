"""How workers share the tests: what is shared is made once, what takes longest begins first."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scheduling import TOGETHER, longest_first, scope_of

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_named_is_there() -> None:
    """A folder that was renamed would fall apart into modules, unnoticed."""
    assert [place for place in TOGETHER if not (ROOT / place).exists()] == []


def test_a_folder_or_a_module_is_given_out_together() -> None:
    """The folder inside another one has a server of its own."""
    assert scope_of("tests/flows/test_cli.py::test_hints[a::b]") == "tests/flows/"
    assert scope_of("tests/flows/serving/test_served.py::test_it") == "tests/flows/serving/"
    assert scope_of("tests/test_docs.py::test_it") == "tests/test_docs.py"


def test_what_takes_longest_begins_first() -> None:
    """All else stays in its order."""
    ids = [
        "tests/a.py::one",
        "tests/chaos/b.py::two",
        "tests/a.py::three",
        "tests/flows/c.py::four",
    ]
    items: list[Any] = [SimpleNamespace(nodeid=nodeid) for nodeid in ids]
    ordered = [item.nodeid for item in longest_first(items)]
    assert ordered == [ids[3], ids[1], ids[0], ids[2]]
