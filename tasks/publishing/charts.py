"""The report's pictures: loss, learning rate, speed, lengths, the ledger's flow, scores."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tasks.publishing.svg import WIDTH, Plot, Point

_MOST_POINTS = 300
_FALL = 54  # below the river, where what is dropped leaves it


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """At most so many points: each the mean of those that it stands for.

    >>> thinned([(1, 4.0), (2, 2.0), (3, 1.0)], most=2)
    [(1.5, 3.0), (3.0, 1.0)]
    """
    size = max(1, -(-len(points) // most))
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (round(sum(x for x, _ in group) / len(group), 2), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def loss_chart(
    steps: Sequence[int], losses: Sequence[float], held_out: Sequence[Point] = ()
) -> str:
    """The training loss over the steps: pale as it came, and its running mean on top.

    `held_out` is the loss on held-out rows at some of the steps; one point makes no line.
    """
    points = thinned(list(zip(map(float, steps), losses, strict=True)))
    values = [loss for _, loss in (*points, *held_out)]
    margin = max(0.05, (max(values) - min(values)) * 0.06)
    plot = Plot((0, float(max(steps))), (max(0.0, min(values) - margin), max(values) + margin))
    plot.grid("step", "loss (nats)")
    smooth = _running_mean(points, max(1, len(points) // 30))
    if smooth != points:
        plot.line(points, "pale")
    if len(held_out) > 1:
        plot.line([(x, round(y, 4)) for x, y in held_out], "held", beside="held out")
    return plot.line([(x, round(y, 4)) for x, y in smooth], "main").svg("training loss by step")


def _running_mean(points: Sequence[Point], window: int) -> list[Point]:
    means, total = [], 0.0
    for index, (x, y) in enumerate(points):
        total += y - (points[index - window][1] if index >= window else 0.0)
        means.append((x, total / min(index + 1, window)))
    return means


def curve_chart(points: Sequence[Point], label: str, last: float) -> str:
    """One figure over the steps, from zero; `last` is the last step."""
    kept = thinned(points)
    top = max(y for _, y in kept) or 1.0
    plot = Plot((0, last), (0.0, top * 1.12), 140).grid("step", label)
    return plot.line([(x, float(f"{y:.4g}")) for x, y in kept], "main").svg(f"{label} by step")


def lengths_chart(counts: Mapping[int, int]) -> str:
    """How many documents have how many characters; the key n stands for 2**n and more."""
    first, last = min(counts), max(counts) + 1
    plot = Plot((first, last), (0, 1.1 * max(counts.values())), 180)
    plot.heights("documents", most=5)
    for power in range(first, last):
        low, high = f"{2**power:,}", f"{2 ** (power + 1):,}"
        told = f"{counts.get(power, 0):,} documents of {low} to {high} characters"
        plot.bar((power + 0.06, power + 0.94), (0, counts.get(power, 0)), "kept", told)
        if (power - first) % max(1, (last - first) // 8) == 0:
            plot.text(plot.x(power), plot.bottom + 16, low, "middle")
    middle = (plot.left + plot.right) / 2
    plot.text(middle, plot.height - 4, "characters, at least", "middle")
    return plot.svg("documents by length")


def flow_chart(stages: Sequence[Mapping[str, Any]], measure: str) -> str:
    """The text's way as a river: what each stage keeps flows on, what it drops leaves below.

    Heights are amounts of the measure. What a stage adds (a long text that is cut) widens it.
    """
    most = max(max(stage[measure]["in"], stage[measure]["kept"]) for stage in stages) or 1
    has_falls = any(n > 0 for stage in stages for n in stage[measure]["dropped"].values())
    plot = Plot((0, len(stages)), (0, most), 230 if has_falls else 158, left=8)
    plot.top, plot.bottom = 10, 150
    for number, stage in enumerate(stages):
        taken, kept = stage[measure]["in"], stage[measure]["kept"]
        lost = sum(amount for amount in stage[measure]["dropped"].values() if amount > 0)
        start, middle, end = number + 0.04, number + 0.36, min(number + 1.04, len(stages))
        plot.draw(_band(plot, (start, middle, end), taken, kept))
        if lost:
            plot.draw(_fall(plot, (start, middle), lost))
            label = f"{lost:,} dropped"
            plot.text(plot.x(middle + 0.22), plot.bottom + _FALL + 16, label, "middle")
        plot.bar((start - 0.04, start), (0, taken), "node", f"{taken:,} {measure} came in")
        plot.text(plot.x(start + 0.03), plot.y(0) - 6, f"{stage['name']}: {taken:,}", "start")
    last = stages[-1][measure]["kept"]
    plot.text(plot.x(len(stages) - 0.06), plot.y(0) - 6, f"kept: {last:,}", "end")
    plot.bar((len(stages) - 0.04, len(stages)), (0, last), "node", f"{last:,} {measure} kept")
    return plot.svg(f"{measure} through the stages")


def _band(plot: Plot, ends: tuple[float, float, float], taken: float, kept: float) -> str:
    """What is kept: as high as what came in on the left, as high as what goes on on the right."""
    start, middle, end = (plot.x(each) for each in ends)
    floor, top, after = plot.y(0), plot.y(taken), plot.y(kept)
    path = f"M{start} {top}C{middle} {top} {middle} {after} {end} {after}V{floor}H{start}Z"
    return f'<path class="flow" d="{path}"><title>{kept:,} kept</title></path>'


def _fall(plot: Plot, ends: Point, lost: float) -> str:
    """What is dropped: it leaves the river at its floor."""
    width = max(1.5, plot.y(0) - plot.y(lost))
    x, floor, low = plot.x(ends[0]), plot.y(0), plot.bottom + _FALL
    half = min(width, 60.0)
    bend = plot.x(ends[1] + 0.2)
    path = (
        f"M{x} {floor}C{bend - half / 2} {floor} {bend - half / 2} {floor} {bend - half / 2} {low}"
        f"H{bend + half / 2}C{bend + half / 2} {floor} {bend + half / 2} {floor} {bend + half} "
        f"{floor}Z"
    )
    return f'<path class="lost" d="{path}"><title>{lost:,} dropped</title></path>'


def scores_chart(scores: Mapping[str, float], chance: float) -> str:
    """Accuracies by group, best first, with the score of guessing as a line."""
    names = sorted(scores, key=lambda name: (-scores[name], name))
    plot = Plot((0, 1), (-len(names), 0.2), 34 + 20 * len(names), left=250)
    plot.bottom, plot.top = plot.height - 20, 4
    for row, name in enumerate(names):
        told = f"{name}: {scores[name]:.1%}"
        plot.bar((0, scores[name]), (-row - 0.12, -row - 0.88), "kept", told)
        shown = name if len(name) <= 40 else f"{name[:39]}…"
        plot.text(plot.left - 6, plot.y(-row - 0.5) + 4, shown, "end")
    line = f"M{plot.x(chance)} {plot.top}V{plot.bottom}"
    plot.draw(
        f'<path class="mark" d="{line}"><title>{escape(f"guessing: {chance:.0%}")}</title></path>'
    )
    for share in (0.0, 0.5, 1.0):
        plot.text(min(plot.x(share), WIDTH - 16), plot.height - 4, f"{share:.0%}", "middle")
    return plot.svg("accuracy by group")
