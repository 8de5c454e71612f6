"""A docstring as prose: its words without the wrapping, the markup and the code.

Docstrings are wrapped and indented by hand, and half of some is doctests. A model that reads
them as they are learns line breaks and indentation before it learns words. Everything here goes
by single lines and their indentation: a parser of reStructuredText would refuse what people
really write.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.sources.docstring_markup import without_markup

_NAMES = r"\*{0,2}[\w.\-]+(?:, \*{0,2}[\w.\-]+)*"
_BULLET = re.compile(r"(?:[-*+•]|\(?\d{1,3}[.)]|#\.|\.\.) ")
_FIELD = re.compile(r"^(?:[:@](?=\w+(?: [^:]*)?:(?: |$))|\.\. (?=\[))")
_ENTRY = re.compile(rf"{_NAMES}(?:(?: \(.{{0,200}}\))? ?:(?: |$)| --? )")
_TYPED = re.compile(rf"^({_NAMES}) : (.+)")
_COLUMNS = re.compile(r"[^\s.!?] {3,}\S")

_FENCE = re.compile(r"```[^`]*$")
_PROMPT = re.compile(r">>>|\.\.\.(?: |$)|\$ |(?:In|Out) ?\[\d*\]:")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>$")
_TABLE_RULE = re.compile(r"(?:={2,}|-{2,})(?: +(?:={2,}|-{2,}))+$")
_DIRECTIVE = re.compile(r"^\.\. ([\w:-]+?):: ?")
_NO_PROSE = re.compile(
    "auto|code|container|currentmodule|doctest|figure|highlight|image|include|index|ipython|"
    "literalinclude|math|module|plot|raw|sectionauthor|sourcecode|(.*-)?table|test|toctree"
)
_HEADING = re.compile(
    "(args|arguments|attributes|(code |for )?examples?|(keyword |other )?(arguments|parameters)|"
    "methods|notes?|raises|references|returns|see also|usage|warnings|yields):?",
    re.IGNORECASE,
)


class _Line(NamedTuple):
    indent: int
    text: str


def prose(docstring: str) -> str:
    r"""The words of a docstring, one line for each paragraph, list item or entry.

    >>> prose("Wrapped by\nhand.\n\n    >>> 1 + 1\n    2\n\nThe :class:`~a.B` of ``c``.")
    'Wrapped by hand.\nThe B of c.'
    >>> prose("Parameters\n----------\nx : int\n    The value.\n\nExamples\n--------\n>>> f(1)")
    'Parameters\nx (int): The value.'
    >>> prose("Args:\n    x: The\n        value.\n    y: Another.\nReturns:\n    Both.")
    'Args:\nx: The value.\ny: Another.\nReturns: Both.'

    Left out are doctests, fenced and literal code, rules, tables, comments, directives that hold
    no prose, and section headings with nothing below them. One line break parts the blocks:
    every further one would be one more token that says nothing.
    """
    lines = [
        _Line(len(line) - len(line.lstrip()), line.strip())
        for line in docstring.expandtabs().splitlines()
    ]
    kept: list[str] = []
    for block in reversed(list(_blocks(_without_code(lines)))):
        text = _plain(block)
        nothing_below = not kept or _HEADING.fullmatch(kept[-1])
        if text and not (nothing_below and _HEADING.fullmatch(text)):
            kept.append(text)
    return "\n".join(reversed(kept))


def _without_code(lines: Sequence[_Line]) -> Iterator[_Line]:
    """The lines that hold prose, and an empty one wherever something was left out."""
    position = 0
    while position < len(lines):
        line = lines[position]
        end = _end_of_code(lines, position)
        if end == position:
            yield line
            end = position = position + 1
            if line.text.endswith("::") and not line.text.startswith(".. "):
                bullet = _BULLET.match(line.text)
                end = _end_of_deeper(lines, end, line.indent + (bullet.end() if bullet else 0))
        if end > position:
            yield _Line(0, "")
        position = end


def _end_of_code(lines: Sequence[_Line], start: int) -> int:
    """Where what begins at `start` and is no prose ends; `start` itself if it is prose."""
    indent, text = lines[start]
    end = start + 1
    if _FENCE.match(text):
        while end < len(lines) and not lines[end].text.startswith("```"):
            end += 1
        return end + 1
    if _PROMPT.match(text) or _TABLE_RULE.match(text):
        while end < len(lines) and lines[end].text and lines[end].indent >= indent:
            end += 1
        return end
    if text.startswith(".. ") and not text.startswith(".. ["):
        directive = _DIRECTIVE.match(text)
        if directive is None or _NO_PROSE.match(directive[1]):
            return _end_of_deeper(lines, end, indent)
    is_row = text.startswith("|") and text.endswith("|")
    is_prose = any(map(str.isalnum, text)) and not is_row and not _TAG.match(text)
    return start if is_prose else end


def _end_of_deeper(lines: Sequence[_Line], start: int, indent: int) -> int:
    while start < len(lines) and (lines[start].indent > indent or not lines[start].text):
        start += 1
    return start


def _blocks(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    """Runs of lines that belong together: a paragraph, a list item, an entry."""
    block: list[_Line] = []
    for line in lines:
        if block and _starts_block(line, block):
            yield block
            block = []
        if line.text:
            block.append(line)
    if block:
        yield block


def _starts_block(line: _Line, block: Sequence[_Line]) -> bool:
    """Whether a line begins something new and is no more of the block above it."""
    (indent, text), head, last = line, block[0], block[-1]
    if not text or indent < last.indent or _COLUMNS.search(text) or _HEADING.fullmatch(text):
        return True
    if not _ENTRY.match(text):
        return _is_item(text)
    # Prose may be wrapped before "word: "; an entry stands below a sentence or another entry.
    is_below_entry = indent == head.indent and _is_item(head.text)
    is_below_sentence = indent > last.indent or last.text[-1] in ".:;!?"
    return is_below_entry or is_below_sentence or not text[0].islower()


def _is_item(text: str) -> bool:
    return any(pattern.match(text) for pattern in (_BULLET, _FIELD, _ENTRY))


def _plain(block: Sequence[_Line]) -> str:
    """A block's text on one line without markup; empty if no prose is left."""
    head = " ".join(block[0].text.split())
    if len(block) > 1 and block[1].indent > block[0].indent:
        typed = _TYPED.fullmatch(head)
        if typed:
            head = f"{typed[1]} ({typed[2]}):"
        elif head.count(" ") < 3 and not _is_item(head) and head[-1] not in ".,:;!?":
            head += ":"
    text = without_markup(" ".join([head, *(line.text for line in block[1:])]))
    text = _FIELD.sub("", _DIRECTIVE.sub(r"\1: ", text))
    text = _TYPED.sub(r"\1: \2", text).strip()
    if text.endswith("::"):
        text = text.rstrip(": ") + ":"
    return "" if _end_of_code([_Line(0, text)], 0) else text
