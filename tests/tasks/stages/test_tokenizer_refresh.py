"""`tokenizer.refresh: never`: the first tokenizer of a pipeline stays while its text changes."""

from pathlib import Path
from typing import Any

import pytest
from small_corpus import SMALL, run_small, small_config, times_of, write_texts

from tasks.engine.progress import Progress
from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.inspection.ledger_path import finished_artifacts, known_keys
from tasks.inspection.plan import explain, make_plan
from tasks.inspection.runs import write_run
from tasks.inspection.verify import find_damage, repair
from tasks.stages import get_stage

NEVER: dict[str, Any] = {"tokenizer": {**SMALL["tokenizer"], "refresh": "never"}}
OLD = [f"Document {n} of the first night: {n * 7} herrings were caught." for n in range(40)]
NEW = [f"The {n}th quotation mentions jazz, quartz and {n * 3} sphinxes." for n in range(40)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of texts, to be joined by a second one."""
    return write_texts(tmp_path / "texts", OLD, "old")


def test_new_text_leaves_the_tokenizer_and_what_it_encoded(tmp_path: Path, folder: Path) -> None:
    """The tokenizer is cached, the old file's tokens are taken over, the new one's are made."""
    before = run_small(tmp_path / "store", folder, "pack", **NEVER)
    write_texts(folder, NEW, "new")
    after = run_small(tmp_path / "store", folder, "pack", **NEVER)
    assert after["tokenizer"].state == "cached"
    assert after["tokenizer"].artifact.key == before["tokenizer"].artifact.key
    assert after["clean"].artifact.key != before["clean"].artifact.key
    old, new = times_of(before["pack"].artifact), times_of(after["pack"].artifact)
    anew = [u for u in after["pack"].artifact.units if u.label.startswith("encoded/train/")]
    assert [new[unit.key] == old.get(unit.key) for unit in anew].count(False) == 1


def test_by_default_it_is_learnt_from_the_text_as_it_is(tmp_path: Path, folder: Path) -> None:
    """So a run's results do not depend on what ran before."""
    before = run_small(tmp_path / "store", folder, "tokenizer")
    write_texts(folder, NEW, "new")
    after = run_small(tmp_path / "store", folder, "tokenizer")
    alone = run_small(tmp_path / "other", folder, "tokenizer")
    digests = [outcomes["tokenizer"].artifact.digest for outcomes in (before, after, alone)]
    assert digests[0] != digests[1] == digests[2]


def test_a_pipeline_of_another_name_has_its_own(tmp_path: Path, folder: Path) -> None:
    """Two pipelines in one store, with the same settings and other texts."""
    other = write_texts(tmp_path / "other", NEW)
    first = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    second = run_small(tmp_path / "store", other, "tokenizer", name="other", **NEVER)
    assert first["tokenizer"].artifact.digest != second["tokenizer"].artifact.digest
    alone = run_small(tmp_path / "alone", other, "tokenizer", name="other", **NEVER)
    assert second["tokenizer"].artifact.digest == alone["tokenizer"].artifact.digest


def test_one_that_is_given_is_checked_on_new_text(tmp_path: Path, folder: Path) -> None:
    """With `from`, its file says what it is: `refresh: never` holds nothing back."""
    learnt = run_small(tmp_path / "first", folder, "tokenizer")["tokenizer"].artifact
    given = {**SMALL["tokenizer"], "refresh": "never"}
    given["from"] = str(learnt.file("tokenizer/tokenizer.json").local().parent)
    before = run_small(tmp_path / "store", folder, "tokenizer", tokenizer=given)["tokenizer"]
    write_texts(folder, NEW, "new")
    after = run_small(tmp_path / "store", folder, "tokenizer", tokenizer=given)["tokenizer"]
    assert after.artifact.key != before.artifact.key
    checked = [made.artifact.summary["check"]["documents"] for made in (before, after)]
    assert checked == [40, 80]


def test_plan_and_explain_know_that_it_stays(tmp_path: Path, folder: Path) -> None:
    """Even while the stages before it have yet to run."""
    run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    write_texts(folder, NEW, "new")
    config, store = (
        small_config(tmp_path / "store", folder, **NEVER),
        open_store(str(tmp_path / "store")),
    )
    plans = {plan.name: plan for plan in make_plan(config, store)}
    assert (plans["download"].action, plans["clean"].action) == ("run", "run")
    assert plans["tokenizer"].action == "cached"
    assert plans["tokenizer"].why == ["it stays as it was first made"]
    assert explain(config, store, "tokenizer")["differences"] == []
    assert set(known_keys(config, store)) == {"download", "tokenizer"}
    assert set(finished_artifacts(config, store)) == {"tokenizer"}


def test_force_learns_it_anew(tmp_path: Path, folder: Path) -> None:
    """From the text as it is now, under the same key."""
    before = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    write_texts(folder, NEW, "new")
    made = {
        name: outcome.artifact
        for name, outcome in run_small(tmp_path / "store", folder, "tokenizer", **NEVER).items()
    }
    config, store = (
        small_config(tmp_path / "store", folder, **NEVER),
        open_store(str(tmp_path / "store")),
    )
    again = run_stage(get_stage("tokenizer"), config, store, made, force="again").artifact
    assert again.key == before["tokenizer"].artifact.key
    assert again.digest != before["tokenizer"].artifact.digest
    assert again.manifest["inputs"]["clean"]["key"] == made["clean"].key


def test_what_was_learnt_anew_encodes_in_workers_that_knew_the_old_one(
    tmp_path: Path, folder: Path
) -> None:
    """It lies at the same place: a worker that outlives a run (Dask's do) must look at bytes."""
    run_small(tmp_path / "store", folder, "pack", **NEVER)
    write_texts(folder, NEW, "new")
    clean = run_small(tmp_path / "store", folder, "clean", **NEVER)["clean"].artifact
    config = small_config(tmp_path / "store", folder, **NEVER)
    store = open_store(config.store)
    run_stage(get_stage("tokenizer"), config, store, {"clean": clean}, force="again")
    packed = run_small(tmp_path / "store", folder, "pack", **NEVER)["pack"].artifact
    alone = run_small(tmp_path / "other", folder, "pack", **NEVER)["pack"].artifact
    assert packed.digest == alone.digest


def damage(outcomes: Any) -> None:
    """Spoil a byte of the tokenizer in a way that its size does not tell."""
    path = outcomes["tokenizer"].artifact.file("tokenizer/tokenizer.json").local()
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def test_damage_is_mended_while_the_text_is_the_same(tmp_path: Path, folder: Path) -> None:
    """It comes out as it was."""
    before = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    digest = before["tokenizer"].artifact.digest
    damage(before)
    after = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    assert (after["tokenizer"].state, after["tokenizer"].artifact.digest) == ("done", digest)


def test_damage_after_the_text_has_changed_is_never_papered_over(
    tmp_path: Path, folder: Path
) -> None:
    """Another tokenizer in its place would silently give other ids: say so, touch nothing."""
    before = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    write_texts(folder, NEW, "new")
    damage(before)
    for _ in range(2):
        with pytest.raises(StageError, match=r"tokenizer: its files .* --force tokenizer"):
            run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    store = open_store(str(tmp_path / "store"))
    assert store.exists(f"{before['tokenizer'].artifact.folder}/manifest.json")


def test_repair_takes_only_the_text_that_it_was_learnt_from(tmp_path: Path, folder: Path) -> None:
    """A later run had the same tokenizer and other text; the first run's is the right one."""
    store = open_store(str(tmp_path / "store"))
    first = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    write_texts(folder, NEW, "new")
    second = run_small(tmp_path / "store", folder, "tokenizer", **NEVER)
    for number, outcomes in enumerate((first, second)):
        config = small_config(tmp_path / "store", folder, **NEVER)
        stages = [{"name": n, "key": o.artifact.key, "state": "done"} for n, o in outcomes.items()]
        record = {
            "run": str(number),
            "name": "small",
            "state": "done",
            "started": f"2026-01-0{number + 1}",
        }
        values = config.model_dump(mode="json", by_alias=True)
        write_run(store, {**record, "seconds": 1.0, "stages": stages, "config": values})
    damage(first)
    found = find_damage(store)
    assert [entry["path"].rsplit("/", 1)[-1] for entry in found] == ["tokenizer.json"]
    (done,) = repair(store, found, None, Progress())
    assert done["state"] == "repaired"
    assert not find_damage(store)
    store.remove(first["clean"].artifact.folder)
    damage(first)
    with pytest.raises(UserError, match="stood while what it was made from changed"):
        repair(store, find_damage(store), None, Progress())
