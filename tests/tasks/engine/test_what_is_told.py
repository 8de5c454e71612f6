"""What a watcher is told of a count, and what is written down of who computed what."""

import os
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tasks.engine import progress as module
from tasks.engine import provenance
from tasks.engine.progress import (
    Count,
    Counter,
    LogLines,
    Progress,
    Sink,
    default_progress,
    describe_bytes,
    describe_seconds,
)
from tasks.engine.provenance import merged, now, peak_memory_bytes, unit_provenance


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the monotonic clock."""
    time_now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: time_now[0])

    def to(seconds: float) -> None:
        time_now[0] = 1000.0 + seconds

    return to


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 3, 0.0), (1, 3, 33.3), (2, 3, 66.7), (3, 3, 100.0), (0, 0, 100.0)],
)
def test_percent_to_a_tenth(done: float, total: float, percent: float) -> None:
    assert Count("pack", "", total, "units", done).percent == percent


def test_a_rate_is_that_since_the_count_began(clock: Callable[[float], None]) -> None:
    """What was done before is not counted as fast."""
    count = Count("pack", "", 1000, "units", 500)
    assert count.rate is None
    clock(0.9)
    count.reach(510)
    assert count.rate is None, "not even a second"
    clock(1.0)
    assert count.rate == 10.0
    clock(10.0)
    count.reach(600)
    assert count.rate == 10.0
    clock(20.0)
    assert count.rate == 5.0, "it slows down while nothing comes"


def test_a_rate_is_that_of_the_last_minute(clock: Callable[[float], None]) -> None:
    count = Count("pack", "", 10_000, "units")
    for second in range(0, 301, 10):
        clock(float(second))
        count.reach(second if second <= 200 else 200 + 10 * (second - 200))
    assert count.rate == pytest.approx(10.0)


def test_a_first_step_that_compiles_says_nothing_of_the_rate(
    clock: Callable[[float], None],
) -> None:
    """On a GPU it took 7 s where others take 0.06, and hours seemed to be left."""
    count = Count("pretrain", "", 2600, "steps")
    clock(7.0)
    count.warm(1)
    assert (count.done, count.rate) == (1, None)
    clock(9.0)
    count.reach(35)
    assert count.rate == 17.0


def test_what_is_heard_late_counts_when_it_was(clock: Callable[[float], None]) -> None:
    """Steps go on while a checkpoint is scored; a dev set took 70 s, and 12 hours seemed left."""
    count = Count("finetune", "", 938, "steps")
    clock(80.0)
    for second in range(1, 11):
        count.reach(16 * second, {"loss": 1.0}, at=1000.0 + second)
        assert count.rate in (None, 16.0)
    assert count.describe() == "160 of 938 steps, 16.0 steps/s, 49 s left, loss 1.000"
    count.reach(16 * 80, at=1080.0)
    assert count.rate == 16.0
    clock(120.0)
    assert count.rate == pytest.approx(16 * 80 / 120, rel=0.3), "nothing came since"


def test_a_count_is_told_with_rate_and_rest(clock: Callable[[float], None]) -> None:
    count = Count("pretrain", "steps of it", 3000, "steps", 1000)
    assert count.title == "pretrain steps of it"
    assert Count("pack", "", 1, "units").title == "pack"
    clock(10.0)
    count.reach(1500, {"loss": 2.34567, "tokens/s": 12_345.6})
    told = "steps of it: 1,500 of 3,000 steps, 50.0 steps/s, 30 s left"
    assert count.describe() == f"{told}, loss 2.346, 12,346 tokens/s"
    count.reach(3000)
    told = "steps of it: 3,000 of 3,000 steps, 200.0 steps/s"
    assert count.describe() == f"{told}, loss 2.346, 12,346 tokens/s", "figures stay"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        *((99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h")),
        *((172_799, "48.0 h"), (172_800, "2.0 days"), (729 * 86_400, "729.0 days")),
        (730 * 86_400, "2.0 years"),
    ],
)
def test_lengths_of_time_change_their_unit(seconds: float, told: str) -> None:
    assert describe_seconds(seconds) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [
        *((999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (1e6, "1.0 MB"), (9.9e6, "9.9 MB")),
        *(
            (10e6, "10 MB"),
            (1e9, "1.0 GB"),
            (99.9e9, "99.9 GB"),
            (1e12, "1.0 TB"),
            (1.5e15, "1,500.0 TB"),
        ),
    ],
)
def test_numbers_of_bytes_change_their_unit(size: float, told: str) -> None:
    assert describe_bytes(size) == told


class Told(Sink):
    def __init__(self) -> None:
        self.said: list[Any] = []

    def begin(self, count: Count) -> None:
        self.said.append(("begin", count.stage, count.work, count.total, count.unit, count.done))

    def update(self, count: Count) -> None:
        self.said.append((count.done, dict(count.figures)))

    def end(self, count: Count) -> None:
        self.said.append("end")


def fail_after(count: Counter) -> None:
    count.advance()
    count.advance(3)
    count.show(8, {"loss": 1.0})
    count.advance()
    raise KeyError


def test_sinks_hear_of_the_beginning_every_change_and_the_end() -> None:
    sink = Told()
    counting = Progress(sink).counting("a", 9, "rows", work="b", done=2)
    with pytest.raises(KeyError), counting as count:
        fail_after(count)
    begin = ("begin", "a", "b", 9, "rows", 2)
    loss = {"loss": 1.0}
    assert sink.said == [begin, (3, {}), (6, {}), (8, loss), (9, loss), "end"]


def test_a_line_is_written_when_one_is_due_and_more_is_to_come(
    clock: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    sink = LogLines(60.0)
    count = Count("pack", "", 100, "units")
    with caplog.at_level("INFO"):
        for second, done in ((59, 10), (60, 11), (61, 12), (119, 13), (120, 14), (200, 100)):
            clock(float(second))
            Counter(count, (sink,)).show(done)
    assert [re.sub(" +", " ", line.split(" of ")[0]) for line in caplog.messages] == [
        "pack running 11% 11",
        "pack running 14% 14",
    ]


def test_lines_come_a_minute_apart_and_bars_only_where_somebody_looks() -> None:
    assert LogLines().seconds == 60.0
    sink = Told()
    (lines, last) = default_progress(sink).sinks
    assert isinstance(lines, module.LogLines)
    assert last is sink


def test_a_time_is_written_in_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", now())


def test_of_a_unit_it_is_written_who_computed_it_and_when() -> None:
    made = unit_provenance("2020-01-01T00:00:00.000+00:00", 1.23456)
    assert (made["host"], made["pid"]) == (socket.gethostname(), os.getpid())
    assert (made["started"], made["seconds"]) == ("2020-01-01T00:00:00.000+00:00", 1.235)
    assert made["ended"] > made["started"]
    assert set(made["packages"]) <= set(provenance.PACKAGES)
    assert {"torch", "tokenizers", "pyarrow", "numpy"} <= set(made["packages"])
    assert 20e6 < peak_memory_bytes() < 1e12


def test_an_artifacts_provenance_spans_that_of_its_units() -> None:
    def unit(host: str, started: str, ended: str, **more: Any) -> dict[str, Any]:
        facts = {"commit": ended, "python": ended, "packages": {"torch": ended}}
        return {"host": host, "started": started, "ended": ended, **facts, **more}

    units = [
        unit("b", "11", "15", seconds=1.5, peak_memory_bytes=7),
        unit("a", "12", "19", seconds=2.0001, peak_memory_bytes=5),
        unit("b", "10", "14", seconds=0.25, peak_memory_bytes=9),
    ]
    assert merged(units) == {
        **{"hosts": ["a", "b"], "started": "10", "ended": "19", "seconds": 3.75},
        **{"peak_memory_bytes": 9, "commit": "19", "python": "19", "packages": {"torch": "19"}},
    }
    assert merged([]) == {}
