"""What a unit of an evaluation leaves beside its summary: one JSON file for people to read."""

import json
from typing import Any

from tasks.engine.units import UnitResult, UnitWork


def write_record(work: UnitWork, value: Any) -> None:
    """Write a unit's `.json` file."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    work.path(".json").write_text(text, encoding="utf-8")


def read_record(result: UnitResult) -> Any:
    """What a unit has written."""
    return json.loads(result.files[".json"].local().read_text(encoding="utf-8"))
