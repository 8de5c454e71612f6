"""Drift: every field, library, file and input that differs is named, and nothing else is."""

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made

from tasks.config import Config
from tasks.engine.identity import library_versions
from tasks.engine.runner import StageIdentity
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile
from tasks.inspection.drift import changed_fields, changed_settings, describe, drift, drift_from

NEW = {"rows": 2, "deep": {"a": 1}}


def _config(_: Config) -> Any:
    return None


def _run(_: StageContext[Any]) -> StageReport:
    return StageReport()


STAGE: Stage[Any] = Stage("pack", 4, 3, ("clean", "tokenizer"), _config, _run, libraries=("numpy",))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def differences(store: Store, files: dict[str, StoredFile] | None = None, **old: Any) -> Any:
    """What differs of the stage as it is now from an artifact that was otherwise."""
    clean = hand_made(store, "clean", "c1")
    before = {
        "version": 3,
        "libraries": library_versions(STAGE.libraries),
        "config": NEW,
        "made_from": {"clean": "c1", "tokenizer": "t1"},
        **old,
    }
    newest = hand_made(store, "pack", "p", **before)
    return drift(STAGE, NEW, files or {}, {"clean": clean}, newest)


def test_a_leaf_that_came_or_went_is_a_difference_too() -> None:
    found = changed_fields({"a": 1, "b": {"c": 2}, "gone": 3}, {"a": 1, "b": {"c": 4}, "new": None})
    assert found == [
        {"field": "b.c", "before": 2, "after": 4},
        {"field": "gone", "before": 3, "after": None},
        {"field": "new", "before": None, "after": None},
    ]
    assert changed_fields(NEW, NEW) == []


def test_the_same_identity_has_no_drift(store: Store) -> None:
    """An input that is not made yet (the tokenizer here) is left out of the comparison."""
    assert differences(store) == []


def test_version_library_and_field_are_told_in_this_order(store: Store) -> None:
    old = {"numpy": "1.0"}
    found = differences(store, version=2, libraries=old, config={"rows": 1, "deep": {"a": 1}})
    assert found == [
        {"field": "stage version", "before": 2, "after": 3},
        {"field": "library numpy", "before": "1.0", "after": metadata.version("numpy")},
        {"field": "rows", "before": 1, "after": 2},
    ]
    assert describe(found[2]) == "rows: 1 -> 2"


def test_an_input_of_other_bytes_is_told_by_its_keys(store: Store) -> None:
    (found,) = differences(store, made_from={"clean": "c0", "tokenizer": "t0"})
    assert found == {"field": "input clean", "before": "c0", "after": "c1"}
    (found,) = differences(store, made_from={"tokenizer": "t0"})
    assert found == {"field": "input clean", "before": None, "after": "c1"}


def test_outside_files_are_told_by_name_changed_new_and_gone(store: Store) -> None:
    now = {
        label: StoredFile(f"/{label}.txt", digest, 1, None)
        for label, digest in (("a", "a2"), ("b", "b1"), ("c", "c1"))
    }
    names = [{"sha256": "a1", "name": "/a.txt"}, {"sha256": "d1", "name": "/d.txt"}]
    old = {"a": "a1", "b": "b1", "d": "d1"}
    (found,) = differences(store, now, externals=old, summary={"files": names})
    assert found["field"] == "files"
    assert found["before"] == "3 files"
    assert found["after"] == "3 files (changed: /a.txt; new: /c.txt; gone: /d.txt)"


def test_a_file_that_no_summary_names_is_known_by_its_label(store: Store) -> None:
    """It once was told as new, and its label as gone, where only its bytes had changed."""
    now = {"mood/train": StoredFile("/train.csv", "t2", 1, None)}
    (found,) = differences(store, now, externals={"mood/train": "t1", "mood/test": "x1"})
    assert found["after"] == "1 file (changed: /train.csv; gone: mood/test)"


def test_the_same_files_under_other_labels_are_read_otherwise(store: Store) -> None:
    now = {"x": StoredFile("/a.txt", "a1", 1, None)}
    (found,) = differences(store, now, externals={"a": "a1"})
    assert (found["before"], found["after"]) == (
        "1 file",
        "1 file (read in another way or order)",
    )


def test_of_many_files_three_are_named_and_the_rest_counted(store: Store) -> None:
    now = {str(n): StoredFile(f"/{n}", f"new{n}", 1, None) for n in range(5)}
    (found,) = differences(store, now)
    assert found["after"] == "5 files (new: /0, /1, /2 and 2 more)"


def test_inputs_are_no_drift_of_what_stands_whatever_they_are(store: Store) -> None:
    clean = hand_made(store, "clean", "c1")
    newest = hand_made(
        store,
        "pack",
        "p",
        version=3,
        libraries=library_versions(STAGE.libraries),
        config=NEW,
        made_from={"clean": "c0"},
    )
    for stands, fields in ((True, []), (False, ["input clean"])):
        identity = StageIdentity("k", NEW, {}, {"clean": clean}, stands)
        assert [each["field"] for each in drift_from(STAGE, identity, newest)] == fields


def test_a_path_that_a_deployment_made_absolute_is_no_change_of_the_config() -> None:
    """Of a pipeline that is run from a terminal and by a server `status` once listed every path."""
    before = {"store": "./artifacts", "paths": ["a/*.txt", "b.csv"], "name": "x", "steps": 1}
    after = {"store": "/srv/artifacts", "paths": ["/srv/a/*.txt", "/srv/c.csv"], "name": "y"}
    fields = [change["field"] for change in changed_settings(before, {**after, "steps": 2})]
    assert fields == ["name", "paths.1", "steps"]
    assert changed_settings({"store": "/srv/a"}, {"store": "/mnt/a"})
