"""A guessed token as a person can read it."""

import unicodedata
from itertools import groupby

_NAMES = {" ": "space", "\n": "line break", "\t": "tab", "\r": "carriage return"}
_NOT_TEXT = "\N{REPLACEMENT CHARACTER}"  # what bytes that are no whole character decode to


def shown_token(token: str) -> str:
    """Return a token as one line of text that says what it is.

    Spaces around a word are left out. A token of white space alone is told in words, such as
    (line break) or (2 line breaks, 4 spaces), and so is a piece of a character.
    """
    text = token.strip()
    if text:
        return text if text.strip(_NOT_TEXT) else "(part of a character)"
    runs = [_run(kind, len(list(run))) for kind, run in groupby(token.replace("\r\n", "\n"))]
    return f"({', '.join(runs) or 'nothing'})"


def _run(character: str, count: int) -> str:
    name = _NAMES.get(character) or unicodedata.name(character, "").lower()
    name = name or f"U+{ord(character):04X}"
    return name if count == 1 else f"{count} {name}s"
