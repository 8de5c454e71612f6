"""The faults that a deployed pipeline is put through: what is hit, how, in which stage, and when.

    signal     a process of ours gets KILL, TERM or INT, or is stopped for some seconds
    network    the source's server cuts the line, resets it, falls silent, or answers 500
    disk       the store's disk is full for some seconds
    database   the server's SQLite file is locked for some seconds
    cancel     somebody cancels the run
    clock      the clock of all our processes is set, an hour ahead or back

`matrix` is a pure function: the same seed gives the same faults, each by its number.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

STAGES = ("download", "clean", "tokenizer", "pack", "pretrain", "evaluate", "publish")
POOLED = ("download", "clean", "pack")
"""The stages that map several units over the pool when there are several files."""

SIGNALS = ("KILL", "TERM", "INT", "STOP")
EVERYWHERE = ("flow", "worker", "server", "serve")
"""The processes that are there in every stage."""

NETWORK = ("cut", "reset", "silent", "500")
CLOCK = ("ahead", "back")
_LOCK_SECONDS = 20.0
_ONE_CLOCK_IN = 14

Combination = tuple[str, str, str, str]
"""(kind, target, how, stage)."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        number: Its place in the matrix.
        kind: See above.
        target: The process that is hit; else what is: source, store, database, run.
        how: The signal or the kind of failure.
        stage: In which it happens.
        moment: When, as a share of what the stage takes undisturbed; of the body for the network.
        seconds: How long it lasts, where it does not last for good.
        times: How often the source's server fails in a row.
    """

    number: int
    kind: str
    target: str
    how: str
    stage: str
    moment: float
    seconds: float = 0.0
    times: int = 1

    @property
    def variant(self) -> str:
        """Which undisturbed run it is compared with: the bytes of two ranks are others."""
        if self.kind == "network":
            return "http"
        return "two" if self.target == "rank" else "one"

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        often = f" {self.times} times" if self.times > 1 else ""
        return f"{self.target} {self.how}{often}{lasting} in {self.stage} at {self.moment:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def _combinations() -> Iterator[Combination]:
    """Everything that can be hit, but the clock."""
    for target, signal, stage in product(EVERYWHERE, SIGNALS, STAGES):
        yield "signal", target, signal, stage
    for target, signal in product(("trainer", "rank"), SIGNALS):
        yield "signal", target, signal, "pretrain"
    for signal, stage in product(SIGNALS, POOLED):
        yield "signal", "pool worker", signal, stage
    for how in NETWORK:
        yield "network", "source", how, "download"
    for stage in STAGES:
        yield "disk", "store", "full", stage
        yield "database", "database", "locked", stage
        yield "cancel", "run", "cancelled", stage


def _clocks() -> Iterator[Combination]:
    for how, stage in product(CLOCK, STAGES):
        yield "clock", "clock", how, stage


def matrix(seed: int, count: int) -> list[Fault]:
    """So many faults, in an order and at moments drawn from the seed.

    Every combination comes once before one comes a second time, then at another moment. Those of
    the clock are the last: they want a `serve` of their own.
    """
    clocks = count // _ONE_CLOCK_IN
    return [
        *_drawn(random.Random(seed), list(_combinations()), range(count - clocks)),
        *_drawn(random.Random(seed), list(_clocks()), range(count - clocks, count)),
    ]


def _drawn(
    chance: random.Random, combinations: Sequence[Combination], numbers: range
) -> Iterator[Fault]:
    left = list(numbers)
    while left:
        order = list(combinations)
        chance.shuffle(order)
        for kind, target, how, stage in order[: len(left)]:
            seconds = chance.choice((2.0, 5.0, 10.0))
            yield Fault(
                number=left.pop(0),
                kind=kind,
                target=target,
                how=how,
                stage=stage,
                moment=round(chance.random(), 3),
                seconds=_lasts(kind, how, seconds),
                times=chance.choice((1, 2, 4)) if kind == "network" else 1,
            )


def _lasts(kind: str, how: str, seconds: float) -> float:
    """For how long; 0 where it does not end by itself."""
    if kind == "database":
        return _LOCK_SECONDS
    if how == "full":
        return 3 * seconds  # long enough for something to be written in the meantime
    return seconds if how in ("STOP", "silent") else 0.0
