"""What is told of an evaluation: the line a run ends with, and the values a report puts first."""

from collections.abc import Mapping
from typing import Any


def headline(summary: Mapping[str, Any]) -> str:
    """What tells one model from another, in one line; at masks first, as the total flatters."""
    parts = []
    if held_out := summary.get("held_out"):
        hidden, unigram = held_out["by_kind"]["mask"], held_out["unigram"]["mask"]
        if hidden["tokens"]:
            beside = f"(unigram {unigram['accuracy']:.1%})"
            parts.append(f"held-out accuracy {hidden['accuracy']:.1%} at <mask> {beside}")
        total = f"{held_out['accuracy']:.1%}, perplexity {held_out['perplexity']:.1f}"
        parts.append(f"{'' if parts else 'held-out '}accuracy over all chosen {total}")
    if blimp := summary.get("blimp"):
        parts.append(f"BLiMP {blimp['accuracy']:.1%}")
        if too_long := blimp["too_long"]:
            parts.append(f"{too_long:,} {'pair' if too_long == 1 else 'pairs'} too long")
    parts += [f"{score['task']} {shown(score)}" for score in leading_scores(summary)]
    return ", ".join(parts)


def leading_scores(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first, most telling score of each task that has a name of its own."""
    first: dict[str, Mapping[str, Any]] = {}
    for score in summary.get("scores", ()):
        if score["task"] in summary.get("tasks", ()):
            first.setdefault(score["task"], score)
    return list(first.values())


def shown(score: Mapping[str, Any]) -> str:
    """A score's value as text: a share as per cent, anything else as a number.

    >>> shown({"measure": "accuracy", "value": 0.625}), shown({"measure": "bits", "value": 1.5})
    ('62.5%', '1.500')
    """
    return f"{score['value']:.1%}" if is_share(score) else f"{score['value']:,.3f}"


def is_share(score: Mapping[str, Any]) -> bool:
    """Whether a score is a share of right answers."""
    return str(score["measure"]).startswith(("accuracy", "precision"))


def figures(summary: Mapping[str, Any]) -> dict[str, str]:
    """The scores by their labels, as text."""
    found = {}
    if held_out := summary.get("held_out"):
        at_masks = held_out["by_kind"]["mask"]["accuracy"]
        found["held-out perplexity"] = f"{held_out['perplexity']:.1f}"
        found["held-out accuracy at <mask>"] = "–" if at_masks is None else f"{at_masks:.1%}"
    if blimp := summary.get("blimp"):
        found["BLiMP"] = f"{blimp['accuracy']:.1%}"
    found |= {score["task"]: shown(score) for score in leading_scores(summary)}
    return found
