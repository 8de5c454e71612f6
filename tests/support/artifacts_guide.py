"""What `docs/artifacts.md` says: the files that a store holds, and the fields of those in JSON."""

import re
from collections.abc import Mapping
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "artifacts.md"


def rows_of(table: str) -> dict[str, str]:
    """The rows of the table with this heading, the left column without its backticks."""
    text = GUIDE.read_text(encoding="utf-8")
    body = text[text.index(f"\n| {table} |") + 1 :].split("\n\n")[0]
    rows = re.findall(r"^\| `(.+?)` \| (.*) \|$", body, re.MULTILINE)
    assert rows, f"{GUIDE.name} has no table with the heading {table}"
    return dict(rows)


def pattern_of(path: str) -> re.Pattern[str]:
    """What a path of the guide matches; `<...>` stands for a part of a name.

    A file name (`<file>`) and the name of an attempt may lie deeper than one folder; a key is a
    number.
    """
    parts = re.split(r"(<\w+>)", path)
    anything = {"<file>": ".+", "<attempt>": "[^/]+", "<key>": "[0-9a-f]{16}"}
    return re.compile(
        "".join(
            anything.get(part, "[^/]+") if part.startswith("<") else re.escape(part)
            for part in parts
        )
    )


def is_always_there(meaning: str) -> bool:
    """Whether a row names files of every run: others say when, in italics at their end."""
    return not meaning.endswith(")*")


def files_below(store: Path) -> list[str]:
    """Every file in a store on a disk; what links lead to is not looked at."""
    paths = (path for path in store.rglob("*") if path.is_file())
    return sorted(path.relative_to(store).as_posix() for path in paths)


def unnamed(store: Path, rows: Mapping[str, str]) -> list[str]:
    """Files that no row of the guide is about."""
    patterns = [pattern_of(path) for path in rows]
    return [
        file
        for file in files_below(store)
        if not any(pattern.fullmatch(file) for pattern in patterns)
    ]
