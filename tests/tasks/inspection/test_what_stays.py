"""What a prune keeps and counts, rule by rule: references, suites, links, leftovers."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hand_made import GONE, hand_made, hand_made_run, output

from tasks.engine.lease import Lease, this_process
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection import prune as pruning
from tasks.inspection.freed_space import Links, local_files, weigh
from tasks.inspection.in_work import lease_taken, live_owner
from tasks.inspection.leftovers import sweep
from tasks.inspection.prune import Pruned, Pruning, _idle_days, prune
from tasks.inspection.references import find_references, kept_runs
from tasks.inspection.suites import Models
from tasks.publishing.latest import point_latest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def whys(items: list[Pruned]) -> dict[str, str]:
    return {item.key: item.why for item in items}


def test_the_first_reason_wins_latest_before_a_run_before_a_config(store: Store) -> None:
    hand_made(store, "publish", "p", made_from={"pack": "k", "evaluate": "e"})
    point_latest(store, "7-publish/p", "letters")
    hand_made_run(store, "one", {"pack": "k", "clean": "c", "tokenizer": ""})
    found = find_references(store, 1, {"clean": "c", "download": "d", "pack": "k"})
    assert found == {
        ("publish", "p"): "latest points to it",
        ("pack", "k"): "latest points to it",
        ("evaluate", "e"): "latest points to it",
        ("clean", "c"): "run one of letters (done)",
        ("download", "d"): "the config leads to it",
    }


def test_what_a_pipelines_own_name_points_to_stays_though_latest_has_gone_on(store: Store) -> None:
    hand_made(store, "publish", "old", made_from={"pack": "k"})
    point_latest(store, "7-publish/old", "mail")
    point_latest(store, "7-publish/new", "letters")
    assert find_references(store, 0) == {
        ("publish", "new"): "latest points to it",
        ("publish", "old"): "models/mail points to it",
        ("pack", "k"): "models/mail points to it",
    }


def test_what_is_under_way_is_kept_however_many_runs_are(store: Store) -> None:
    """With its own reason; one whose process is gone is under way no more."""
    runs: list[dict[str, Any]] = [
        {"run": run, "name": "a", "state": "running", "started": "2026", "process": process}
        for run, process in (("3", this_process()), ("2", GONE), ("1", this_process()))
    ]
    for num_runs in (0, 1):
        assert [(run["run"], why) for run, why in kept_runs(runs, num_runs)] == [
            ("3", "run 3 of a is under way"),
            ("1", "run 1 of a is under way"),
        ]


def test_as_many_published_runs_are_kept_as_asked_and_one_that_may_go_on() -> None:
    runs: list[dict[str, Any]] = [
        {"run": str(n), "name": "a", "state": state, "model": model}
        for n, state, model in (
            (6, "stopped", None),
            (5, "failed", None),
            (4, "done", "m"),
            (3, "done", None),
            (2, "done", "m"),
            (1, "done", "m"),
        )
    ]
    for num_runs, kept in (
        (0, []),
        (1, ["6", "4"]),
        (2, ["6", "4", "2"]),
        (3, ["6", "4", "2", "1"]),
    ):
        assert [run["run"] for run, _ in kept_runs(runs, num_runs)] == kept
    assert [why for _, why in kept_runs(runs, 1)] == ["run 6 of a (stopped)", "run 4 of a (done)"]


def suite(store: Store, **externals: str) -> Artifact:
    return hand_made(store, "suite", "s", externals=externals)


def test_results_stay_with_all_weights_of_the_model_that_was_asked(store: Store) -> None:
    """One file of two that is gone makes it another model; what is no weights tells nothing."""
    models = Models()
    kept = [output(f"model/{n}.safetensors", sha256=f"w{n}") for n in (1, 2)]
    models.note("publish", hand_made(store, "publish", "b", outputs=kept), removed=False)
    gone = [output("model/3.safetensors", sha256="w3"), output("model/config.json", sha256="w4")]
    models.note("publish", hand_made(store, "publish", "a", outputs=gone), removed=True)
    ours = {"<model>/1.safetensors": "w1", "<model>/2.safetensors": "w2", "<model>/x.json": "z"}
    assert models.why(suite(store, **ours), strangers=False) == (
        "they are of the model in 7-publish/b",
        False,
    )
    for digest in ("w3", "w4", "w5"):
        why, goes = models.why(
            suite(store, **{**ours, "<model>/3.safetensors": digest}), strangers=True
        )
        assert (why, goes) == (
            ("the model that was asked goes too", True)
            if digest == "w3"
            else ("the model that was asked lies elsewhere; --keep 0 removes them", False)
        )


def test_results_of_a_stranger_go_only_where_that_is_asked_for(store: Store) -> None:
    told = "the model that was asked lies elsewhere"
    for externals in ({}, {"<model>/1.safetensors": "w"}, {"data/1.safetensors": "w1"}):
        models = Models()
        file = output("model/1.safetensors", sha256="w1")
        models.note("publish", hand_made(store, "publish", "b", outputs=[file]), removed=False)
        assert models.why(suite(store, **externals), strangers=False) == (told, True)
        assert models.why(suite(store, **externals), strangers=True)[1] is False


def test_a_file_is_freed_with_the_last_of_its_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"12345")
    second.hardlink_to(first)
    links = Links(forgetful=False)
    links.begin()
    assert links.freed_by(first) == 0
    links.begin()
    assert links.freed_by(second) == 5
    forgetful = Links(forgetful=True)
    assert forgetful.freed_by(first) == 0
    forgetful.begin()
    assert forgetful.freed_by(second) == 0, "the other name is still counted by the disk"


def test_a_folder_weighs_what_its_files_do_links_not_followed(store: Store) -> None:
    folder = Path(store.url("4-pack/k"))
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / ".x.tmp").write_bytes(b"12")
    (folder / "a").write_bytes(b"345")
    (Path(store.url("")) / "large").write_bytes(b"0" * 999)
    (folder / "link").symlink_to("../../large")
    size = len("../../large")
    assert sorted(path.name for path in local_files(folder)) == [".x.tmp", "a", "link"]
    assert weigh(store, "4-pack/k", Links(forgetful=True)) == (5 + size, 5 + size)
    remote = open_store("memory://weighed")
    remote.write("4-pack/k/a", b"345")
    remote.write("4-pack/k/deep/b", b"6")
    assert weigh(remote, "4-pack/k", Links(forgetful=True)) == (4, 4)


def test_freed_bytes_are_those_of_artifacts_and_of_leftovers() -> None:
    pruning = Pruning("s", False, temporary={"files": 1, "freed_bytes": 7})
    pruning.removed = [
        Pruned("pack", "a", "done", "", 100, 40),
        Pruned("pack", "b", "done", "", 9, 2),
    ]
    pruning.kept = [Pruned("clean", "c", "done", "wanted")]
    assert pruning.freed_bytes == 49
    told = pruning.to_json()
    assert told["freed_bytes"] == 49
    assert told["kept"] == [{"stage": "clean", "key": "c", "state": "done", "why": "wanted"}]
    assert told["removed"][0]["freed_bytes"] == 40


def test_what_was_made_since_a_run_began_stays_and_what_was_made_before_goes(store: Store) -> None:
    """The run that began first counts; the very second it began belongs to it."""
    for run, started in (("b", "2026-01-05"), ("a", "2026-01-03")):
        hand_made_run(store, run, started=started, state="running", process=this_process())
    for key, ended in (("before", "2026-01-02"), ("same", "2026-01-03"), ("since", "2026-01-04")):
        hand_made(store, "pack", key, ended=ended)
    found = prune(store, 0)
    assert whys(found.kept) == dict.fromkeys(
        ("same", "since"), "it was made since a run began that is under way"
    )
    assert whys(found.removed) == {"before": "no kept run refers to it"}


def test_an_unfinished_artifact_is_as_old_as_its_youngest_file(store: Store) -> None:
    for name, days in (("old", 9), ("young", 3)):
        store.write(f"4-pack/k/{name}", b"x")
        moment = time.time() - days * 86_400
        os.utime(store.url(f"4-pack/k/{name}"), (moment, moment))
    assert _idle_days(store, "4-pack/k") == pytest.approx(3, abs=0.01)
    found = prune(store, 0, partial_days=4, dry_run=True)
    assert whys(found.kept) == {"k": "unfinished, last touched 3.0 days ago"}
    found = prune(store, 0, partial_days=2.5, dry_run=True)
    assert whys(found.removed) == {"k": "unfinished, and untouched for 2.5 days"}


def test_unfinished_artifacts_are_kept_for_a_week_unless_told_otherwise(store: Store) -> None:
    for key, days in (("six", 6.9), ("seven", 7.1)):
        store.write(f"4-pack/{key}/x", b"x")
        moment = time.time() - days * 86_400
        os.utime(store.url(f"4-pack/{key}/x"), (moment, moment))
    found = prune(store, 0, dry_run=True)
    assert ([*whys(found.kept)], [*whys(found.removed)]) == (["six"], ["seven"])


def test_of_no_days_nothing_unfinished_is_too_young(store: Store) -> None:
    """Though the clock of who wrote it is ahead."""
    store.write("4-pack/k/x", b"x")
    os.utime(store.url("4-pack/k/x"), (time.time() + 60, time.time() + 60))
    assert [*whys(prune(store, 0, partial_days=0, dry_run=True).removed)] == ["k"]


def test_what_a_run_has_finished_since_the_plan_was_made_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That run is over, and its lease free again."""
    store.write("4-pack/k/x", b"x")
    os.utime(store.url("4-pack/k/x"), (0, 0))

    def finish_then_weigh(*arguments: Any) -> tuple[int, int]:
        hand_made(store, "pack", "k")
        return weigh(*arguments)

    monkeypatch.setattr(pruning, "weigh", finish_then_weigh)
    found = prune(store, 0)
    assert found.removed == []
    assert whys(found.kept) == {"k": "a run has just begun to use it"}
    assert read_manifest(store, "4-pack/k") is not None


