"""Markdown of foreign text: what a corpus, a token or a path holds is shown, never obeyed."""

import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST_CELL = 300


def plain(text: object, longest: int = _LONGEST_CELL) -> str:
    r"""Text as Markdown that shows just this text, on one line, in tables as well.

    Every sign that could begin markup, HTML or a link has a backslash before it; Prefect's pages
    show character references as they are. Line breaks and what cannot be seen become spaces.

    >>> print(plain("a|b <i> `c` www.x.org"))
    a\|b \<i\> \`c\` www\.x\.org
    """
    seen = str(text)
    shown = seen if len(seen) <= longest else seen[: longest - 1] + "…"
    return "".join(_plain_character(character) for character in shown)


def _plain_character(character: str) -> str:
    if character.isalnum() or character in " ,–…":
        return character
    if unicodedata.category(character)[0] in "CZ":  # controls, direction marks, line separators
        return " "
    return f"\\{character}" if character.isascii() else character


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A Markdown table of cells that are Markdown already; columns of numbers stand right."""
    rules = ["---:" if column in numbers else ":---" for column in range(len(header))]
    lines = [header, rules, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
