"""The markup inside a line of a docstring, taken off: what a reader sees of it stays.

Docstrings mix reStructuredText and Markdown, often in one sentence, so this takes the marks of
both that are plain to tell, and leaves all others as they are.
"""

import re

_QUOTED = re.compile(r"\[`([^`]*)`\]|(:[\w:.+-]{1,40}:)?`([^`]*)`(?:__?(?!\w))?")
_WORDS_APART = re.compile(r"(?<=\w)`+(?=\w)")
_ESCAPE = re.compile(r"(?<!\\)\\(?=[*_| ])")
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*?)(\w+)\1(?![\w*])")
_FOOTNOTE = re.compile(r"(?<=\])_(?!\w)")


def without_markup(text: str) -> str:
    r"""Text as a reader sees it, single-spaced.

    >>> without_markup(r"See :meth:`~a.B.c`, `PEP 8 <pep8>`_, ``x``, [`Y`], \*args, *z* and [1]_.")
    'See c, PEP 8, x, Y, *args, z and [1].'
    """
    if "`" in text:
        text = _WORDS_APART.sub(" ", _QUOTED.sub(_shown, text)).replace("`", "")
    text = _FOOTNOTE.sub("", _EMPHASIS.sub(r"\2", _ESCAPE.sub("", text)))
    return " ".join(text.split())


def _shown(quoted: re.Match[str]) -> str:
    """The title of `title <target>`, and C of :role:`~a.b.C`."""
    linked, role, text = quoted[1], quoted[2], quoted[3] or ""
    text = linked or text
    if text.endswith(">") and ("<" if role else " <") in text[1:]:
        text = text[: text.rindex("<")].rstrip()
    elif text.startswith("~"):
        text = text[1:].rpartition(".")[2]
    return f"`{text}`"
