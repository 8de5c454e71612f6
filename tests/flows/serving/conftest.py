"""One `roberta serve` for the tests of this folder, with a small pipeline of two text files."""

from collections.abc import Iterator

import pytest
from command import Command
from letters import letters
from served import Served, served


@pytest.fixture(scope="session")
def working(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`roberta` in a folder with letters.yaml, without a configured server."""
    folder = tmp_path_factory.mktemp("served")
    letters(folder)
    return Command(folder, tmp_path_factory.mktemp("served-home"))


@pytest.fixture(scope="session")
def serving(working: Command) -> Iterator[Served]:
    """`roberta serve letters.yaml`."""
    with served(working, "letters.yaml") as running:
        yield running
