"""A server to download from, and a cache that no other test has filled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Server, running_server


@pytest.fixture
def server() -> Iterator[Server]:
    """A real HTTP server on loopback that misbehaves as it is told."""
    with running_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBERTA_CACHE", str(tmp_path / "cache"))
