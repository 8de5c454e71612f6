"""Prune removes what nothing refers to, never what a run has, and counts the space truly."""

import errno
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command import Command
from small_corpus import small_config, write_texts
from tiny_pipeline import run_all, run_record

from flows.commands.prune import prune as prune_command
from tasks.engine.files import explained
from tasks.engine.lease import Lease, this_process
from tasks.engine.records import MANIFEST, read_manifest
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.inspection import prune as pruning
from tasks.inspection.freed_space import weigh
from tasks.inspection.prune import Pruned, prune
from tasks.inspection.references import kept_runs
from tasks.inspection.runs import write_run
from tasks.inspection.verify import find_damage
from tasks.publishing.latest import point_latest

TEXTS = [f"The {n} ships of the harbour master sailed over the sea in year {n}." for n in range(40)]
LATER = {"filters": {"min_characters": 5}}


class Case:
    """A store with two runs to the tokenizer; the second cleaned by another filter."""

    def __init__(self, folder: Path) -> None:
        self.texts = write_texts(folder / "texts", TEXTS)
        self.place = folder / "store"
        self.store = open_store(str(self.place))
        self.keys = [self.run(f"run{n}", clean=clean) for n, clean in enumerate(({}, LATER))]

    def run(self, run: str, **changes: Any) -> dict[str, str]:
        config = small_config(self.place, self.texts, **changes)
        made = run_all(config, until="tokenizer")
        record = run_record(config, made, run) | {"started": f"2026-01-0{int(run[-1]) + 1}"}
        write_run(self.store, record)
        return {name: outcome.artifact.key for name, outcome in made.items()}

    def stored(self) -> set[tuple[str, str]]:
        return {
            (folder.name[2:], path.name)
            for folder in self.place.glob("[0-9]-*")
            for path in folder.iterdir()
        }

    def used_bytes(self) -> int:
        """The space on the disk: a file with several names counts once."""
        files = [path.lstat() for path in self.place.rglob("*") if path.is_file()]
        return sum({status.st_ino: status.st_size for status in files}.values())

    def folder(self, number: int, stage: str) -> Path:
        (folder,) = self.place.glob(f"[0-9]-{stage}/{self.keys[number][stage]}")
        return folder


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def places(items: list[Pruned]) -> set[tuple[str, str]]:
    return {(item.stage, item.key) for item in items}


def test_only_what_the_newest_run_refers_to_stays(case: Case) -> None:
    """The older run's clean artifact goes; what both share stays, whole."""
    old = ("clean", case.keys[0]["clean"])
    before = case.stored()
    found = prune(case.store)
    assert places(found.removed) == {old}
    assert case.stored() == before - {old} == set(case.keys[1].items())
    assert {item.why for item in found.kept} == {"run run1 of small (done)"}
    assert find_damage(case.store) == []
    assert {made.state for made in run_all_again(case).values()} == {"cached"}


def run_all_again(case: Case) -> Any:
    return run_all(small_config(case.place, case.texts, clean=LATER), until="tokenizer")


def test_a_dry_run_says_the_same_and_changes_nothing(case: Case) -> None:
    """Down to the bytes that would be freed."""
    before = sorted(case.place.rglob("*"))
    planned = prune(case.store, dry_run=True)
    assert sorted(case.place.rglob("*")) == before
    done = prune(case.store)
    assert planned.to_json() | {"dry_run": False} == done.to_json()
    assert done.freed_bytes > 0


def test_freed_bytes_are_what_the_disk_has_more_of(case: Case) -> None:
    """Units that the newer artifact took over are hard links: their removal frees nothing."""
    before = case.used_bytes()
    found = prune(case.store)
    (item,) = found.removed
    assert item.bytes > item.freed_bytes == found.freed_bytes == before - case.used_bytes()


def test_the_last_of_several_names_frees_the_bytes(case: Case) -> None:
    """Nothing is counted twice or never, when all that share a file go, in a dry run too."""
    point_latest(case.store, "7-publish/none", "letters")
    before = case.used_bytes()
    planned = prune(case.store, 0, dry_run=True)
    assert len(planned.removed) == 4
    done = prune(case.store, 0)
    assert planned.freed_bytes == done.freed_bytes == before - case.used_bytes()
    assert case.stored() == set()


