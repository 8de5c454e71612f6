"""Recovery times as a table and as a picture.

`python recovery.py OUT RESULTS.jsonl ...` makes both of the results of several runs.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

Results = Sequence[Mapping[str, Any]]

_SPANS = (("true_seconds", "state true"), ("done_seconds", "Completed"))


def _by_kind(results: Results) -> dict[str, list[Mapping[str, Any]]]:
    """Results by what was hit and how, without those that could not be done or hit nothing."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        fault = result["fault"]
        if not result["skipped"] and not result["did"].startswith("nothing"):
            found[f"{fault['target']} {fault['how']}"].append(result)
    return dict(sorted(found.items()))


def table(results: Results) -> str:
    """Markdown: for each kind how many, the broken ones, and seconds (median, longest)."""
    lines = [
        "| fault | runs | broken | state true, s | run ended, s | Completed, s | retries |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, those in _by_kind(results).items():
        broken = sum(bool(result["problems"]) for result in those)
        spans = [_span(those, name) for name in ("true_seconds", "end_seconds", "done_seconds")]
        tries = max(result["retries"] for result in those)
        lines.append(f"| {kind} | {len(those)} | {broken} | {' | '.join(spans)} | {tries} |")
    missed = [r for r in results if not r["skipped"] and r["did"].startswith("nothing")]
    skipped = [r for r in results if r["skipped"]]
    lines.append(f"\nmedian / longest; {len(missed)} hit nothing, {len(skipped)} were skipped")
    return "\n".join(lines)


def _span(results: Results, name: str) -> str:
    known = [result[name] for result in results if result[name] is not None]
    return f"{median(known):.0f} / {max(known):.0f}" if known else "-"


def draw(results: Results, path: Path) -> None:
    """One row for each kind of fault, one dot for each fault."""
    kinds = _by_kind(results)
    figure, axes = plt.subplots(figsize=(8, 1.5 + 0.24 * max(1, len(kinds))))
    for (name, label), color in zip(_SPANS, ("tab:orange", "tab:blue"), strict=True):
        dots = [
            (max(result[name], 0.2), row)
            for row, those in enumerate(kinds.values())
            for result in those
            if result[name] is not None
        ]
        across, down = zip(*dots, strict=True) if dots else ((), ())
        axes.scatter(across, down, s=14, color=color, label=label, alpha=0.7)
    axes.axvline(120, color="tab:red", linewidth=0.8, label="promised for the state: 120 s")
    axes.set_xscale("log")
    axes.set_yticks(range(len(kinds)), list(kinds), fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("seconds after the fault")
    axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)
    plt.close(figure)


if __name__ == "__main__":
    read = [
        json.loads(line) for file in sys.argv[2:] for line in Path(file).read_text().splitlines()
    ]
    draw(read, Path(sys.argv[1]))
    print(table(read))
