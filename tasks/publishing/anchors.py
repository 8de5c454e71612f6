"""Published scores of known models, to stand beside ours: facts with their sources, as data."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PLACE = Path(__file__).with_name("anchors.json")


@dataclass(frozen=True)
class Anchor:
    """One published score.

    Attributes:
        model: Whose it is.
        trained_on: How much text that model was pretrained on.
        measure: What was measured, as `Score.measure` calls it.
        value: A share between 0 and 1.
        set: Which items, and how they were scored; others are not quite comparable.
        source: Where it was published.
    """

    model: str
    trained_on: str
    measure: str
    value: float
    set: str
    source: str

    @property
    def name(self) -> str:
        """Model and amount of text."""
        return f"{self.model}, {self.trained_on}"


@cache
def read_anchors() -> dict[str, tuple[Anchor, ...]]:
    """All of them by task, as `Score.task` calls it."""
    known = json.loads(_PLACE.read_text(encoding="utf-8"))
    return {task: tuple(Anchor(**each) for each in rows) for task, rows in known.items()}


def anchors_of(task: str, measure: str) -> tuple[Anchor, ...]:
    """Those of a task by a measure, whatever the spelling; the one nearest to ours in kind first.

    An F1 is no exact match, and an accuracy no Matthews correlation: of those of another measure
    none stands beside a score.
    """
    plain = _plain(task)
    rows = next((rows for name, rows in read_anchors().items() if _plain(name) in plain), ())
    return tuple(each for each in rows if _plain(each.measure) == _plain(measure))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
