"""What `docs/commands.md` says, by command: its table's rows, in order."""

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"


def sections() -> dict[str, dict[str, str]]:
    """For each command the left column of its table to the right one."""
    found = {}
    for part in GUIDE.read_text(encoding="utf-8").split("\n## ")[1:]:
        name = re.match(r"`roberta ([a-z-]+)`", part)
        assert name is not None, part.split("\n")[0]
        rows = re.findall(r"^\| (.+?) \| (.*) \|$", part, re.MULTILINE)
        found[name[1]] = dict(rows)
        assert len(found[name[1]]) == len(rows), f"{name[1]}: a row stands there twice"
    return found


def json_fields(told: str) -> dict[str, set[str]]:
    """The fields that a JSON row names, each with those of its entries where they are told.

    `a`, `b` (each `c`, `d`), `e`: anything  ──▶  {"a": {}, "b": {"c", "d"}, "e": {}}
    """
    fields: dict[str, set[str]] = {}
    for name, below in re.findall(r"`(\w+)`(?: \(([^)]*)\))?", told):
        fields[name] = set(re.findall(r"`(\w+)`", below))
    return fields
