"""JSON that every reader takes: what it has no word for is null, or the text that names it."""

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any, *, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """A value as JSON. A number that is none or has no end is null, a date and the like its text.

    >>> json_text({"text": "é", "scores": [0.5, float("nan")]})
    '{"text": "é", "scores": [0.5, null]}'
    """
    how: dict[str, Any] = {"indent": indent, "ensure_ascii": ensure_ascii, "default": str}
    try:
        return json.dumps(value, allow_nan=False, **how)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, **how)


def _finite(value: Any) -> Any:
    """The same with None in place of numbers that are none, or have no end."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
