"""What the report may show of a stage is in its key; what differs between histories is not."""

from pathlib import Path
from typing import Any

import pytest

from tasks.engine.sealing import seal
from tasks.errors import StageError
from tasks.publishing.circumstances import (
    collect_circumstances,
    read_manifests,
    read_throughput,
)
from tasks.publishing.evidence import evidence_digest, evidence_of

MANIFEST: dict[str, Any] = {
    **{"stage": "clean", "key": "abc", "config": {"a": 1}, "output_digest": "d"},
    **{"ledger": {"documents": 7}, "figures": {"f": 2}},
    "summary": {"documents": 7, "files": ["secret.txt"]},
    **{"inputs": {"download": {"key": "x"}}, "units": [], "provenance": {"ended": "today"}},
}


@pytest.mark.parametrize(
    "part", ["stage", "key", "config", "output_digest", "ledger", "figures", "summary"]
)
def test_what_is_shown_is_in_the_key(part: str) -> None:
    changed = {**MANIFEST, part: {"other": 1}}
    assert evidence_digest(changed) != evidence_digest(MANIFEST)
    assert evidence_of(MANIFEST).keys() == {
        *("stage", "key", "config", "output_digest", "ledger", "figures", "summary")
    }


@pytest.mark.parametrize("part", ["inputs", "units", "provenance"])
def test_what_two_histories_of_a_result_differ_in_is_not(part: str) -> None:
    assert evidence_digest({**MANIFEST, part: "other"}) == evidence_digest(MANIFEST)


def test_names_of_source_files_are_neither_shown_nor_in_the_key() -> None:
    """They may tell who wrote what."""
    assert evidence_of(MANIFEST)["summary"] == {"documents": 7}
    renamed = {**MANIFEST, "summary": {"documents": 7, "files": ["other.txt"]}}
    assert evidence_digest(renamed) == evidence_digest(MANIFEST)
    assert MANIFEST["summary"]["files"] == ["secret.txt"], "the manifest itself stays"


def test_a_damaged_manifest_tells_no_figures(tmp_path: Path) -> None:
    """By its path; a whole one is read."""
    (tmp_path / "good").write_bytes(seal({"key": "k"}))
    (tmp_path / "bad").write_bytes(seal({"key": "k"}).replace(b'"k"', b'"j"'))
    assert read_manifests({"clean": tmp_path / "good"})["clean"]["key"] == "k"
    with pytest.raises(StageError, match=r"bad: this manifest is damaged\. Run `roberta verify"):
        read_manifests({"clean": tmp_path / "good", "pack": tmp_path / "bad"})


def trained(*intervals: dict[str, Any]) -> dict[str, Any]:
    unit = {"files": {".a": {"bytes": 5}}, "provenance": {"step": 9, "intervals": [*intervals]}}
    return {"units": [unit], "provenance": {"ended": "2026-01-02T03:04:05", "hosts": ["h1", "h2"]}}


def test_the_speed_is_told_of_intervals_that_were_measured() -> None:
    """One that knows its step alone was not."""
    measured = {"step": 20, "tokens_per_second": 7.5, "seconds": 2.0}
    assert read_throughput(trained({"step": 10}, measured)) == [(20, 7.5)]


def test_the_report_says_when_where_and_what_was_found_again() -> None:
    """The stages in their order, each with what it took; the end is that of the last."""
    clean = {
        "key": "k1",
        "headline": "7 documents",
        "units": [{"files": {".a": {"bytes": 3}}, "provenance": {"seconds": 4.0}}],
        "provenance": {"ended": "2026-01-01T00:00:00", "peak_memory_bytes": 11},
    }
    training = {**trained({"step": 9, "seconds": 6.0, "tokens_per_second": 1.0}), "key": "k2"}
    scored = {"key": "k3", "units": [], "provenance": {"ended": "2026-01-03T12:34:56"}}
    manifests = {"clean": clean, "pretrain": training, "evaluate": scored}
    states = {"clean": "cached", "pretrain": "done", "evaluate": "failed"}
    found = collect_circumstances(manifests, states)
    assert found["finished"] == "2026-01-03 12:34 UTC"
    assert found["environment"] == training["provenance"]
    told = [(stage["name"], stage["is_found"], stage["seconds"]) for stage in found["stages"]]
    assert told == [("clean", True, 4.0), ("pretrain", False, 6.0), ("evaluate", False, 0.0)]
    first, second, _ = found["stages"]
    assert first["link"] == "../../2-clean/k1/manifest.json"
    assert (first["bytes"], first["peak_memory_bytes"], first["units"]) == (3, 11, 1)
    assert (second["hosts"], second["ended"]) == ("h1, h2", "2026-01-02 03:04:05")
    assert found["knows_run"]
    unknown = collect_circumstances({**manifests, "evaluate": {**scored, "provenance": {}}})
    assert (unknown["knows_run"], unknown["finished"]) == (False, "2026-01-02 03:04 UTC")
    assert not any(stage["is_found"] for stage in unknown["stages"])
