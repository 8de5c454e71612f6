"""What lies behind the scores, as rows of text: hidden tokens by kind, and what was contained.

An evaluation need not hold any of it (docs/evaluation.md): what is missing makes no table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_TITLES = {
    "by_frequency": "how often they stand in the training rows",
    "by_position": "where in the row they stand",
}


def detail_tables(
    held_out: Mapping[str, Any] | None, sources: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The hidden tokens by source, by frequency, by place in the row; `sources` are their names.

    Each `{"title", "rows": [{"label", "tokens", "loss", "perplexity", "accuracy",
    "bits_per_byte"}]}`. Frequencies are in the order of their numbers, and kinds that no token was
    of are left out. By source there is a table where there are several.
    """
    at_mask = (held_out or {}).get("at_mask") or {}
    found: list[dict[str, Any]] = []
    by_source = at_mask.get("by_source") or []
    if len(by_source) > 1:
        named = zip(sources, by_source, strict=True)
        rows = [_detail(label, part) for label, part in named if part.get("tokens")]
        found.append({"title": "the source they are from", "rows": rows})
    for name, title in _TITLES.items():
        parts = at_mask.get(name) or {}
        labels = sorted(parts, key=lambda label: (_first_number(label), _ORDER.get(label, 0)))
        rows = [_detail(label, parts[label]) for label in labels if parts[label].get("tokens")]
        if rows:
            found.append({"title": title, "rows": rows})
    return found


_ORDER = {f"{which} quarter": number for number, which in enumerate(("first", "second", "third"))}
_ORDER["last quarter"] = 3


def _first_number(label: str) -> int:
    digits = label.split(" ")[0].replace(",", "")
    return int(digits) if digits.isdecimal() else 0


def _detail(label: str, part: Mapping[str, Any]) -> dict[str, str]:
    return {
        "label": label,
        "tokens": f"{part['tokens']:,}",
        "loss": f"{part['loss']:.3f}",
        "perplexity": f"{part['perplexity']:,.1f}",
        "accuracy": f"{part['accuracy']:.1%}",
        "bits_per_byte": "–" if part["bits_per_byte"] is None else f"{part['bits_per_byte']:.3f}",
    }


def contamination_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each task whose items were looked for in the training text: how many, and its score without.

    `{"name", "items", "contained", "with", "without", "flagged"}`.
    """
    tasks = (summary.get("contamination") or {}).get("tasks") or {}
    return [
        {
            "name": name,
            "items": f"{part['items']:,}",
            "contained": f"{part['contained']:,}",
            "with": _value(part.get("with")),
            "without": _value(part.get("without")),
            "flagged": bool(part.get("flagged")),
        }
        for name, part in tasks.items()
    ]


def _value(score: Mapping[str, Any] | None) -> str:
    return "–" if not score or score.get("value") is None else f"{score['value']:.1%}"
