"""Progress: a stage says how much there is and how far it got; sinks decide how that is shown.

    stage ──▶ Progress.counting(...) ──▶ Count ──┬──▶ TerminalBars   a person is watching stderr
                                                 ├──▶ LogLines       a line a minute at most
                                                 └──▶ others, such as the Prefect UI's

A sink is told of every change and chooses what to show and how often; it must return at once.
Everything goes to stderr or to the log, so `--json` output stays clean.
"""

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

log = logging.getLogger(__name__)

LINE_SECONDS = 60.0
_BAR_COLUMNS = 120  # a narrower terminal has the figures, in two lines if need be, and no bar
_RATE_SECONDS = 60.0  # what the rate is a mean over: long enough to be steady


@dataclass(eq=False)
class Count:
    """One running count of a stage, as sinks see it.

    Attributes:
        stage: Whose it is.
        work: What of the stage's work is counted; empty where that is all of it.
        total: How many units there are.
        unit: What they are called.
        done: How many are done.
        figures: What else is worth a look, by name; a name that ends in `/s` is a speed.
        before: How many were done and the figures then, now and again until it was broken off.
    """

    stage: str
    work: str
    total: float
    unit: str
    done: float = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    before: Sequence[tuple[float, Mapping[str, float]]] = ()

    def __post_init__(self) -> None:
        self._seen = deque([(time.monotonic(), self.done)])
        self._lag = 0.0

    def reach(
        self, done: float, figures: Mapping[str, float] | None = None, at: float | None = None
    ) -> None:
        """Set the count and, where they are given, the figures.

        Args:
            done: How many are done.
            figures: What else is worth a look.
            at: When that was, by `time.monotonic`; None is now. Who was busy hears of it later.
        """
        now = self._note(done, figures, at)
        if now - self._seen[-1][0] >= 1:
            self._seen.append((now, done))
            while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_SECONDS:
                self._seen.popleft()

    def warm(
        self, done: float, figures: Mapping[str, float] | None = None, at: float | None = None
    ) -> None:
        """The same, where the time so far says nothing of the rate."""
        self._seen = deque([(self._note(done, figures, at), done)])

    def _note(self, done: float, figures: Mapping[str, float] | None, at: float | None) -> float:
        heard = time.monotonic()
        at = heard if at is None else at
        self._lag = heard - at
        self.done, self.figures = done, self.figures if figures is None else figures
        return at

    @property
    def title(self) -> str:
        """Stage and work in a few words."""
        return f"{self.stage} {self.work}".strip()

    @property
    def percent(self) -> float:
        """How much of it is done, to a tenth."""
        return round(100 * self.done / self.total, 1) if self.total else 100.0

    @property
    def rate(self) -> float | None:
        """Units a second over the last minute; None while there is nothing to tell."""
        began, done = self._seen[0]
        seconds = time.monotonic() - self._lag - began
        return (self.done - done) / seconds if seconds >= 1 and self.done > done else None

    def describe(self) -> str:
        """How far it is, how fast and how long still, in one line for people."""
        parts = [f"{self.done:,.0f} of {self.total:,.0f} {self.unit}"]
        if (rate := self.rate) is not None:
            parts.append(f"{rate:,.1f} {self.unit}/s")
            if self.done < self.total:
                parts.append(f"{describe_seconds((self.total - self.done) / rate)} left")
        for name, value in self.figures.items():
            parts.append(f"{value:,.0f} {name}" if name.endswith("/s") else f"{name} {value:.3f}")
        return (f"{self.work}: " if self.work else "") + ", ".join(parts)


