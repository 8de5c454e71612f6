"""Files on a disk that several people share: who may read them, and what no link may do."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.engine import files
from tasks.engine.files import cannot_write_file, without_links, write_asked_for
from tasks.engine.unit_files import describe_files
from tasks.engine.units import UnitWork
from tasks.errors import RobertaError, StageError, UserError


@pytest.fixture
def umask() -> Iterator[int]:
    """One that lets a group write."""
    before = os.umask(0o007)
    files._umask.cache_clear()
    yield 0o007
    os.umask(before)
    files._umask.cache_clear()


def test_what_a_unit_wrote_can_be_read_by_whom_the_umask_says(tmp_path: Path, umask: int) -> None:
    """Libraries write through private files: those of weights were their owner's alone."""
    work = UnitWork("model", tmp_path)
    save_file({"weight": np.zeros(3)}, work.path("/model.safetensors"))
    work.path("/config.json").write_text("{}")
    describe_files(work, {})
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == {"model.safetensors": 0o660, "config.json": 0o660}


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    """Its target keeps every byte."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        open(tmp_path / "lock", "ab", opener=without_links)  # noqa: SIM115
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_pipe_stays_a_pipe_and_a_link_a_link(tmp_path: Path) -> None:
    """/dev/null, named by root as the place of a result, once became a plain file."""
    os.mkfifo(pipe := tmp_path / "pipe")
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_asked_for(pipe, b"new")
        assert os.read(reading, 9) == b"new"
    finally:
        os.close(reading)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (old := tmp_path / "old").write_bytes(b"old")
    (link := tmp_path / "link").symlink_to(old)
    write_asked_for(link, b"new")
    assert link.is_symlink()
    assert old.read_bytes() == b"new"


def test_what_stood_there_stays_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what could not be written is named, with what to do."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (old := tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StageError, match=r"old: this .*: No space left .* make room"):
        write_asked_for(old, b"new")
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(
    ("problem", "kind", "told"),
    [
        (OSError(errno.EISDIR, "Is a directory"), UserError, "Is a directory. Name another"),
        (OSError(errno.ENOSPC, "Error writing bytes. Detail: x"), StageError, "No space left"),
        (OSError("a library's own"), StageError, "a library's own"),
    ],
)
def test_a_wrong_place_is_the_users_and_a_full_disk_is_not(
    problem: OSError, kind: type[RobertaError], told: str
) -> None:
    found = cannot_write_file(Path("f"), problem)
    assert type(found) is kind
    assert told in str(found)
