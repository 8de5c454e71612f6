"""Text parted into documents as it streams by.

A separator is looked for in a buffer and believed only when it ends well before the buffer
does, so where blocks happen to end has no influence on what is found. Separators longer than
`MARGIN` characters are the one thing this cannot see.
"""

import re
from collections.abc import Iterable, Iterator

MARGIN = 1 << 14
_CONTEXT = 1 << 10
# Atomic: a line end of Windows must never be taken for two.
_BREAK = r"(?>\r\n|\r|\n)"

LINE = re.compile(_BREAK)
JSON_LINE = re.compile(r"\n")
BLANK_LINE = re.compile(rf"{_BREAK}(?:[^\S\r\n]*{_BREAK})+")
_LEADING_BLANKS = re.compile(rf"(?:[^\S\r\n]*{_BREAK})*")


class TooLong(Exception):  # noqa: N818 - it is no error of its own, the caller words it
    """A piece is longer than allowed; `args[0]` is its number, from 0."""


def split_text(
    pieces: Iterable[str], separator: re.Pattern[str], max_characters: int
) -> Iterator[str]:
    """The parts between separators, in order, empty ones included but for an empty last one.

    Empty matches part too, unless they would give an empty part: `(?=^CHAPTER)` begins a
    document at each such line.

    Raises:
        TooLong: a part has more than `max_characters` characters.
    """
    buffer, start, searched, number = "", 0, 0, 0
    stream = iter(pieces)
    ended = False
    while not ended:
        piece = next(stream, None)
        ended = piece is None
        keep = max(0, start - _CONTEXT)
        buffer = buffer[keep:] + (piece or "")
        start, searched = start - keep, searched - keep
        safe = len(buffer) if ended else len(buffer) - MARGIN
        for match in separator.finditer(buffer, max(start, searched)):
            if match.end() > safe:
                break
            if match.end() == match.start() == start:
                continue
            if match.start() - start > max_characters:
                raise TooLong(number)
            yield buffer[start : match.start()]
            start, number = match.end(), number + 1
        searched = max(start, safe - MARGIN)
        if len(buffer) - start > max_characters + MARGIN:
            raise TooLong(number)
    if start < len(buffer):
        if len(buffer) - start > max_characters:
            raise TooLong(number)
        yield buffer[start:]


def trim_blank_lines(text: str) -> str:
    """Without blank lines at the start and line breaks at the end."""
    return text[_LEADING_BLANKS.match(text).end() :].rstrip("\r\n")  # type: ignore[union-attr]
