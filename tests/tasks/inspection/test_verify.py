"""Verify names damage and nothing else; repair looks before it runs, and leaves live work alone."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from command import Command
from small_corpus import small_config, write_texts
from tiny_pipeline import run_all, run_record

from tasks.config import Config
from tasks.engine.digests import known_digest
from tasks.engine.identity import file_digest
from tasks.engine.lease import Lease
from tasks.engine.progress import Progress
from tasks.engine.records import output_digest
from tasks.engine.sealing import seal
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord
from tasks.errors import StageError, UserError
from tasks.inspection.ledger_path import known_keys
from tasks.inspection.runs import write_run
from tasks.inspection.verify import find_damage, find_in_work, repair

TEXTS = [f"The {n} ships of the harbour master sailed over the sea in year {n}." for n in range(40)]


class Case:
    """Two finished stages in a store, and the text they were made of."""

    def __init__(self, folder: Path) -> None:
        self.texts = write_texts(folder / "texts", TEXTS)
        self.config = small_config(folder / "store", self.texts)
        self.store = open_store(self.config.store)
        self.made = run_all(self.config, until="clean")
        write_run(self.store, run_record(self.config, self.made))

    def folder(self, stage: str) -> Path:
        return Path(self.store.url(self.made[stage].artifact.folder))

    def output(self, stage: str) -> Path:
        (path, _), *_ = self.made[stage].artifact.outputs
        return self.folder(stage) / path

    def mend(self, config: Config | None = None) -> list[dict[str, Any]]:
        return repair(self.store, find_damage(self.store), config, Progress())


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def damage(path: Path) -> bytes:
    """Flip a bit; returns the sound bytes. A file that is linked elsewhere stays whole there."""
    sound = path.read_bytes()
    path.unlink()
    path.write_bytes(sound[:-9] + bytes([sound[-9] ^ 1]) + sound[-8:])
    return sound


def entries(case: Case, stage: str) -> list[str]:
    return sorted(path.name for path in Path(case.store.url(stage)).iterdir())


def test_rotten_bytes_are_found_whatever_is_remembered_of_them(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that forgets touches no file: the digest that was kept of it is of other bytes."""
    path = case.output("clean")
    known = {path: file_digest(path)}
    damage(path)
    monkeypatch.setattr(
        "tasks.engine.local_store.known_digest",
        lambda full: known.get(Path(full)) or known_digest(full),
    )
    assert case.made["clean"].artifact.damaged() == {}, "a run believes it"
    assert [path.name in str(found) for found in find_damage(case.store)] == [True]


def test_repair_redoes_what_is_damaged_from_download_on(case: Case) -> None:
    """One file of both stages: the first is mended before the second is made from it."""
    sound = {path: damage(path) for path in (case.output("download"), case.output("clean"))}
    done = case.mend()
    assert [entry["state"] for entry in done] == ["repaired", "repaired"]
    assert {path: path.read_bytes() for path in sound} == sound
    assert find_damage(case.store) == []


def test_repair_of_a_changed_source_names_it_and_makes_nothing(case: Case) -> None:
    """The key is looked at first: no other artifact is made for nobody, and nothing is lost."""
    damage(case.output("download"))
    case.texts.joinpath("texts.jsonl").write_text(json.dumps({"text": "Another text. " * 9}) + "\n")
    before = entries(case, "1-download")
    with pytest.raises(UserError) as caught:
        case.mend()
    told = str(caught.value)
    assert len(told.splitlines()) == 1
    assert told.startswith(f"download: {case.made['download'].artifact.key} is damaged")
    assert "changed: " in told
    assert "texts.jsonl" in told
    assert entries(case, "1-download") == before
    assert case.folder("download").joinpath("manifest.json").exists()


def test_repair_with_a_changed_config_names_the_field(case: Case) -> None:
    """The config that is given counts; what it says otherwise is told."""
    damage(case.output("clean"))
    filters = {"filters": {"min_characters": 5}}
    other = small_config(Path(case.config.store), case.texts, clean=filters)
    with pytest.raises(UserError, match=r"clean\.filters\.min_characters: 20 -> 5"):
        case.mend(other)
    assert case.mend()[0]["state"] == "repaired"


