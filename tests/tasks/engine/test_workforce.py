"""One pool for a whole run: its processes go from stage to stage, and survive a failed one."""

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine.pools import InlinePool, ProcessPool
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.errors import StageError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 2}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def run(store: Store, workforce: Workforce, numbers: list[int], **options: Any) -> Outcome:
    first, _ = toy_stages(ToySlice(numbers=numbers, **options))
    return run_stage(first, CONFIG, store, workforce=workforce)


def worker_ids(workforce: Workforce) -> set[int]:
    """The processes of all pools."""
    pools = [workers.pool for workers in workforce._workers.values()]
    executors = [pool._executor for pool in pools if isinstance(pool, ProcessPool)]
    return {pid for executor in executors if executor for pid in executor._processes}


def test_processes_go_from_stage_to_stage_and_end_with_the_run(store: Store) -> None:
    """Started once, the same for the next artifact, gone at the end."""
    with Workforce(CONFIG.engine) as workforce:
        run(store, workforce, [1, 2, 3])
        before = worker_ids(workforce)
        run(store, workforce, [1, 2, 3], value=2)
        assert worker_ids(workforce) == before
        assert len(before) == 2
        assert os.getpid() not in before
    assert not workforce._workers
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in before)


@pytest.mark.parametrize("number", [666, 777], ids=["an error", "a killed worker"])
def test_a_failed_stage_leaves_a_workforce_that_works(store: Store, number: int) -> None:
    """The next stage has sound processes, whatever the last one did to them."""
    with Workforce(CONFIG.engine) as workforce:
        with pytest.raises(StageError, match="Finished units are kept"):
            run(store, workforce, [1, 2, number, *range(3, 30)])
        outcome = run(store, workforce, list(range(40)))
        assert len(outcome.artifact.outputs) == 40


def test_a_worker_that_dies_after_another_unit_failed_is_not_waited_for_again(
    store: Store,
) -> None:
    """What it was doing belongs to the stage that failed; the next one knows nothing of it."""
    with Workforce(CONFIG.engine) as workforce:
        with pytest.raises(StageError, match="this number always fails"):
            run(store, workforce, [666, 779])
        outcome = run(store, workforce, list(range(10)))
        assert len(outcome.artifact.outputs) == 10


def test_what_needs_no_second_process_runs_in_this_one(store: Store) -> None:
    """A single unit, and units that are to run one after the other: they start no pool."""
    with Workforce(CONFIG.engine) as workforce:
        run(store, workforce, [1])
        alone = [workforce.workers(None, 1), workforce.workers(1, 50)]
        assert alone[0] is alone[1]
        assert isinstance(alone[0].pool, InlinePool)
        assert not worker_ids(workforce)
        assert isinstance(workforce.workers(3, 50).pool, ProcessPool)