def test_a_store_that_cannot_tell_when_keeps_what_is_unfinished(monkeypatch: Any) -> None:
    store = open_store("memory://untold")
    store.write("4-pack/k/x", b"x")
    store.write("4-pack/k/y", b"y")
    monkeypatch.setattr(type(store), "modified", lambda _, path: 1.0 if path[-1] == "x" else None)
    assert _idle_days(store, "4-pack/k") == 0.0


def test_only_an_old_temporary_file_outside_of_artifacts_was_left_by_the_dead(store: Store) -> None:
    names = {".old.json.0a1b2c3d.tmp": 3_700, ".young.json.0a1b2c3d.tmp": 3_500}
    for folder in ("", "runs/"):
        for name, seconds in names.items():
            store.write(f"{folder}{name}", b"12345")
            moment = time.time() - seconds
            os.utime(store.url(f"{folder}{name}"), (moment, moment))
    store.write("runs/one.json", b"{}")
    assert sweep(store, [], Links(forgetful=True), dry_run=True) == (2, 10)
    assert sweep(store, [], Links(forgetful=True), dry_run=False) == (2, 10)
    left = sorted(path.name for path in local_files(Path(store.url(""))))
    assert left == [".young.json.0a1b2c3d.tmp"] * 2 + ["one.json"]