def test_repair_after_a_new_version_of_the_stage_says_so(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer code cannot make an older artifact again."""
    damage(case.output("clean"))
    manifest = case.folder("clean") / "manifest.json"
    version = json.loads(manifest.read_text())["version"]
    from dataclasses import replace

    from tasks.stages import clean_text

    monkeypatch.setattr(clean_text, "CLEAN", replace(clean_text.CLEAN, version=version + 1))
    with pytest.raises(UserError, match=f"stage version: {version} -> {version + 1}"):
        case.mend()


def test_what_cannot_be_mended_is_no_input_of_what_can(case: Case) -> None:
    """A damaged input would be read for the repair, and its damage handed on as sound."""
    damage(case.output("download"))
    broken = case.output("clean")
    damage(broken)
    kept = broken.read_bytes()
    case.texts.joinpath("texts.jsonl").write_text(json.dumps({"text": "Another text. " * 9}) + "\n")
    with pytest.raises(UserError, match="Its input download .* is damaged"):
        case.mend()
    assert broken.read_bytes() == kept


def test_a_damaged_manifest_is_found_by_its_config_and_what_follows_too(case: Case) -> None:
    """`verify CONFIG` looks at the artifacts a config leads to, whole or not."""
    made = {name: outcome.artifact.key for name, outcome in case.made.items()}
    assert made.items() <= known_keys(case.config, case.store).items()
    damage(case.folder("download") / "manifest.json")
    damage(case.output("clean"))
    keys = known_keys(case.config, case.store)
    assert keys == made
    found = find_damage(case.store, keys)
    assert [(entry["stage"], entry["unit"]) for entry in found][0] == ("download", "manifest")
    assert found[-1]["stage"] == "clean"
    repair(case.store, found, case.config, Progress())
    assert find_damage(case.store) == []


def half_made(case: Case) -> Path:
    """The clean artifact as a run leaves it that is in the middle of writing a unit's record."""
    folder = case.folder("clean")
    folder.joinpath("manifest.json").unlink()
    for place in (folder, folder / "units"):
        place.joinpath(".cleaned.arrow.0a1b2c3d.tmp").write_bytes(b"half")
    return folder


def test_temporary_files_are_no_damage(case: Case) -> None:
    """A write that was cut off has a name that nothing reads."""
    half_made(case)
    assert find_damage(case.store) == []


def test_what_a_live_run_works_on_is_in_work_and_not_damaged(case: Case) -> None:
    """Its units come and go; repair neither takes nor removes any of it."""
    folder = half_made(case)
    (record,) = folder.joinpath("units").glob("*splits*")
    damage(record)
    files = [path for path in folder.rglob("*") if ".lease" not in path.parts]
    stale = find_damage(case.store)
    assert [entry["path"].rsplit("/")[-1] for entry in stale] == [record.name]
    with Lease(case.store, case.made["clean"].artifact.folder).held(lambda _: None):
        assert find_damage(case.store) == []
        (told,) = find_in_work(case.store)
        assert (told["stage"], told["key"]) == ("clean", case.made["clean"].artifact.key)
        (done,) = repair(case.store, stale, None, Progress())
        assert done["state"] == "in work"
        assert record.exists()
        assert folder.joinpath("units", ".cleaned.arrow.0a1b2c3d.tmp").exists()
    assert [path for path in files if not path.exists()] == []
    (done,) = repair(case.store, stale, None, Progress())
    assert done["state"] == "repaired"
    assert not record.exists()
    assert run_all(case.config, until="clean")["clean"].artifact.key == told["key"]


def test_other_bytes_than_before_are_no_repair(case: Case) -> None:
    """As after a training on another kind of machine: later stages were made of the old ones."""
    artifact = case.made["clean"].artifact
    manifest = json.loads(json.dumps(dict(artifact.manifest)))
    (output,) = [entry for entry in manifest["outputs"] if entry["path"].startswith("train/")]
    (unit,) = [unit for unit in manifest["units"] if unit["label"].startswith("train/")]
    output["sha256"] = unit["files"][".arrow"]["sha256"] = "0" * 64
    manifest["output_digest"] = output_digest(manifest["outputs"])
    case.store.write(f"{artifact.folder}/{UnitRecord(**unit).path}", seal(unit))
    case.store.write(f"{artifact.folder}/manifest.json", seal(manifest))
    assert [entry["unit"] for entry in find_damage(case.store)] == [unit["label"]]
    with pytest.raises(StageError, match="made again it is not what it was"):
        case.mend()


def test_the_command_ends_with_2_when_a_source_has_changed(case: Case, tmp_path: Path) -> None:
    """It is the user who changed it; one paragraph, and no traceback."""
    damage(case.output("download"))
    case.texts.joinpath("texts.jsonl").write_text(json.dumps({"text": "Another text. " * 9}) + "\n")
    roberta = Command(tmp_path, tmp_path / "home")
    assert roberta("verify", "--store", case.store.url("")).code == 1
    done = roberta("verify", "--store", case.store.url(""), "--repair")
    assert done.code == 2
    assert done.err.startswith("roberta: download: ")
    assert len(done.err.splitlines()) == 1


def test_a_new_version_of_a_library_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes of the same text may be other bytes."""
    damage(case.output("clean"))
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0")
    with pytest.raises(UserError, match=r"library unicode: \S+ -> 99\.0"):
        case.mend()
