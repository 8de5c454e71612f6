"""Places for stores: a folder, memory, and a real S3 server where its packages are installed."""

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from s3_server import BUCKET, S3Server, s3_server

from tasks.engine import retrying

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 1 << 30


def forget_forkserver() -> None:
    """End the process that pools fork their workers from: it has the environment of its start."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One S3 server for all tests of a process; the environment says where it is."""
    for package in ("s3fs", "moto"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make setup EXTRAS=s3,dev-s3")
    with s3_server() as server:
        before = {name: os.environ.get(name) for name in server.settings}
        os.environ.update(server.settings)
        forget_forkserver()
        yield server
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """On a disk in memory where there is one: here thousands of files are flushed, one by one."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ENOUGH_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="roberta-tests-") as folder:
        yield Path(folder)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Callable[[str], str]]:
    """For a kind of store, a function that gives a fresh store's URL for a name."""
    here = uuid.uuid4().hex[:8]

    def of_kind(kind: str) -> Callable[[str], str]:
        if kind == "s3":
            request.getfixturevalue("s3")
        roots = {
            "local": str(tmp_path),
            "memory": f"memory://{here}",
            "s3": f"s3://{BUCKET}/{here}",
        }
        return lambda name: f"{roots[kind]}/{name}"

    return of_kind


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, so that a server that stays away is given up on soon."""
    monkeypatch.setattr(retrying, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(retrying, "TRIES", 3)


@pytest.fixture
def computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Labels of the units computed since the last call."""
    note = tmp_path / "computed.txt"
    monkeypatch.setenv("TOY_TRACE", str(note))

    def read() -> list[str]:
        lines = note.read_text().split() if note.exists() else []
        note.unlink(missing_ok=True)
        return sorted(lines)

    return read
