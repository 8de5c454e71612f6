"""Files on a disk that several people share: who may read them, and what no link may do."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tasks.engine import files
from tasks.engine.files import without_links
from tasks.engine.unit_files import describe_files
from tasks.engine.units import UnitWork


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
