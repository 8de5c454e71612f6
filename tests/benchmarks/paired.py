"""Two programs beside each other: interleaved rounds, medians, ratios, one Markdown table.

    round 1: A B C    round 2: A B C    ...      ratio of a variant = median over the rounds of
                                                 its figure / the first variant's, same round

Other work on the machine moves absolute figures by tens of per cent, but it moves neighbours
alike: read the ratios. A variant that needs its own memory or threads runs as a worker, which
is the same script started again with `--worker NAME`; it prints one JSON line.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tasks.engine.executors import default_workers

Figures = Mapping[str, float]
_SAMPLE_SECONDS = 0.1
# Reading what a process shares walks all its pages: at most this share of a core goes to it.
_SAMPLE_SHARE = 0.02


@dataclass
class Comparison:
    """What was measured, and how it is shown.

    Attributes:
        title: One line above the table.
        units: For each figure, its heading; the first one is compared.
        notes: Lines below the table: what is and is not counted.
        peers: For a variant, whom it is compared with; the first variant unless named.
        results: For each variant, one mapping of figures a round.
    """

    title: str
    units: Mapping[str, str]
    notes: Sequence[str] = ()
    peers: Mapping[str, str] = field(default_factory=dict)
    results: dict[str, list[Figures]] = field(default_factory=dict)

    def run(self, variants: Mapping[str, Callable[[], Figures]], rounds: int) -> None:
        """Run all variants in turn, round after round."""
        for number in range(rounds):
            for name, measure in variants.items():
                print(f"round {number + 1}/{rounds}: {name}", file=sys.stderr, flush=True)
                self.results.setdefault(name, []).append(measure())

    def values(self, name: str, figure: str) -> list[float]:
        """A variant's figure in every round."""
        return [round_[figure] for round_ in self.results[name]]

    def ratio(self, name: str) -> float:
        """A variant's first figure beside its peer's: median of the rounds' ratios."""
        figure = next(iter(self.units))
        base = self.peers.get(name, next(iter(self.results)))
        pairs = zip(self.values(name, figure), self.values(base, figure), strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def table(self) -> str:
        """The Markdown table."""
        heads = ["", "ratio", *self.units.values()]
        lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
        for name in self.results:
            cells = [name, f"{self.ratio(name):.2f}"]
            cells += [_cell(self.values(name, figure)) for figure in self.units]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def show(self, options: argparse.Namespace) -> None:
        """Print the table, or one JSON document with every round."""
        machine = machine_line(options.threads)
        if options.json:
            ratios = {name: self.ratio(name) for name in self.results}
            facts = {"title": self.title, "machine": machine, "notes": list(self.notes)}
            print(json.dumps({**facts, "ratios": ratios, "rounds": self.results}))
            return
        print(f"### {self.title}\n\n{machine}\n\n{self.table()}\n")
        for note in self.notes:
            print(f"- {note}")


def _cell(values: Sequence[float]) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return _number(middle)
    return f"{_number(middle)} ({_number(low)}..{_number(high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine_line(threads: int) -> str:
    """Cores, what the CPU can do, torch and threads."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    kind = capability + (" with bf16" if bf16 else "")
    return f"{default_workers()} cores, {kind}, torch {torch.__version__}, {threads} threads"


def parser(about: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options every benchmark has; `about` is its docstring."""
    made = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--threads", type=int, default=default_workers())
    made.add_argument("--quick", action="store_true", help="one tiny round: does it run at all?")
    made.add_argument("--json", action="store_true", help="one JSON document with every round")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    made.add_argument("--material", type=Path, help=argparse.SUPPRESS)
    return made


def passed_on(options: argparse.Namespace) -> list[str]:
    """The options that a worker needs too."""
    quick = ["--quick"] if options.quick else []
    return [*quick, *(["--material", str(options.material)] if options.material else [])]


def run_worker(
    script: str, *arguments: str, threads: int, has_memory: bool = True
) -> dict[str, float]:
    """Start a benchmark again as a worker; its figures, and the peak memory it took in MB.

    The memory is that of the worker and all its children, shared pages counted once (PSS). Whoever
    does not tell it leaves it out: what is looked at waits meanwhile, several processes most.
    """
    environment = dict(os.environ, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = str(threads)
    command = [sys.executable, script, *arguments, "--threads", str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peak = _Peak(process.pid) if has_memory else None
    output, _ = process.communicate()
    if peak is not None:
        peak.stop()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures if peak is None else {**figures, "peak_mb": peak.bytes / 1e6}


class _Peak:
    """Watches the memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        pause = _SAMPLE_SECONDS
        while not self._ended.wait(pause):
            began, total = time.thread_time(), 0
            with contextlib.suppress(psutil.Error):
                for process in [self._root, *self._root.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        memory = process.memory_full_info()
                        total += getattr(memory, "pss", memory.uss)
            self.bytes = max(self.bytes, total)
            pause = max(_SAMPLE_SECONDS, (time.thread_time() - began) / _SAMPLE_SHARE)

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()
