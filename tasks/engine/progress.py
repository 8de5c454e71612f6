"""Progress: stage, units, rate and time left on a terminal; silence elsewhere.

A stage says how much there is and how far it got; what that looks like is decided here, once.
Everything goes to stderr, so `--json` output stays clean.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running count."""

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        ...

    def show(self, done: float, note: str = "") -> None:
        """Set the count, and a short note such as the loss."""
        ...


class Progress:
    """Silent progress: what runs off a terminal, in tests and in workers."""

    @contextmanager
    def bar(self, title: str, total: float, unit: str, done: float = 0) -> Iterator[Bar]:
        """Show a count of `total` units while the `with` block runs, starting at `done`."""
        yield _SilentBar()


class _SilentBar:
    def advance(self, amount: float = 1) -> None:
        """Nothing to show."""

    def show(self, done: float, note: str = "") -> None:
        """Nothing to show."""


class TerminalProgress(Progress):
    """Bars drawn by `rich` on stderr, each gone when its work is done."""

    @contextmanager
    def bar(self, title: str, total: float, unit: str, done: float = 0) -> Iterator[Bar]:
        """See `Progress.bar`."""
        from rich import progress as rich
        from rich.console import Console

        columns = (
            rich.TextColumn("  [bold]{task.description}"),
            rich.BarColumn(bar_width=30),
            rich.TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[note]}"),
        )
        console = Console(stderr=True)
        with rich.Progress(*columns, console=console, transient=True) as drawn:
            task = drawn.add_task(title, total=total, unit=unit, note="", rate="")
            drawn.update(task, completed=done)
            yield _RichBar(drawn, task, unit)


class _RichBar:
    def __init__(self, drawn: "object", task: "object", unit: str) -> None:
        from rich.progress import Progress as RichProgress
        from rich.progress import TaskID

        assert isinstance(drawn, RichProgress)
        assert isinstance(task, int)
        self.drawn, self.task, self.unit = drawn, TaskID(task), unit

    def _rate(self) -> str:
        speed = self.drawn.tasks[self.task].speed
        return "" if not speed else f"{speed:,.1f} {self.unit}/s"

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self.drawn.update(self.task, advance=amount, rate=self._rate())

    def show(self, done: float, note: str = "") -> None:
        """Set the count and the note."""
        self.drawn.update(self.task, completed=done, note=note, rate=self._rate())


def default_progress() -> Progress:
    """Bars when a person is watching, silence otherwise."""
    return TerminalProgress() if sys.stderr.isatty() else Progress()
