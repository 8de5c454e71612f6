"""The card of a fine-tuned model, and the picture of what it takes for what."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from tasks.config.downstream import FineTuningConfig
from tasks.publishing.plain_text import cell, one_line, short_name
from tasks.publishing.taught import told_repeated, told_unbeaten

_TAGS = {
    "classify": "text-classification",
    "pair": "text-classification",
    "regress": "text-classification",
    "tag": "token-classification",
    "qa": "question-answering",
}
_DOES = {
    "classify": "tells classes of text apart",
    "pair": "tells what two texts are to each other",
    "regress": "rates text with a number",
    "tag": "tags each word",
    "qa": "finds the answer to a question in a text",
}
_CELL, _LEFT, _TOP = 44, 130, 40


def card_of(
    settings: FineTuningConfig,
    summary: Mapping[str, Any],
    names: Mapping[str, str],
    row_tokens: int,
) -> str:
    """README.md: what it does, how well beside what, how it is used, where it ends.

    `names` are those of the files by part. `row_tokens` is how long its rows are at most, which the
    model may have made fewer than asked.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown; every text goes through `cell`
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda value: cell(short_name(value))
    environment.filters["code"] = lambda value: one_line(value).replace("`", "'")
    return environment.get_template("card.md.j2").render(
        summary,
        settings=settings,
        tag=_TAGS[settings.task],
        does=_DOES[settings.task],
        files=names,
        row_tokens=row_tokens,
        repeated=told_repeated(summary),
        unbeaten=told_unbeaten(summary),
        chosen_one=summary["tried"][summary["chosen"]],
    )


def confusion_picture(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """An SVG: a row for each class as it is, a column for each as it was taken."""
    count = len(labels)
    width, height = _LEFT + count * _CELL + 10, _TOP + count * _CELL + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for row, label in enumerate(labels):
        y = _TOP + row * _CELL + _CELL // 2 + 4
        parts.append(_text(_LEFT - 6, y, label, "end"))
        parts.append(_text(_LEFT + row * _CELL + _CELL // 2, _TOP - 8, label, "middle", 6))
        total = max(1, sum(confusion[row]))
        for column, number in enumerate(confusion[row]):
            x, top = _LEFT + column * _CELL, _TOP + row * _CELL
            share = number / total
            ink = "#fff" if share > 0.5 else "#000"
            parts.append(
                f'<rect x="{x}" y="{top}" width="{_CELL - 2}" height="{_CELL - 2}" '
                f'fill="#1f5fa8" fill-opacity="{share:.3f}" stroke="#ccc"/>'
                f'<text x="{x + _CELL // 2 - 1}" y="{y}" text-anchor="middle" '
                f'fill="{ink}">{number}</text>'
            )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _text(x: int, y: int, label: str, anchor: str, most: int = 18) -> str:
    short = label if len(label) <= most else f"{label[: most - 1]}…"
    shown = html.escape("".join(c if c.isprintable() else " " for c in short))
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{shown}</text>'
