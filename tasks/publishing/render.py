"""Turning figures into the report (HTML) and the model card (Markdown)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from tasks.engine.ledger import amount_dropped
from tasks.inference.shown import shown_token
from tasks.publishing.charts import ledger_chart, loss_chart, scores_chart, throughput_chart


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["shown_token"] = shown_token
    environment.filters["as_json"] = _as_json
    environment.filters["amount_dropped"] = amount_dropped
    return environment.get_template(name)


def _as_json(value: Any) -> str:
    """JSON for Markdown and YAML; jinja's own has escapes for HTML in place of `<` and `>`."""
    return json.dumps(value, ensure_ascii=False)


def render_card(figures: Mapping[str, Any]) -> str:
    """The model card, with its data, recipe and scores."""
    cells = {
        **figures,
        "recipe": {
            part: [(field, _cell(value)) for field, value in fields]
            for part, fields in figures["recipe"].items()
        },
        "sources": [
            {**source, "name": _note(source["name"]), "licence": _note(source["licence"])}
            for source in figures["sources"]
        ],
    }
    return _template("card.md.j2").render(cells)


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown table cell."""
    return " ".join(str(text).replace("|", "\\|").split())


def _note(text: str | None) -> str | None:
    """A note of somebody's own for a cell: neither a table's bars, nor lines, nor HTML."""
    return None if text is None else _cell(text.replace("\\", "\\\\").replace("<", "&lt;"))


def render_report(
    figures: Mapping[str, Any],
    losses: tuple[Sequence[int], Sequence[float]],
    circumstances: Mapping[str, Any],
) -> str:
    """The report: one HTML file that needs nothing else, neither scripts nor a network.

    `figures` are as `collect_figures` gives them, `losses` steps and their losses, and
    `circumstances` as `collect_circumstances` gives them.
    """
    throughput = circumstances["throughput"]
    blimp = figures["blimp"]
    documents = [stage for stage in figures["ledger"]["stages"] if "documents" in stage]
    return _template("report.html.j2").render(
        figures,
        **circumstances,
        loss_chart=loss_chart(*losses),
        throughput_chart=throughput_chart(*throughput) if len(throughput[0]) > 1 else "",
        ledger_chart=ledger_chart(documents, "documents"),
        blimp_chart=scores_chart(blimp["files"], chance=0.5) if blimp else "",
    )
