"""Records of a text file, and what is said of records that cannot be read.

A record that cannot be read raises `UserError` with the file, the record, the key and what to
do: text is never skipped without a word.
"""

import difflib
import re
from collections.abc import Iterable, Iterator

from tasks.config.reading import ReadingOptions, RegexSeparator
from tasks.errors import UserError
from tasks.formats.splitting import BLANK_LINE, LINE, TooLong, split_text, trim_blank_lines


def text_records(pieces: Iterable[str], options: ReadingOptions, where: str) -> Iterator[str]:
    """The documents of a text file, parted by the configured separator."""
    separator, limit = options.separator, options.max_document_bytes
    if separator == "line":
        parts = split_text(pieces, LINE, limit)
    elif separator == "blank_line":
        parts = split_text(pieces, BLANK_LINE, limit)
    elif separator == "file":
        parts = _whole(pieces, limit)
    else:
        assert isinstance(separator, RegexSeparator)
        parts = split_text(pieces, re.compile(separator.regex, re.MULTILINE), limit)
    try:
        for part in parts:
            if separator in ("line", "file"):
                yield part
            elif text := trim_blank_lines(part):
                yield text
    except TooLong as problem:
        raise too_long(where, problem.args[0], limit, has_separator=True) from None


def _whole(pieces: Iterable[str], limit: int) -> Iterator[str]:
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLong(0)
    yield "".join(found)


def too_long(where: str, record: int, limit: int, *, has_separator: bool = False) -> UserError:
    """What to say when a document is longer than `max_document_bytes`."""
    advice = "Cut it into several before it comes here"
    if has_separator:
        advice = "Choose a `separator` that occurs in this file (line, blank_line or a regex)"
    return UserError(
        f"{where}: record {record:,} is longer than {limit:,} bytes. {advice}, or raise "
        "`max_document_bytes`."
    )


def missing_field(field: str, keys: list[str], likely: str | None, where: str) -> str:
    """The message for an absent key: those present, and the nearest (or likeliest) one."""
    close = difflib.get_close_matches(field, keys, n=1, cutoff=0.75)
    guess = close[0] if close else likely
    hint = f"; did you mean {guess!r}?" if guess else "."
    there = ", ".join(repr(key) for key in keys[:20]) or "no keys"
    return (
        f"{where}: there is no {field!r}. It has {there}{hint} Set the source's `text_field` to "
        "the one that holds the text."
    )