def test_what_somebody_works_in_is_not_swept(store: Store) -> None:
    """A work folder and half a file are his, until he is gone."""
    store.write("4-pack/k/.work/x/half", b"12345")
    store.write("4-pack/k/.rows.arrow.0a1b2c3d.tmp", b"1")
    store.write("4-pack/k/rows.arrow", b"whole")
    with Lease(store, "4-pack/k").held(lambda _: None):
        for dry_run in (True, False):
            assert sweep(store, ["4-pack/k"], Links(forgetful=True), dry_run=dry_run) == (0, 0)
    assert sweep(store, ["4-pack/k"], Links(forgetful=True), dry_run=False) == (2, 6)
    left = [
        path.name for path in local_files(Path(store.url("4-pack/k"))) if ".lease" not in path.parts
    ]
    assert left == ["rows.arrow"]


def test_whoever_finds_a_lease_taken_is_told_and_takes_nothing(store: Store) -> None:
    with Lease(store, "4-pack/k").held(lambda _: None):
        owner = live_owner(store, "4-pack/k")
        assert owner is not None
        assert owner["pid"] == os.getpid()
        with lease_taken(store, "4-pack/k") as ours:
            assert ours is False
        assert live_owner(store, "4-pack/k") is not None
    assert live_owner(store, "4-pack/k") is None
    with lease_taken(store, "4-pack/k") as ours:
        assert ours is True
        assert live_owner(store, "4-pack/k") is not None
    assert live_owner(store, "4-pack/k") is None
