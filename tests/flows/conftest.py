"""One real Prefect server and one finished run, shared by all tests of the command."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, find_browser, open_page
from command import Command, prefect_server
from tiny_pipeline import write_config


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A `prefect server` of its own."""
    with prefect_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def roberta(api: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command, beside a configured Prefect server."""
    return Command(tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("home"), api)


@pytest.fixture(scope="session")
def first_run(roberta: Command) -> dict[str, Any]:
    """What `roberta run --json` said of a first, undisturbed run in the working folder."""
    write_config(roberta.folder)
    done = roberta("run", "tiny.yaml", "--json")
    assert done.code == 0, done.err
    return {**done.json, "stderr": done.err}


@pytest.fixture
def copied_store(first_run: dict[str, Any], roberta: Command, tmp_path: Path) -> Path:
    """A store of its own with the finished run, to be damaged."""
    shutil.copytree(roberta.folder / "store", tmp_path / "store", symlinks=True)
    return tmp_path / "store"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """An empty page of a real browser."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with open_page(program, tmp_path / "profile") as opened:
        yield opened
