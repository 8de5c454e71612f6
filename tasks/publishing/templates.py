"""The templates of card and report, and the filters that they use."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from tasks.engine.ledger import amount_dropped
from tasks.inference.shown import shown_token
from tasks.publishing.plain_text import as_python, cell
from tasks.publishing.spent import shown_bytes, shown_energy, shown_seconds


def template(name: str) -> jinja2.Template:
    """A template of this folder; in one of HTML all values are escaped."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name is None or name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount_dropped": amount_dropped,
        "as_json": _as_json,
        "as_python": as_python,
        "cell": cell,
        "number": lambda value: f"{value:,}",
        "shown_bytes": shown_bytes,
        "shown_energy": shown_energy,
        "shown_seconds": shown_seconds,
        "shown_token": shown_token,
    }
    return environment


def _as_json(value: Any) -> str:
    """JSON whose `<` and `>` are as they are; jinja's own has escapes for HTML in their place."""
    return json.dumps(value, ensure_ascii=False)