def describe_seconds(seconds: float) -> str:
    """A length of time, as exact as people need it.

    >>> [describe_seconds(s) for s in (0.4, 75, 600, 9000, 400_000, 299_158_498)]
    ['0 s', '75 s', '10 min', '2.5 h', '4.6 days', '9.5 years']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86_400
    return f"{days:.1f} days" if days < 730 else f"{days / 365.25:.1f} years"


def describe_bytes(size: float) -> str:
    """A number of bytes, as exact as people need it.

    >>> [describe_bytes(size) for size in (0, 5316, 2_400_000, 54e6, 18.3e9, 2.5e12)]
    ['0 B', '5 kB', '2.4 MB', '54 MB', '18.3 GB', '2.5 TB']
    """
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            exact = 1 if unit in ("TB", "GB") or size < 10 * scale and unit == "MB" else 0
            return f"{size / scale:,.{exact}f} {unit}"
    return f"{size:.0f} B"


class Sink:
    """Shows counts somewhere; what it does not override it does not show."""

    def begin(self, count: Count) -> None:
        """A count begins."""

    def update(self, count: Count) -> None:
        """A count has changed."""

    def end(self, count: Count) -> None:
        """A count is over, be it done or not."""


class Counter:
    """What a stage holds of a count."""

    def __init__(self, count: Count, sinks: tuple[Sink, ...]) -> None:
        self._count, self._sinks = count, sinks

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self.show(self._count.done + amount)

    def show(
        self, done: float, figures: Mapping[str, float] | None = None, at: float | None = None
    ) -> None:
        """Set the count, and what else is worth a look; see `Count.reach`."""
        self._count.reach(done, figures, at)
        self._tell()

    def warm(
        self, done: float, figures: Mapping[str, float] | None = None, at: float | None = None
    ) -> None:
        """The same where what came before took longer than what will, such as compiling."""
        self._count.warm(done, figures, at)
        self._tell()

    def _tell(self) -> None:
        for sink in self._sinks:
            sink.update(self._count)


class Progress:
    """Where a run's counts are shown; without sinks nowhere."""

    def __init__(self, *sinks: Sink) -> None:
        self.sinks = sinks

    @contextmanager
    def counting(
        self,
        stage: str,
        total: float,
        unit: str,
        *,
        work: str = "",
        done: float = 0,
        before: Sequence[tuple[float, Mapping[str, float]]] = (),
    ) -> Iterator[Counter]:
        """A count of `total` units while the `with` block runs, starting at `done`."""
        count = Count(stage, work, total, unit, done, before=before)
        for sink in self.sinks:
            sink.begin(count)
        try:
            yield Counter(count, self.sinks)
        finally:
            for sink in self.sinks:
                sink.end(count)


class LogLines(Sink):
    """A line now and then, so that a log shows that a long stage lives."""

    def __init__(self, seconds: float = LINE_SECONDS) -> None:
        self.seconds = seconds
        self._last = time.monotonic()

    def update(self, count: Count) -> None:
        """A line, if the last one was long enough ago and there is more to come."""
        if count.done < count.total and time.monotonic() - self._last >= self.seconds:
            self._last = time.monotonic()
            text = count.describe()
            log.info("%-10s %-8s %10.0f%%  %s", count.stage, "running", count.percent, text)


class TerminalBars(Sink):
    """Bars drawn by `rich` on stderr, each gone when its work is done."""

    def __init__(self) -> None:
        self._drawn: dict[Count, tuple[RichProgress, TaskID]] = {}

    def begin(self, count: Count) -> None:
        """See `Sink`."""
        from rich import progress as rich
        from rich.console import Console
        from rich.table import Column

        console = Console(stderr=True)
        title = rich.TextColumn(
            "  [bold]{task.description}",
            table_column=Column(no_wrap=True, min_width=len(count.title) + 2),
        )
        bar = [rich.BarColumn(bar_width=24)] if console.width >= _BAR_COLUMNS else []
        told = rich.TextColumn(
            "{task.fields[told]}",
            markup=False,
            table_column=Column(no_wrap=bool(bar), ratio=1),
        )
        drawn = rich.Progress(title, *bar, told, console=console, transient=True, expand=True)
        self._drawn[count] = drawn, drawn.add_task(count.title, total=count.total, told="")
        drawn.start()
        self.update(count)

    def update(self, count: Count) -> None:
        """See `Sink`."""
        drawn, task = self._drawn[count]
        told = count.describe().removeprefix(f"{count.work}: ")
        drawn.update(task, completed=count.done, told=told)

    def end(self, count: Count) -> None:
        """See `Sink`."""
        self._drawn.pop(count)[0].stop()


def default_progress(*more: Sink) -> Progress:
    """Bars when a person is watching, log lines, and what else is given.

    The lines are for logs: at a terminal `flows.console` leaves them out.
    """
    bars = [TerminalBars()] if sys.stderr.isatty() else []
    return Progress(*bars, LogLines(), *more)
