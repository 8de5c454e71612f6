"""What is told of an evaluation: the line a run ends with, and the values a report puts first."""

from collections.abc import Mapping
from typing import Any


def headline(summary: Mapping[str, Any]) -> str:
    """What tells one model from another, in one line."""
    parts = []
    if held_out := summary["held_out"]:
        hidden, unigram = held_out["by_kind"]["mask"], held_out["unigram"]["mask"]
        parts.append(f"held-out perplexity {held_out['perplexity']:.1f}")
        text = f"accuracy {held_out['accuracy']:.1%}"
        if hidden["tokens"]:
            beside = f"{hidden['accuracy']:.1%} at <mask>, unigram {unigram['accuracy']:.1%}"
            text = f"{text} ({beside})"
        parts.append(text)
    if blimp := summary["blimp"]:
        parts.append(f"BLiMP {blimp['accuracy']:.1%}")
        if too_long := blimp["too_long"]:
            parts.append(f"{too_long:,} {'pair' if too_long == 1 else 'pairs'} too long")
    return ", ".join(parts)


def figures(summary: Mapping[str, Any]) -> dict[str, str]:
    """The scores by their labels, as text."""
    found = {}
    if held_out := summary["held_out"]:
        at_masks = held_out["by_kind"]["mask"]["accuracy"]
        found["held-out perplexity"] = f"{held_out['perplexity']:.1f}"
        found["held-out accuracy at <mask>"] = "–" if at_masks is None else f"{at_masks:.1%}"
    if blimp := summary["blimp"]:
        found["BLiMP"] = f"{blimp['accuracy']:.1%}"
    return found
