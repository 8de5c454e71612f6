"""Foreign text in a card or a report: shown as it is, on its line and in its place."""

import json
import re

# An underscore within a word is no markup.
_MARKUP = re.compile(r"([\\`*~|<>\[\]()!#&]|(?<!\w)_|_(?!\w))")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def cell(text: object) -> str:
    r"""Text that is shown as it is in a Markdown table, on one line.

    >>> print(cell("a|b <i>\n# [x](y)"))
    a\|b \<i\> \# \[x\]\(y\)
    """
    return _MARKUP.sub(r"\\\1", one_line(text))


def seen(text: str) -> str:
    r"""Text with the signs that nobody sees, or that turn its direction, as escapes.

    >>> print(seen("a\n\u202eb"))
    a\x0a\u202eb
    """
    return _UNSEEN.sub(lambda found: "".join(map(_escape, found[0])), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def short_name(text: object, most: int = 100) -> str:
    """A name on one line, without what nobody sees, its end left out where it is long."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def one_line(text: object) -> str:
    """Text on one line, without what nobody sees.

    A line of `---` within a value would end the head of a card for the hub.
    """
    return " ".join(_UNSEEN.sub(" ", str(text)).split())


def as_python(text: str) -> str:
    r"""Text as a Python string on one line, which nothing in it can end; plain letters stay.

    >>> print(as_python('a "b" <mask>\u2028'))
    "a \"b\" <mask>\u2028"
    """
    return seen(json.dumps(text, ensure_ascii=False))
