"""Two models beside each other on the same texts: may the new one take the old one's place?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.config import Config
from tasks.engine.records import Artifact
from tasks.errors import UserError
from tasks.evaluation.told import is_share, leading_scores


@dataclass(frozen=True)
class Comparison:
    """The shares of right answers of two models, by what was asked.

    Attributes:
        before: The published model's.
        after: The new model's.
        margin: How much lower a share may be.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    margin: float

    @property
    def fallen(self) -> list[str]:
        """The scores that are lower by more than the margin, or that the new model lacks."""
        return [
            name
            for name, share in self.before.items()
            if not self.after.get(name, -1.0) >= share - self.margin - 1e-12  # NaN is no score
        ]

    @property
    def is_good(self) -> bool:
        """Whether something was scored, and no score has fallen."""
        return bool(self.before) and not self.fallen

    def told(self) -> str:
        """The scores of both, in a line.

        >>> Comparison({"BLiMP": 0.61}, {"BLiMP": 0.58}, margin=0.01).told()
        'BLiMP 61.0% -> 58.0% (fell by more than 1.0 points)'
        """
        parts = []
        for name, share in self.before.items():
            now = self.after.get(name)
            text = f"{name} {share:.1%} -> {'none' if now is None else f'{now:.1%}'}"
            if name in self.fallen:
                text += f" (fell by more than {100 * self.margin:.1f} points)"
            parts.append(text)
        return ", ".join(parts) or "nothing was scored"

    def to_json(self) -> dict[str, Any]:
        """For the run's record."""
        return {
            "before": dict(self.before),
            "after": dict(self.after),
            "margin": self.margin,
            "fallen": self.fallen,
        }


def check_scores(config: Config) -> None:
    """Refuse to refresh where two models could not be told apart.

    Raises:
        UserError: the config asks for no score.
    """
    holds_out = any(source.held_out > 0 for source in config.corpus)
    wanted = config.evaluate
    sets = wanted.blimp is not None or bool(wanted.tasks)
    if not sets and (wanted.held_out is None or not holds_out):
        raise UserError(
            "evaluate: nothing is scored, so a refresh could not tell a worse model. Set "
            "evaluate.held_out, with a share that a source keeps as held_out, evaluate.blimp or "
            "evaluate.tasks."
        )


def compare(before: Artifact, after: Artifact, margin: float) -> Comparison:
    """Compare two `evaluate` artifacts that asked the same."""
    return Comparison(shares_right(before.summary), shares_right(after.summary), margin)


def shares_right(summary: Mapping[str, Any]) -> dict[str, float]:
    """The scores of an evaluation that may not fall, each a share of right answers."""
    found = {}
    if held_out := summary.get("held_out"):
        at_masks = held_out["by_kind"]["mask"]["accuracy"]
        if at_masks is not None:
            found["held-out accuracy at <mask>"] = float(at_masks)
    if blimp := summary.get("blimp"):
        found["BLiMP"] = float(blimp["accuracy"])
    for score in filter(is_share, leading_scores(summary)):
        found[f"{score['task']} {score['measure']}"] = float(score["value"])
    return found
