"""Two tiny stages on the real engine: one writes numbers, the next adds them up.

They live in an importable module because units run in other processes.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from tasks.config import Config, Execution, Section
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork

SLOW = 10_000  # numbers from here on take 50 ms


class ToySlice(Section):
    """What the toy stages take from a config; `value` alone is identity."""

    numbers: list[int]
    value: int = 1
    trace: Annotated[str | None, Execution()] = None


def write_number(work: UnitWork, *, number: int, value: int) -> UnitReport:
    """Write one number; leave a mark that this was really computed."""
    note = os.environ.get("TOY_TRACE")
    if note:
        with Path(note).open("a") as file:
            file.write(f"{work.label}\n")
    if number == 666:
        raise RuntimeError("this number always fails")
    if number in (777, 779):
        time.sleep(0.0 if number == 777 else 0.4)
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 888:
        sys.exit(0)
    died = work.folder.parent / "died"  # the environment of workers is that of the first pool
    if number == 778 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    if number >= SLOW:
        time.sleep(0.05)
    work.path(".txt").write_text(f"{number * value}\n")
    ledger = Ledger()
    ledger.take(documents=2)
    ledger.keep(documents=1)
    ledger.drop("odd" if number % 2 else "even", documents=1)
    return UnitReport(ledger=ledger, rows={".txt": 1}, summary={"number": number})


def add_numbers(work: UnitWork, *, files: list[StoredFile]) -> UnitReport:
    """Write the sum of the numbers in some files."""
    total = sum(int(file.local().read_text()) for file in files)
    work.path(".txt").write_text(f"{total}\n")
    return UnitReport(summary={"total": total})


def run_first(context: StageContext[ToySlice]) -> StageReport:
    """One unit for each number."""
    units = [
        Unit(f"numbers/{i:05d}", {"number": number, "value": context.config.value})
        for i, number in enumerate(context.config.numbers)
    ]
    results = context.map(write_number, units)
    ledger = Ledger.total(result.ledger for result in results)
    return StageReport(ledger, {"numbers": [result.summary["number"] for result in results]})


def run_second(context: StageContext[ToySlice]) -> StageReport:
    """The sum of all numbers."""
    files = context.input("first").files("numbers/")
    (result,) = context.map(add_numbers, [Unit("sum", {"files": files})])
    return StageReport(summary=result.summary)


def toy_stages(slice_: ToySlice) -> tuple[Stage[ToySlice], Stage[Any]]:
    """The two stages for one slice; the config itself plays no part."""

    def config(_: Config) -> ToySlice:
        return slice_

    first = Stage("first", 1, 1, (), config, run_first)

    def nothing(_: Config) -> Any:
        return None

    second = Stage("second", 2, 1, ("first",), nothing, run_second)
    return first, second
