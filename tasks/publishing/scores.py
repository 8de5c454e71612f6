"""The scores of an evaluation as rows: each with its interval, and what stands beside it.

    summary of `evaluate` or `finetune` ──▶ [Score, ...] ──▶ card, model-index, report, diff, ...

Intervals are 95 % ones, and the evaluation's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FEW_ITEMS = {"tokens": 2000, "pairs": 1000}
"""Below so many items a score gets a word of caution: its interval is wider than 2 to 3 points."""

_BASELINE = "unigram"


@dataclass(frozen=True)
class Score:
    """One figure of an evaluation.

    Attributes:
        task: What was asked, such as `held-out`.
        measure: What was measured, such as `accuracy at <mask>`.
        value: The figure itself; a share between 0 and 1 where `is_share`.
        items: How many answers it is made of, 0 where nobody says.
        unit: What an item is, in the plural.
        is_share: Whether it is a share of right answers.
        interval: The ends of its 95 % interval.
        baseline: What knows nothing reaches, and what that is.
        higher_is_better: Which way is up.
        method: How the interval was found.
    """

    task: str
    measure: str
    value: float
    items: int = 0
    unit: str = "items"
    is_share: bool = True
    interval: tuple[float, float] | None = None
    baseline: tuple[float, str] | None = None
    higher_is_better: bool = True
    method: str = ""

    @property
    def name(self) -> str:
        """Task and measure, as one row's name."""
        return f"{self.task}, {self.measure}"

    @property
    def is_rough(self) -> bool:
        """Whether it is made of so few items that it says little."""
        return 0 < self.items < FEW_ITEMS.get(self.unit, 500)

    def shown(self, value: float | None = None) -> str:
        """The figure, or another of its kind, as text."""
        number = self.value if value is None else value
        return f"{number:.1%}" if self.is_share else f"{number:,.2f}"

    @property
    def shown_interval(self) -> str:
        """The interval as text; nothing where there is none."""
        if self.interval is None:
            return ""
        low, high = (self.shown(end) for end in self.interval)
        return f"{low.removesuffix('%')} to {high}"

    @property
    def shown_items(self) -> str:
        """How many items, in words."""
        return f"{self.items:,} {self.unit}" if self.items else ""

    @property
    def shown_baseline(self) -> str:
        """What stands beside it, as text; nothing where nothing does."""
        return "" if self.baseline is None else f"{self.shown(self.baseline[0])} {self.baseline[1]}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: `name`, `value`, `interval`, `items`, `unit`, `baseline`."""
        return {
            "name": self.name,
            "value": self.value,
            "interval": None if self.interval is None else list(self.interval),
            "items": self.items,
            "unit": self.unit,
            "baseline": None if self.baseline is None else self.baseline[0],
        }


def lie_apart(a: Score | None, b: Score | None) -> bool | None:
    """Whether the intervals of two figures of one kind lie apart; None where one has none."""
    if a is None or b is None or a.interval is None or b.interval is None:
        return None
    return a.interval[1] < b.interval[0] or b.interval[1] < a.interval[0]


def scores_of(summary: Mapping[str, Any]) -> list[Score]:
    """Every score of an evaluation's summary, in the order they are shown.

    They stand in its table of rows (`scores`, see docs/evaluation.md); those without a number are
    left out.
    """
    held_out, rows = summary.get("held_out") or {}, summary.get("scores") or []
    return [_of_row(row, held_out) for row in rows if isinstance(row.get("value"), int | float)]


def _of_row(row: Mapping[str, Any], held_out: Mapping[str, Any]) -> Score:
    """A row of the evaluation's own table."""
    task, measure = str(row.get("task", "")), str(row.get("measure", "")).replace("_", " ")
    value, interval, chance = float(row["value"]), row.get("interval"), row.get("chance")
    better = row.get("better", "higher") == "higher"
    baseline = None if chance is None else (float(chance), "guessing")
    if task == "held_out" and (beside := _unigram(held_out, measure)) is not None:
        baseline = beside, _BASELINE
    return Score(
        _TASKS.get(task, task.replace("_", " ")),
        measure,
        value,
        int(row.get("n") or 0),
        _UNITS.get(task, "items"),
        is_share=better and measure not in _CORRELATIONS and 0 <= value <= 1,
        interval=(float(interval["low"]), float(interval["high"])) if interval else None,
        baseline=baseline,
        higher_is_better=better,
        method=str(interval.get("method", "as evaluated")) if interval else "",
    )


def _unigram(held_out: Mapping[str, Any], measure: str) -> float | None:
    """What the unigram baseline reaches, where it was measured."""
    kind = "mask" if "mask" in measure else "all"
    found = (held_out.get("unigram") or {}).get(kind) or {}
    return next((found[name] for name in found if measure.startswith(name)), None)


_CORRELATIONS = ("mcc", "spearman", "pearson")
_UNITS = {"held_out": "tokens", "blimp": "pairs", "minimal_pairs": "pairs"}
_TASKS = {"held_out": "held-out text", "blimp": "BLiMP"}
