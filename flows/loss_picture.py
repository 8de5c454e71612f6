"""The loss so far, and that on held-out rows, as a small SVG inside Markdown.

It is drawn by hand, so in no time. The report's own chart takes its colours from the page it
stands in; an image has none around it.
"""

import base64
from collections.abc import Sequence

from tasks.publishing.charts import thinned
from tasks.publishing.svg import Point, shown, ticks

_WIDTH, _HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 40
_BLUE, _BROWN = "#2563a6", "#a5651a"


def loss_picture(points: Sequence[Point], last_step: float, held_out: Sequence[Point] = ()) -> str:
    """A Markdown image of the losses; the axis goes to the training's last step."""
    svg = loss_svg(thinned(points), last_step, held_out)
    return f"![loss](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def loss_svg(points: Sequence[Point], last_step: float, held_out: Sequence[Point] = ()) -> str:
    """The picture itself."""
    losses = [loss for _, loss in (*points, *held_out)] or [0.0, 1.0]
    low, high = min(losses), max(losses)
    margin = max(0.05, (high - low) * 0.06)
    low, high = max(0.0, low - margin), high + margin
    last = max([last_step, 1.0, *(step for step, _ in (*points, *held_out))])

    def x(step: float) -> float:
        return round(_LEFT + step / last * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(loss: float) -> float:
        return round(_TOP + (high - loss) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12" fill="#52606d">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for loss in ticks(low, high):
        parts.append(
            f'<path d="M{_LEFT} {y(loss)}H{_WIDTH - _RIGHT}" stroke="#e4e7eb"/>'
            f'<text x="{_LEFT - 8}" y="{y(loss) + 4}" text-anchor="end">{shown(loss)}</text>'
        )
    for step in ticks(0, last):
        anchor = "start" if step == 0 else "end" if step == last else "middle"
        place = f'x="{x(step)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="{anchor}"'
        parts.append(f"<text {place}>{step:,.0f}</text>")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">step</text>')
    lines = (("on training rows", points, _BLUE, ""), ("on held-out rows", held_out, _BROWN, "6 3"))
    for number, (name, drawn, colour, dashes) in enumerate(lines):
        if not drawn:
            continue
        line = " ".join(f"{x(step)},{y(loss)}" for step, loss in drawn)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes}"/>'
        )
        step, loss = drawn[-1]
        parts.append(f'<circle cx="{x(step)}" cy="{y(loss)}" r="3.5" fill="{colour}"/>')
        if held_out:
            place = f'x="{_WIDTH - _RIGHT - 8}" y="{_TOP + 18 + 18 * number}" text-anchor="end"'
            parts.append(f'<text {place} fill="{colour}">{name}</text>')
    return "".join(parts) + "</svg>"
