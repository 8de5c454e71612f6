"""Tiny units by the hundred thousand: what the engine itself costs, in calls a second.

    a future each   concurrent.futures or Dask, one submission a call, a bounded window of them
    ours            the same pool under `tasks.engine.executors`: batches, lost calls run again
    recorded        ours, and each call a whole unit: its file flushed, hashed, moved, recorded

A call adds two numbers. Dask is measured where it is installed, with a scheduler and worker
processes on this machine.
"""

import argparse
import importlib.util
import json
import operator
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from paired import Comparison, Figures, parser, passed_on, run_worker

from tasks.config import Config
from tasks.engine.executors import Call, Workers
from tasks.engine.ledger import Ledger
from tasks.engine.pools import Pool, ProcessPool
from tasks.engine.runner import run_stage
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.stores import open_store
from tasks.engine.units import Unit, UnitReport, UnitWork

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

VARIANTS = {
    "futures": "concurrent.futures, a future each",
    "ours": "ours, local pool",
    "recorded": "ours, local pool, recorded units",
}
DASK = {
    "dask-futures": "Dask, a future each",
    "dask-ours": "ours, Dask",
    "dask-recorded": "ours, Dask, recorded units",
}
_CALLS, _UNITS = 100_000, 20_000
_MOST_FUTURES = 5_000  # of the slow variants a part is enough to know their rate


def main() -> None:
    """Measure and print, or be one of the workers."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--calls", type=int, default=_CALLS)
    options = made.parse_args()
    if options.quick:
        options.calls = 2_000
    if options.worker:
        print(json.dumps(measure(options)))
        return
    variants = dict(VARIANTS)
    if importlib.util.find_spec("distributed") is not None:
        variants |= DASK
    comparison = Comparison(
        f"{options.calls:,} tiny calls, {options.threads} worker processes",
        {"per_second": "calls/s", "driver_mb": "driver MB"},
        (
            f"recorded: {num_units(options):,} units, each with a flushed file of its own in the "
            "store; folders are flushed once a batch, and its units' records share a file",
            "driver MB: the most memory that the driving process has held",
        ),
        {label: DASK["dask-futures"] for label in DASK.values()},
    )
    arguments = [*passed_on(options), "--calls", str(options.calls)]
    comparison.run(
        {
            label: partial(
                run_worker, __file__, "--worker", name, *arguments, threads=options.threads
            )
            for name, label in variants.items()
        },
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def num_units(options: argparse.Namespace) -> int:
    """Units of the recorded variants."""
    return 100 if options.quick else _UNITS


def measure(options: argparse.Namespace) -> Figures:
    """One variant in this process."""
    variant = options.worker.removeprefix("dask-")
    on_dask = variant != options.worker
    with tempfile.TemporaryDirectory() as folder, cluster(options, folder, on_dask) as address:
        counts = {"recorded": num_units(options), "futures": min(options.calls, _MOST_FUTURES)}
        count = counts.get(variant, options.calls)
        if variant == "recorded":
            seconds = recorded(Path(folder), count, options.threads, address)
        elif variant == "ours":
            seconds = batched(count, options.threads, address)
        else:
            seconds = a_future_each(count, options.threads, address)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"per_second": count / seconds, "driver_mb": peak_kb / 1e3}


@contextmanager
def cluster(options: argparse.Namespace, folder: str, wanted: bool) -> Iterator[str | None]:
    """A Dask cluster's address, or None."""
    if not wanted:
        yield None
        return
    from dask_cluster import dask_cluster

    paths = f"{Path(__file__).parent}:{Path(__file__).resolve().parents[2]}"
    with dask_cluster(Path(folder), options.threads, PYTHONPATH=paths) as started:
        yield started.address


def a_future_each(count: int, threads: int, address: str | None) -> float:
    """A plain executor with as many futures under way as there is any use for."""
    if address is None:
        executor: Any = ProcessPoolExecutor(threads)
        close: Callable[[], None] = executor.shutdown
    else:
        from distributed import Client

        client = Client(address, set_as_default=False)
        executor, close = client.get_executor(pure=False), client.close
    executor.submit(operator.add, 0, 0).result()
    start = time.perf_counter()
    window: deque[Any] = deque()
    for number in range(count):
        window.append(executor.submit(operator.add, number, 1))
        if len(window) >= 100:
            window.popleft().result()
    for future in window:
        future.result()
    seconds = time.perf_counter() - start
    close()
    return seconds


def batched(count: int, threads: int, address: str | None) -> float:
    """Our workers on the same pool."""
    pool: Pool = ProcessPool(threads)
    if address is not None:
        from tasks.engine.dask_pool import DaskPool

        pool = DaskPool(address)
    workers = Workers(pool)
    list(workers.run([Call("start", operator.add, (0, 0))]))
    start = time.perf_counter()
    calls = (Call(str(number), operator.add, (number, 1)) for number in range(count))
    ended = sum(len(group) for group in workers.run(calls))
    seconds = time.perf_counter() - start
    assert ended == count
    workers.close()
    return seconds


def add(work: UnitWork, *, number: int) -> UnitReport:
    """A tiny unit."""
    work.path(".txt").write_text(f"{number + 1}\n")
    return UnitReport()


def add_all(context: StageContext[int]) -> StageReport:
    """A stage of tiny units."""
    context.map(add, [Unit(f"sums/{n:06}", {"number": n}) for n in range(context.config)])
    return StageReport(Ledger())


def recorded(folder: Path, count: int, threads: int, address: str | None) -> float:
    """Whole units in a store on this disk."""
    engine = {"kind": "dask", "address": address} if address else {"workers": threads}
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": engine})
    stage = Stage("bench", 1, 1, (), lambda _: count, add_all)
    start = time.perf_counter()
    run_stage(stage, config, open_store(str(folder / "store")))
    return time.perf_counter() - start


if __name__ == "__main__":
    # Workers import the unit's function by the name of its module.
    sys.path.insert(0, str(Path(__file__).parent))
    import bench_engine

    bench_engine.main()
