"""A finished artifact: its outputs and their order, its digest, and what counts as damage."""

from dataclasses import replace
from pathlib import Path

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import digests
from tasks.engine.records import Artifact, output_digest, output_entries
from tasks.engine.runner import run_stage, sound_artifact
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord
from tasks.errors import StageError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
FIRST, _ = toy_stages(ToySlice(numbers=[1, 2], value=3))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def made(store: Store) -> Artifact:
    return run_stage(FIRST, CONFIG, store).artifact


def test_outputs_are_those_of_output_units_sorted_by_path() -> None:
    entry = {"bytes": 1, "sha256": "abc", "rows": None}

    def unit(label: str, output: bool, *suffixes: str) -> UnitRecord:
        files = {suffix: {**entry, "sha256": suffix} for suffix in suffixes}
        return UnitRecord("k", label, "f", output, files, {}, {}, {})

    entries = output_entries(
        [unit("b", True, ".z", ".a"), unit("a", False, ".x"), unit("a", True, "/1")]
    )
    assert [each["path"] for each in entries] == ["a/1", "b.a", "b.z"]
    assert entries[1] == {"path": "b.a", "bytes": 1, "sha256": ".a", "rows": None}
    digest = output_digest(entries)
    assert digest == output_digest([{**each, "rows": 5, "bytes": 9} for each in entries])
    assert digest != output_digest([{**each, "path": f"x{each['path']}"} for each in entries])
    assert digest != output_digest([{**each, "sha256": "x"} for each in entries])


def test_outputs_are_found_by_their_paths(store: Store) -> None:
    first = made(store)
    assert [path for path, _ in first.outputs] == ["numbers/00000.txt", "numbers/00001.txt"]
    assert [file.url[-5:] for file in first.files("numbers/", "1.txt")] == ["1.txt"]
    assert first.files("numbers/", ".bin") == first.files("umbers/") == []
    assert first.file("numbers/00001.txt").local().read_text() == "6\n"
    assert first.file("numbers/00001.txt").rows == 1
    with pytest.raises(StageError, match=r"there is no output 'numbers/00001'"):
        first.file("numbers/00001")


def test_a_partial_or_damaged_artifact_is_not_served(store: Store) -> None:
    first = made(store)
    assert sound_artifact(store, first.folder) == first
    assert sound_artifact(store, "1-first/other") is None
    store.write(f"{first.folder}/numbers/00001.txt", b"7\n")
    assert sound_artifact(store, first.folder) is None
    assert first.damaged() == {"numbers/00001": ["numbers/00001.txt"]}
    store.remove(f"{first.folder}/numbers/00001.txt")
    assert first.damaged(anew=True) == {"numbers/00001": ["numbers/00001.txt"]}


def test_a_record_that_is_gone_or_of_other_work_is_damage(store: Store) -> None:
    """One of the same work at another time is none."""
    first = made(store)
    unit = first.units[1]
    later = replace(unit, provenance={**unit.provenance, "host": "other"})
    store.write(f"{first.folder}/{unit.path}", seal(later.to_json()))
    assert first.damaged() == {}
    store.write(f"{first.folder}/{unit.path}", seal(replace(unit, summary={}).to_json()))
    assert first.damaged() == {unit.label: [unit.path]}
    store.remove(f"{first.folder}/{unit.path}")
    assert first.damaged() == {unit.label: [unit.path]}


def test_what_is_remembered_of_an_artifact_counts_unless_it_is_read_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(store)
    path = f"{first.folder}/numbers/00001.txt"
    digest = store.digest(path)
    store.write(path, b"7\n")
    monkeypatch.setattr(digests, "_SETTLED_NS", -1 << 62)
    monkeypatch.setattr(digests, "recall", lambda stamp: digest)
    assert "numbers/00001" not in first.damaged()
    assert first.damaged(anew=True) == {"numbers/00001": ["numbers/00001.txt"]}
