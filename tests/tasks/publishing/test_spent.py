"""Time, energy and disk: by hand, from manifests as the stages write them."""

from typing import Any

import pytest

from tasks.publishing.spent import (
    intervals_of,
    shown_bytes,
    shown_seconds,
    spent_on,
    stage_seconds,
    stored_bytes,
    told_training,
    training_of,
)


def unit(seconds: float, num_bytes: int = 0, **provenance: Any) -> dict[str, Any]:
    files = {".a": {"bytes": num_bytes}, ".b": {"bytes": 1}}
    return {"files": files, "provenance": {"seconds": seconds, **provenance}}


def interval(step: int, seconds: float, **where: Any) -> dict[str, Any]:
    return {"step": step, "seconds": seconds, "processes": 4, "threads": 8, **where}


# Two checkpoints are kept: each knows all that was measured up to it.
FIRST = [interval(10, 60.0)]
BOTH = [*FIRST, interval(20, 40.0, device="Some CPU")]
TRAINED = {
    "units": [
        unit(7.0),
        unit(40.0, 100, step=20, intervals=BOTH),
        unit(60.0, 100, step=10, intervals=FIRST),
    ],
    "provenance": {"peak_memory_bytes": 5},
}
CLEANED = {"units": [unit(30.0, 9), unit(6.0)], "provenance": {"peak_memory_bytes": 8}}


def test_a_trainings_time_is_that_of_the_checkpoint_that_knows_most() -> None:
    """Each second once, whatever the order the units stand in; beside it what else was done."""
    assert intervals_of(TRAINED) == BOTH
    assert intervals_of(CLEANED) == []
    assert training_of(TRAINED)["clock_seconds"] == 100.0
    assert training_of(TRAINED)["device"] == "Some CPU"
    assert stage_seconds(CLEANED) == 36.0


def test_every_process_of_a_training_counts_and_each_part_has_its_own_number() -> None:
    """4 processes for 100 s beside 7 s of one; gone on by 2, the rest of it counts twice only."""
    assert training_of(TRAINED)["seconds"] == 400.0
    assert stage_seconds(TRAINED) == 407.0
    parts = [interval(10, 60.0), interval(20, 40.0, processes=2), {"step": 30, "seconds": 5.0}]
    fewer = {**TRAINED, "units": [unit(40.0, step=30, intervals=parts)]}
    assert stage_seconds(fewer) == training_of(fewer)["seconds"] == 60 * 4 + 40 * 2 + 5
    spent = spent_on({"pretrain": fewer})
    assert spent["watt_hours"] == pytest.approx(10 * spent["seconds"] / 3600), "no thread is known"


def test_every_busy_core_costs_and_the_rest_is_of_one_core() -> None:
    """4 processes of 8 threads for 100 s; 36 s and 7 s of one core: at 10 W each."""
    spent = spent_on({"clean": CLEANED, "pretrain": TRAINED})
    assert spent["seconds"] == 443.0
    assert spent["watt_hours"] == pytest.approx(10 * (4 * 8 * 100 + 43) / 3600)
    assert spent["peak_bytes"] == 8
    assert spent["bytes"] == stored_bytes(CLEANED) + stored_bytes(TRAINED) == 11 + 203


def test_where_it_ran_is_said() -> None:
    """Cores are those of all processes; GPUs are counted by process."""
    known = training_of(TRAINED)
    assert told_training(known) == "Some CPU, 32 cores"
    assert told_training({**known, "processes": 1, "threads": 1}) == "Some CPU, 1 core"
    assert told_training({**known, "device": "H100", "is_on_gpu": True}) == "4 x H100"
    assert told_training({**known, "device": None}) == "CPU (not recorded which), 32 cores"


def test_figures_change_their_unit_where_they_reach_it() -> None:
    assert [shown_seconds(n) for n in (59.94, 60, 3599, 3600, 86_400)] == [
        *("59.9 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1 d 0 h")
    ]
    assert [shown_bytes(n) for n in (999, 1000, 1e6, 1e9, 1e12)] == [
        *("999 bytes", "1.0 kB", "1.0 MB", "1.0 GB", "1.0 TB")
    ]
