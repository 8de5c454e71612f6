"""Pictures as SVG text, drawn by hand: lines, bars and areas on axes with round numbers.

    Plot(x=(0, 300), y=(2, 7)).grid("step", "loss").line(points, "main").svg("the loss")

Colours are classes of the report's style sheet, so a picture is light or dark as its page is. The
same figures give the same bytes. Every text in it is escaped.
"""

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Self

Point = tuple[float, float]
Range = tuple[float, float]

WIDTH = 640


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range, at most `most` steps apart.

    >>> ticks(0, 317, most=4), ticks(2.1, 2.9, most=4)
    ([0, 100, 200, 300], [2.2, 2.4, 2.6, 2.8])
    """
    rough = (high - low) / most or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    numbers = [round(number * step, digits) for number in range(first, last + 1)]
    return [int(number) if digits == 0 else number for number in numbers]


def shown(value: float) -> str:
    """A number on an axis, short.

    >>> [shown(n) for n in (0, 0.0005, 2.5, 12_000, 3_000_000)]
    ['0', '0.0005', '2.5', '12k', '3M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):g}{unit}"
    return f"{value:,.6g}"


class Plot:
    """One picture with axes.

    Args:
        x: What the picture is wide for.
        y: What it is high for.
        height: In units of which it is `WIDTH` wide.
        left: Room for the numbers at the y axis.
    """

    def __init__(self, x: Range, y: Range, height: int = 220, left: int = 52) -> None:
        self.x_range, self.y_range = x, y
        self.height, self.left = height, left
        self.right, self.top, self.bottom = WIDTH - 12, 22, height - 36
        self._parts: list[str] = []
        self._points: Sequence[Point] = ()
        self._beside: dict[str, Sequence[Point]] = {}

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low or 1) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Where a value lies, from the top."""
        low, high = self.y_range
        return round(self.bottom - (value - low) / (high - low or 1) * (self.bottom - self.top), 1)

    def grid(self, x_label: str, y_label: str) -> Self:
        """Axes with their numbers and names."""
        self.heights(y_label)
        for value in ticks(*self.x_range, most=6):
            self.text(self.x(value), self.bottom + 16, shown(value), "middle", "tick")
        return self.text((self.left + self.right) / 2, self.height - 4, x_label, "middle")

    def heights(self, label: str, most: int = 4) -> Self:
        """The y axis alone: its numbers, and above whatever is drawn what they count."""
        for value in ticks(*self.y_range, most=most):
            place = self.y(value)
            self._parts.append(f'<path class="grid" d="M{self.left} {place}H{self.right}"/>')
            self.text(self.left - 6, place + 4, shown(value), "end")
        return self.text(self.left, self.top - 10, label, "start")

    def line(self, points: Sequence[Point], kind: str, beside: str = "") -> Self:
        """A line; `kind` is its class.

        Whoever points at the picture is told the last one's figures, and those of each line that
        is named as standing `beside` it.
        """
        path = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        self._parts.append(f'<polyline class="line {kind}" points="{path}"/>')
        if beside:
            self._beside[beside] = points
        self._points = points
        return self

    def bar(self, span: Range, rows: Range, kind: str, told: str) -> Self:
        """A bar from one corner to the other; `told` is shown to whoever points at it."""
        left, right = self.x(span[0]), self.x(span[1])
        top, bottom = sorted((self.y(rows[0]), self.y(rows[1])))
        size = f'x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
        title = f"<title>{escape(told)}</title>"
        self._parts.append(f'<rect class="{kind}" {size}>{title}</rect>')
        return self

    def text(self, x: float, y: float, text: str, anchor: str, kind: str = "") -> Self:
        """A label; `kind` is its class."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        named = f'class="{kind}" ' if kind else ""
        self._parts.append(f"<text {named}{place}>{escape(text)}</text>")
        return self

    def draw(self, markup: str) -> Self:
        """Markup of the caller's own."""
        self._parts.append(markup)
        return self

    def svg(self, what: str) -> str:
        """The picture; `what` says to those who cannot see it what it shows."""
        data = ""
        if self._points:
            frame = [self.left, self.right, self.top, self.bottom, *self.x_range, *self.y_range]
            lines = {"points": self._points, "beside": self._beside}
            told = escape(json.dumps({"frame": frame, **lines}))
            data = f' data-plot="{told}"'
        size = f'viewBox="0 0 {WIDTH} {self.height}"'
        label = f'role="img" aria-label="{escape(what)}"'
        return f"<svg {size} {label}{data}>{''.join(self._parts)}</svg>"
