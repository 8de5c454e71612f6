"""Where units run: a `concurrent.futures.Executor`, and nothing of our own besides.

`local` is a pool of processes, or this process itself for one worker. Workers ignore Ctrl-C
(the parent decides), keep to one compute thread each, and end when their parent dies.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tasks.engine.identity import file_digest
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.store import flush_file
from tasks.engine.units import UnitReport, UnitWork

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


@dataclass(frozen=True)
class ComputedUnit:
    """A unit that was computed into a private folder and is not committed yet."""

    folder: Path
    report: UnitReport
    files: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]


class InlineExecutor(Executor):
    """Runs each unit at once in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function now; the future is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


def default_workers() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_executor(workers: int) -> Executor:
    """A pool of that many processes; with one worker, this process itself."""
    if workers <= 1:
        return InlineExecutor()
    method = "forkserver" if sys.platform.startswith("linux") else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """End this worker when its parent is gone: a killed run leaves no processes behind."""
    parent_id = os.getppid()
    while not wait([parent.sentinel], timeout=1.0):
        if os.getppid() != parent_id:
            break
    time.sleep(0.1)
    os._exit(1)


def compute_unit(
    function: Callable[..., UnitReport], label: str, payload: Mapping[str, Any], folder: Path
) -> ComputedUnit:
    """Run one unit into a fresh private folder, then flush and hash what it wrote."""
    started, start = now(), time.monotonic()
    folder.mkdir(parents=True)
    report = function(UnitWork(label, folder), **payload)
    files = describe_files(UnitWork(label, folder), report.rows)
    return ComputedUnit(folder, report, files, unit_provenance(started, time.monotonic() - start))


def describe_files(work: UnitWork, rows: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Flush every file a unit wrote; its size, digest and rows, by suffix."""
    files = {}
    for path in sorted(path for path in work.folder.rglob("*") if path.is_file()):
        name = path.relative_to(work.folder).as_posix()
        assert name.startswith(work.label), f"{name} was not made by work.path()"
        suffix = name.removeprefix(work.label)
        flush_file(path)
        files[suffix] = {
            "bytes": path.stat().st_size,
            "sha256": file_digest(path),
            "rows": rows.get(suffix),
        }
    return files
