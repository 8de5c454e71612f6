"""How a guessed token is told to a person."""

import pytest

from tasks.inference.shown import shown_token


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" list", "list"),
        ("\n", "(line break)"),
        ("\r\n", "(line break)"),
        (" ", "(space)"),
        ("\n\n", "(2 line breaks)"),
        ("\n    ", "(line break, 4 spaces)"),
        ("\t", "(tab)"),
        ("\xa0\xa0", "(2 no-break spaces)"),
        ("\x1c", "(U+001C)"),
        ("", "(nothing)"),
        (" \ufffd", "(part of a character)"),
        ("\ufffd\ufffd", "(part of a character)"),
        ("a\ufffd", "a\ufffd"),
        ("<mask>", "<mask>"),
    ],
)
def test_a_token_is_shown_as_what_it_is(token: str, shown: str) -> None:
    """White space and pieces of characters in words, all else as it is written."""
    assert shown_token(token) == shown
