"""What reaches a terminal: text that cannot steer it, whatever file, server or model it is from.

A file's name, a line of a corpus or a token of a model may hold escape sequences, carriage
returns or characters that turn the direction of writing: shown as they are, they would rewrite
what stands on the screen, or make it read as something else. They are shown as escapes instead.
"""

import json
import re
from typing import Any

import click

# Controls but tab and line feed, line and paragraph separators, marks, embeddings and overrides of
# the direction of writing, tags that nobody sees. Halves of surrogate pairs are left to the
# stream's own `backslashreplace`.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Text with every character that could steer a terminal as its escape.

    >>> printable("a\x1b[2Jb\r\u202ec")
    'a\\x1b[2Jb\\x0d\\u202ec'
    """
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    r"""`printable` text that cannot begin a line of its own either.

    >>> one_line("a\nroberta: done")
    'a\\x0aroberta: done'
    """
    return printable(text).replace("\n", "\\x0a").replace("\t", "\\x09")


def printable_json(text: str) -> str:
    r"""JSON text with such characters, which stand in its strings alone, as JSON's escapes.

    >>> printable_json('"\x9b2J"')
    '"\\u009b2J"'
    """
    return _UNSAFE.sub(_json_escape, text)


def say(text: Any, *, err: bool = False) -> None:
    """Print a line or more on stdout, or on stderr."""
    click.echo(printable(str(text)), err=err)


def _json_escape(found: re.Match[str]) -> str:
    # json leaves DEL as it is, and makes two of what lies beyond the first plane.
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else json.dumps(found[0])[1:-1]


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
