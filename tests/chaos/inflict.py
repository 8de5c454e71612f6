"""How each fault is really done.

`inflict` prepares it and gives a function that does it; when the scenario is over it is undone.
Nothing is mocked: real signals, a real full tmpfs, a real lock, a real server that fails.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from installation import processes_of

if TYPE_CHECKING:
    from scenario import Scenario

_TMPFS = "48m"
_VICTIM_SECONDS = 20.0
_HOUR = 3600


class NotPossibleError(Exception):
    """This machine or user cannot do the fault; the message says why."""


@contextmanager
def inflict(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    """What is to be called at the moment; it says what it did.

    Raises:
        NotPossibleError: before anything has begun.
    """
    kinds = {
        "signal": _signal,
        "network": _network,
        "disk": _disk,
        "database": _database,
        "cancel": _cancel,
        "clock": _clock,
    }
    with kinds[scenario.fault.kind](scenario) as strike:
        yield strike


@contextmanager
def _signal(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    waking: list[threading.Timer] = []

    def strike() -> str:
        fault = scenario.fault
        victim = _find_victim(scenario, fault.target)
        if victim is None:
            return f"nothing: no {fault.target} was there"
        number = getattr(signal, f"SIG{fault.how}")
        victim.send_signal(number)
        if fault.how == "STOP":
            waking.append(threading.Timer(fault.seconds, _wake, args=(victim,)))
            waking[0].start()
        elif fault.target == "serve":
            tries = scenario.place.restart()
            scenario.result.true_seconds = round(time.monotonic() - scenario.began, 1)
            return f"process {victim.pid}; `serve` was up again after {tries} tries"
        return f"process {victim.pid}"

    try:
        yield strike
    finally:
        for timer in waking:
            timer.join()


def _wake(victim: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        victim.send_signal(signal.SIGCONT)


def _find_victim(scenario: "Scenario", target: str) -> psutil.Process | None:
    """The process that is hit; waited for a little, as a trainer is not there at once."""
    end = time.monotonic() + _VICTIM_SECONDS
    place = scenario.place
    while time.monotonic() < end:
        if target == "serve":
            return psutil.Process(place.serving.process.pid)
        if target in ("server", "worker"):
            if (child := place.child(target)) is not None:
                return child
        else:
            fitting = [p for p in processes_of(scenario.run) if is_a(p, target)]
            if fitting:
                return max(fitting, key=lambda process: process.pid)
            if target != "flow" and _is_past(scenario):
                return None
        time.sleep(0.02)
    return None


def _is_past(scenario: "Scenario") -> bool:
    return scenario.progress() == "ended"


def is_a(process: psutil.Process, target: str) -> bool:
    """Whether a process of a run is its flow, its trainer, a rank or a worker of the pool."""
    try:
        command = " ".join(process.cmdline())
        if target == "flow":
            return "prefect.engine" in command and "forkserver" not in command
        if target == "pool worker":
            parent = process.parent()
            above = "" if parent is None else " ".join(parent.cmdline())
            return "forkserver" in command and "forkserver" in above
        if target == "rank" and "torch.distributed.run" in command:
            return False
        return "roberta_model.training.process" in command
    except psutil.Error:
        return False


@contextmanager
def _network(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    fault, source = scenario.fault, scenario.place.source
    source.fail(fault.how, fault.times, fault.moment, fault.seconds)

    def strike() -> str:
        scenario.until_true(lambda: source.num_failures > 0, 120, "the source was not asked")
        scenario.began = time.monotonic()
        return f"the source failed, {source.share:.0%} of the body were sent"

    yield strike


@contextmanager
def _disk(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    if os.geteuid() != 0:
        raise NotPossibleError("only root can mount a small disk")
    store, freeing = scenario.store, []
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS}", "tmpfs", str(store)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
        raise NotPossibleError("a small disk cannot be mounted here")
    filler = store / ".filler"

    def strike() -> str:
        size = _fill(filler)
        freeing.append(threading.Timer(scenario.fault.seconds, _free, args=(filler,)))
        freeing[0].start()
        return f"{size >> 20} MB were filled"

    try:
        yield strike
    finally:
        for timer in freeing:
            timer.join()


def unmount(store: Path) -> None:
    """Take a small disk away, if there is one."""
    if os.path.ismount(store):
        subprocess.run(["umount", "-l", str(store)], check=True)


def _fill(filler: Path) -> int:
    """Write until nothing more goes, down to the last byte; how much it was."""
    size = 1 << 20
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size >>= 1
    return filler.stat().st_size


def _free(filler: Path) -> None:
    filler.unlink(missing_ok=True)


@contextmanager
def _database(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    path = scenario.place.command.home / "prefect.db"
    holding: list[threading.Thread] = []

    def hold() -> None:
        connection = sqlite3.connect(path, timeout=30)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(scenario.fault.seconds)
            connection.rollback()
        finally:
            connection.close()

    def strike() -> str:
        holding.append(threading.Thread(target=hold))
        holding[0].start()
        return f"{path.name} was locked"

    try:
        yield strike
    finally:
        for thread in holding:
            thread.join()


@contextmanager
def _cancel(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    def strike() -> str:
        state = {"state": {"type": "CANCELLING"}, "force": True}
        scenario.place.serving.ask(f"flow_runs/{scenario.run}/set_state", state)
        return "cancelled by the API"

    yield strike


@contextmanager
def _clock(scenario: "Scenario") -> Iterator[Callable[[], str]]:
    """Set the clock of `serve`, of all it has started and of our commands; then right again.

    The clock of the whole machine is others' too. The flow's process is killed on top of it, so
    that states and records of two clocks are held against each other; every second one only.
    """
    place = scenario.place
    setting = place.folder / "clock"
    setting.write_text("0 0")
    if "CLOCK_FILE" not in place.command.variables:
        library = place.folder / "clock.so"
        source = str(Path(__file__).with_name("clock.c"))
        try:
            subprocess.run(
                ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), source], check=True
            )
        except (OSError, subprocess.CalledProcessError) as problem:
            raise NotPossibleError("there is no C compiler for the clock") from problem
        place.serve_with({"LD_PRELOAD": str(library), "CLOCK_FILE": str(setting)})

    def strike() -> str:
        hours = _HOUR if scenario.fault.how == "ahead" else -_HOUR
        setting.write_text(f"{hours} {int(time.time())}")
        victim = _find_victim(scenario, "flow")
        if victim is not None and scenario.fault.number % 2:
            victim.kill()
            return f"set by {hours} s, then process {victim.pid} was killed"
        return f"set by {hours} s"

    try:
        yield strike
    finally:
        setting.write_text("0 0")
