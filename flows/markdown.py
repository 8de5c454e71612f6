"""Markdown of foreign text: what a corpus, a token or a path holds is shown, never obeyed."""

import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST_CELL = 300


def plain(text: object, longest: int = _LONGEST_CELL) -> str:
    """Text as Markdown that shows just this text, on one line, in tables as well.

    Every sign that could begin markup, HTML or a link becomes a character reference: those are
    read after all markup. Line breaks and what cannot be seen become spaces.

    >>> plain("a|b <i> `c` [x](javascript:y)")
    'a&#124;b &#60;i&#62; &#96;c&#96; &#91;x&#93;&#40;javascript&#58;y&#41;'
    """
    seen = str(text)
    shown = seen if len(seen) <= longest else seen[: longest - 1] + "…"
    return "".join(_plain_character(character) for character in shown)


def _plain_character(character: str) -> str:
    if character.isalnum() or character in " ,–…":
        return character
    if unicodedata.category(character)[0] in "CZ":  # controls, direction marks, line separators
        return " "
    return f"&#{ord(character)};" if character.isascii() else character


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A Markdown table of cells that are Markdown already; columns of numbers stand right."""
    rules = ["---:" if column in numbers else ":---" for column in range(len(header))]
    lines = [header, rules, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
