"""The report's pictures, as SVG text: the same figures always give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "roberta",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e7eb",
    "axes.axisbelow": True,
    # Labels are names of files and reasons: a `$` in one is no formula.
    "text.parse_math": False,
}
INK, ACCENT, QUIET = "#1f2933", "#2563a6", "#9fb3c8"
_COLOURS = ("#2563a6", "#d9822b", "#8a5fb0", "#b04a5a", "#5a8f3c", "#7b8794", "#c2a83e")
_MOST_POINTS = 800


def _svg(figure: Figure) -> str:
    with io.StringIO() as buffer:
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
    return text[text.index("<svg") :]


def _figure(height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.2, height), layout="constrained")
    return figure, figure.subplots()


def loss_chart(steps: Sequence[int], losses: Sequence[float]) -> str:
    """The training loss over the steps: each step pale, a running mean on top."""
    window = max(1, len(losses) // 40)
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.8)
        stride = max(1, len(losses) // _MOST_POINTS)
        smooth = _running_mean(losses, window)
        if window > 1:
            axes.plot(steps[::stride], losses[::stride], color=QUIET, linewidth=0.7, label="step")
        axes.plot(steps[::stride], smooth[::stride], color=ACCENT, label=f"mean of {window} steps")
        axes.set_xlabel("step")
        axes.set_ylabel("masked-LM loss (nats)")
        if window > 1:
            axes.legend(frameon=False)
        return _svg(figure)


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value
        if index >= window:
            total -= values[index - window]
        means.append(total / min(index + 1, window))
    return means


def throughput_chart(steps: Sequence[int], tokens_per_second: Sequence[float]) -> str:
    """Tokens a second over the checkpoint intervals of the training."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(2.0)
        axes.plot(steps, tokens_per_second, color=ACCENT, marker="o", markersize=3)
        axes.set_ylim(0, 1.15 * max(tokens_per_second))
        axes.set_xlim(0, 1.02 * max(steps))
        axes.set_xlabel("step")
        axes.set_ylabel("tokens/s")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        return _svg(figure)


def ledger_chart(stages: Sequence[Mapping[str, Any]], measure: str) -> str:
    """For each stage, what was kept and what was dropped for which reason, as shares."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(0.7 + 0.45 * len(stages))
        reasons = sorted({why for stage in stages for why in stage[measure]["dropped"]})
        for row, stage in enumerate(stages):
            entry = stage[measure]
            start = 0.0
            parts = [("kept", entry["kept"], ACCENT)]
            for reason, amount in entry["dropped"].items():
                colour = _COLOURS[1 + reasons.index(reason) % (len(_COLOURS) - 1)]
                parts.append((reason, max(0, amount), colour))
            for _, amount, colour in parts:
                share = amount / max(1, entry["in"])
                axes.barh(row, share, left=start, color=colour, height=0.6)
                start += share
        axes.set_yticks(range(len(stages)), [stage["name"] for stage in stages])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y", visible=False)
        handles = [mpl.patches.Patch(color=ACCENT, label="kept")]
        handles += [
            mpl.patches.Patch(color=_COLOURS[1 + i % (len(_COLOURS) - 1)], label=reason)
            for i, reason in enumerate(reasons)
        ]
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        return _svg(figure)


def scores_chart(scores: Mapping[str, float], chance: float) -> str:
    """Accuracies by group, best first, with the score of guessing as a line."""
    with mpl.rc_context(_STYLE):
        names = sorted(scores, key=lambda name: (-scores[name], name))
        figure, axes = _figure(0.6 + 0.2 * len(names))
        axes.barh(names, [scores[name] for name in names], color=ACCENT, height=0.7)
        axes.axvline(chance, color=INK, linewidth=0.8, linestyle="--")
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", labelsize=7)
        return _svg(figure)