def test_more_runs_are_kept_when_asked(case: Case) -> None:
    """`--keep 2` keeps both; a run of another name is counted for itself."""
    assert prune(case.store, 2).removed == []
    other = case.run("run7", name="other", clean={"filters": {"min_characters": 7}})
    found = prune(case.store)
    assert places(found.removed) == {("clean", case.keys[0]["clean"])}
    assert other["clean"] in {item.key for item in found.kept}


def test_what_latest_points_to_stays_with_what_it_was_made_from(case: Case) -> None:
    """Whatever runs came after it: the model in use can still be verified and repaired."""
    tokenizer = case.keys[0]["tokenizer"]
    point_latest(case.store, f"3-tokenizer/{tokenizer}", "letters")
    found = prune(case.store, 0)
    artifact = read_manifest(case.store, f"3-tokenizer/{tokenizer}")
    assert artifact is not None
    made_from = {(name, entry["key"]) for name, entry in artifact.manifest["inputs"].items()}
    assert places(found.kept) == {("tokenizer", tokenizer)} | made_from
    assert {item.why for item in found.kept} == {"latest points to it"}


def test_what_the_config_in_hand_leads_to_stays(case: Case) -> None:
    """Somebody is about to run it again."""
    config = case.place.parent / "small.yaml"
    settings = small_config(case.place, case.texts)
    config.write_text(json.dumps(settings.model_dump(mode="json", by_alias=True)))
    done = CliRunner().invoke(prune_command, [str(config), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["removed"] == []
    assert {"the config leads to it"} < {item["why"] for item in told["kept"]}


def test_a_folder_under_a_live_lease_is_not_touched(case: Case) -> None:
    """Nor its siblings, from which that run may take units over."""
    folder = f"2-clean/{case.keys[1]['clean']}"
    with Lease(case.store, folder).held(lambda _: None):
        found = prune(case.store, 0)
    assert {item.why for item in found.kept} == {
        f"process {os.getpid()} works on it",
        "a run works on clean and may take units over from it",
    }
    assert {stage for stage, _ in case.stored()} == {"clean"}


def test_a_run_that_begins_at_the_last_moment_wins(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is taken before anything is removed; who has it keeps the artifact."""
    folder = case.folder(0, "clean")
    held, done = threading.Event(), threading.Event()

    def work() -> None:
        with Lease(case.store, f"2-clean/{folder.name}").held(lambda _: None):
            held.set()
            done.wait(30)

    worker = threading.Thread(target=work)

    def begin_then_weigh(*arguments: Any) -> tuple[int, int]:
        worker.start()
        held.wait(30)
        return weigh(*arguments)

    monkeypatch.setattr(pruning, "weigh", begin_then_weigh)
    try:
        found = prune(case.store)
    finally:
        done.set()
        worker.join()
    assert found.removed == []
    assert found.freed_bytes == 0
    assert "a run has just begun to use it" in {item.why for item in found.kept}
    assert folder.joinpath(MANIFEST).exists()


def test_a_run_that_begins_while_others_are_removed_keeps_what_it_finds_done(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes an old artifact from the store, under no lease, for as long as it runs."""

    def begin(*arguments: Any) -> tuple[int, int]:
        record = {"run": "late", "name": "other", "started": "2026-02", "state": "running"}
        write_run(case.store, {**record, "stages": [], "process": this_process()})
        return weigh(*arguments)

    monkeypatch.setattr(pruning, "weigh", begin)
    before = case.stored()
    found = prune(case.store)
    assert not found.removed
    assert case.stored() == before
    assert "a run has just begun to use it" in {item.why for item in found.kept}


def test_a_run_under_way_keeps_its_artifacts(case: Case) -> None:
    """Those it has told of, and those made since it began that it has not told of yet."""
    config = small_config(case.place, case.texts)
    record = run_record(config, {}, "run9") | {"state": "running", "process": this_process()}
    write_run(case.store, record | {"started": "2026-02-01"})
    assert prune(case.store).removed == []
    gone = {**this_process(), "process_start": 1.0}
    write_run(case.store, record | {"started": "2026-02-01", "process": gone})
    assert places(prune(case.store).removed) == {("clean", case.keys[0]["clean"])}


def test_unfinished_artifacts_stay_while_they_are_young(case: Case) -> None:
    """The next run goes on from them; one that nobody touched for a week goes."""
    folder = case.folder(0, "clean")
    folder.joinpath(MANIFEST).unlink()
    assert prune(case.store).removed == []
    week = time.time() - 8 * 86_400
    for path in folder.rglob("*"):
        os.utime(path, (week, week))
    assert prune(case.store, partial_days=10).removed == []
    (item,) = prune(case.store).removed
    assert (item.key, item.state) == (folder.name, "partial")


def test_a_removal_cut_short_never_leaves_a_whole_one(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any point after its first step: there is no manifest, and the rest is swept."""
    folder = case.folder(0, "clean")

    def killed(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(case.store)
    assert not folder.exists()
    (rest,) = [path for path in folder.parent.iterdir() if path.name.startswith(".")]
    assert not rest.joinpath(MANIFEST).exists()
    assert find_damage(case.store) == []
    found = prune(case.store)
    assert found.temporary["files"] > 0
    assert not rest.exists()


def test_what_dead_writers_left_is_swept(case: Case) -> None:
    """Temporary files and work folders go; a write that may be under way stays."""
    folder = case.folder(1, "clean")
    left = [
        folder / ".manifest.json.0a1b2c3d.tmp",
        folder / "units" / ".x.json.0a1b2c3d.tmp",
        folder / ".work" / "x" / "half.arrow",
        case.place / "runs" / ".run1.json.0a1b2c3d.tmp",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    hours = time.time() - 2 * 3600
    os.utime(left[-1], (hours, hours))
    young = case.place / "runs" / ".run9.json.0a1b2c3d.tmp"
    young.write_bytes(b"half")
    assert prune(case.store, 2, dry_run=True).temporary == {"files": 4, "freed_bytes": 16}
    assert all(path.exists() for path in left)
    assert prune(case.store, 2).temporary == {"files": 4, "freed_bytes": 16}
    assert not any(path.exists() for path in left)
    assert young.exists()
    assert folder.joinpath(MANIFEST).exists()


def test_kept_runs_are_the_published_ones_and_the_newest() -> None:
    """A run that stopped at the tokenizer does not push out the model before it."""
    runs: list[dict[str, Any]] = [
        {"run": "5", "name": "a", "state": "failed", "stages": [], "model": None},
        {"run": "4", "name": "a", "state": "done", "stages": [], "model": None},
        {"run": "3", "name": "a", "state": "done", "stages": [], "model": "m"},
        {"run": "2", "name": "a", "state": "done", "stages": [], "model": "m"},
        {"run": "1", "name": "b", "state": "done", "stages": [], "model": None},
        {"run": "0", "name": "b", "state": "failed", "stages": [], "model": None},
    ]

    def kept(num_runs: int) -> list[str]:
        return sorted(str(run["run"]) for run, _ in kept_runs(runs, num_runs))

    assert kept(0) == []
    assert kept(1) == ["1", "3", "5"]
    assert kept(2) == ["1", "2", "3", "5"]


def test_a_full_disk_is_no_hindrance(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what prune is for, and there is not even space for a lease."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*arguments: Any, **options: Any) -> None:
        with explained("a lease"):
            raise full

    for name in {"write", "create"} & set(dir(case.store)):
        monkeypatch.setattr(type(case.store), name, refuse)
    with pytest.raises(StageError, match="roberta prune"):
        case.store.write("more", b"")
    old = ("clean", case.keys[0]["clean"])
    assert places(prune(case.store).removed) == {old}
    assert old not in case.stored()


def test_a_store_without_runs_is_not_emptied_by_default(case: Case) -> None:
    """Lost records are no reason to lose the rest."""
    for path in case.place.joinpath("runs").iterdir():
        path.unlink()
    before = case.stored()
    with pytest.raises(UserError, match="no run is recorded here"):
        prune(case.store)
    assert case.stored() == before


def test_the_command_tells_what_and_why(case: Case, tmp_path: Path) -> None:
    """A table for people; a mistyped store is a mistake and not an empty one."""
    roberta = Command(tmp_path, tmp_path / "home")
    done = roberta("prune", "--store", case.place, "--dry-run")
    assert done.code == 0, done.err
    assert has_row(done.out, case.keys[0]["clean"], "would go", "no kept run refers to it")
    assert has_row(done.out, case.keys[1]["clean"], "kept", "run run1 of small (done)")
    assert "MB would be freed" in done.out
    mistyped = roberta("prune", "--store", "absent")
    assert mistyped.code == 2
    assert "there is no store" in mistyped.err


def has_row(text: str, *words: str) -> bool:
    return any(all(word in line for word in words) for line in text.splitlines())
