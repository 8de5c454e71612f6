"""What a key knows: versions of the libraries that decide the bytes."""

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import identity
from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})


def test_a_library_that_decides_the_bytes_is_part_of_both_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another version nothing is served or taken over that the old one made."""
    store = open_store(str(tmp_path))
    first, _ = toy_stages(ToySlice(numbers=[1, 2]))
    before = run_stage(replace(first, libraries=("ftfy", "unicode")), CONFIG, store)
    monkeypatch.setattr(metadata, "version", lambda _: "99")
    after = run_stage(replace(first, libraries=("ftfy", "unicode")), CONFIG, store)
    assert after.state == "done"
    assert not {unit.key for unit in before.artifact.units} & {u.key for u in after.artifact.units}
    assert before.artifact.manifest["libraries"]["ftfy"] != "99"
    assert after.artifact.manifest["libraries"]["ftfy"] == "99"


def test_of_pyarrow_only_the_major_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides how files are laid out; a patch release must not recompute a corpus."""
    monkeypatch.setattr(metadata, "version", lambda _: "26.7.8")
    assert identity.library_versions(("pyarrow", "tokenizers")) == {
        "pyarrow": "26",
        "tokenizers": "26.7.8",
    }
