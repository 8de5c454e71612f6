"""Estimates, rule by rule: what text costs, what the past tells, what a person reads of it."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from hand_made import hand_made, hand_made_run

from tasks.config import Config
from tasks.costs import cost_of_text, num_workers
from tasks.engine.executors import default_workers
from tasks.engine.identity import canonical
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.inspection import estimate
from tasks.inspection.estimate import (
    _corpus_size,
    _scaled,
    add_estimates,
    describe_estimate,
    free_disk_bytes,
    lacks_device,
    remarks_on,
)
from tasks.inspection.plan import StagePlan
from tasks.stages import get_stage

CONFIG = Config.model_validate(
    {"name": "letters", "corpus": [{"type": "docs"}], "engine": {"workers": 4}}
)
SIZE = {"documents": 10, "bytes": 8_000_000}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_text_is_shared_among_the_workers_and_each_has_its_memory() -> None:
    found = cost_of_text(SIZE, CONFIG, mb_per_second=0.5, disk_share=0.25)
    assert found == {
        "documents": 10,
        "bytes": 8_000_000,
        "disk_bytes": 2_000_000,
        "memory_bytes": 1_600_000_000,
        "seconds": 5.0,
    }
    alone = cost_of_text(SIZE, CONFIG, mb_per_second=0.5, disk_share=1, workers=1)
    assert (alone["seconds"], alone["memory_bytes"]) == (17.0, 1_600_000_000)


def test_there_are_as_many_workers_as_asked_for_or_as_the_machine_has() -> None:
    assert num_workers(CONFIG) == 4
    assert num_workers(Config.model_validate({"corpus": [{"type": "docs"}]})) == default_workers()


def test_a_stages_own_past_is_scaled_by_bytes_and_workers(store: Store) -> None:
    def earlier(taken: int, **provenance: Any) -> Any:
        entry = {"in": taken, "kept": 1, "dropped": {"x": taken - 1}}
        return hand_made(
            store, "clean", "c", ledger={"bytes": entry, "documents": entry}, provenance=provenance
        )

    assert _scaled(earlier(2_000_000, seconds=10.0), SIZE, CONFIG) == {"seconds": 10.0}
    assert _scaled(earlier(4_000_000, seconds=10.0), SIZE, CONFIG) == {"seconds": 5.0}
    assert _scaled(earlier(2_000_000), SIZE, CONFIG) == {}
    assert _scaled(earlier(0, seconds=10.0), SIZE, CONFIG) == {}
    assert _scaled(hand_made(store, "pack", "p", provenance={"seconds": 9.0}), SIZE, CONFIG) == {}


def test_a_corpus_that_was_downloaded_as_it_is_now_is_as_large_as_it_was_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.sources.table.estimate_corpus", lambda _: {"sampled": 1})
    assert _corpus_size(CONFIG, store) == {"sampled": 1}
    now = canonical(get_stage("download").config(CONFIG))
    for key, config, found in (
        ("same", now, {"documents": 7, "bytes": 70}),
        ("other", {**now, "more": 1}, {"sampled": 1}),
    ):
        ledger = {
            name: {"in": 9 * size, "kept": 7 * size, "dropped": {"x": 2 * size}}
            for name, size in (("documents", 1), ("bytes", 10))
        }
        hand_made(store, "download", key, config=config, ledger=ledger)
        hand_made_run(store, key, {"download": key}, started=f"2026 {len(key)}")
        assert _corpus_size(CONFIG, store) == found


def test_what_is_cached_costs_nothing_and_the_rest_is_estimated(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a stage has run before, its own seconds count."""
    asked: list[Any] = []

    def corpus_size(*given: Any) -> dict[str, int]:
        asked.append(given)
        return SIZE

    monkeypatch.setattr(estimate, "_corpus_size", corpus_size)
    cached = StagePlan("download", "d", "cached", [])
    add_estimates([cached], CONFIG, store)
    assert (cached.estimate, asked) == ({}, []), "nobody reads the corpus for nothing"
    entry = {"in": 2_000_000, "kept": 2_000_000, "dropped": {}}
    hand_made(store, "clean", "c", ledger={"bytes": entry}, provenance={"seconds": 12.0})
    hand_made_run(store, "r", {"clean": "c"})
    plans = [cached, *(StagePlan(name, None, "run", []) for name in ("clean", "tokenizer"))]
    add_estimates(plans, CONFIG, store)
    expected = [get_stage(name).estimate(CONFIG, SIZE) for name in ("clean", "tokenizer")]
    assert plans[0].estimate == {}
    assert plans[1].estimate == {**expected[0], "seconds": 12.0}
    assert plans[2].estimate == expected[1]


def test_an_estimate_is_told_in_a_line_and_what_stays_only_where_it_is_less() -> None:
    def told(**found: Any) -> str:
        return describe_estimate(StagePlan("pack", None, "run", [], found))

    cost = {"seconds": 90.0, "disk_bytes": 2_000_000, "memory_bytes": 4_000_000}
    assert told() == "-"
    assert told(**cost) == "90 s, 2.0 MB of disk, 4.0 MB of memory"
    assert told(**cost, kept_bytes=2_000_000) == told(**cost)
    assert told(documents=1234, bytes=5_000_000, kept_bytes=1_000_000, **cost) == (
        "1,234 documents, 5.0 MB of text, 90 s, 2.0 MB of disk (1.0 MB in the end), "
        "4.0 MB of memory"
    )


def test_a_remark_is_made_from_the_first_byte_and_second_too_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9, 9, 1000))
    memory = psutil.virtual_memory().total

    def remarks(**found: Any) -> int:
        cost = {"seconds": 1.0, "disk_bytes": 0, "memory_bytes": 0, **found}
        return len(remarks_on([StagePlan("clean", None, "run", [], cost)], CONFIG, store))

    month = 30 * 86_400
    assert [remarks(seconds=seconds) for seconds in (month, month + 1)] == [0, 1]
    assert [remarks(disk_bytes=size) for size in (1000, 1001)] == [0, 1]
    assert [remarks(memory_bytes=size) for size in (memory, memory + 1)] == [0, 1]
    assert remarks(seconds=2 * month, disk_bytes=2000, memory_bytes=2 * memory) == 3


def test_free_space_is_that_of_the_nearest_folder_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> Usage:
        asked.append(folder)
        return Usage(9, 8, 7)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert free_disk_bytes(open_store(str(tmp_path / "a" / "b"))) == 7
    assert asked == [tmp_path]
    assert free_disk_bytes(open_store("memory://x")) is None


def test_a_training_that_is_cached_lacks_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "missing_device", lambda config: f"none for {config.name}")
    for action, told in (
        ("run", "none for letters"),
        ("resume", "none for letters"),
        ("cached", None),
    ):
        assert lacks_device([StagePlan("pretrain", None, action, [])], CONFIG) == told
    assert lacks_device([StagePlan("evaluate", None, "run", [])], CONFIG) is None
