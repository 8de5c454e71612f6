"""Docstrings as prose, on any text at all: what holds whatever stands in it."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sources.docstring_prose import prose

# What the rules look at, cut small, so that blocks of all kinds come together.
PIECES = [
    *[
        "\n",
        "\n",
        "\n\n",
        "\n    ",
        "\n  ",
        "\n\n        ",
        "\r\n",
        "\t",
        "\f",
        "\x00",
        "\xa0",
        "   ",
    ],
    *["word", "two words", "x", "é", "世界", "1", "_", "a_b", "A sentence.", "(", ")", ",", "."],
    *[">>> ", ">>>", "... ", "$ ", "In [1]: ", "Out[1]:", "```", "```python", "`", "``", "`_", "<"],
    *["====", "--- ---", "==  ==", "~~~~", "+--+", "|", "| ", " |", "\\", "\\*", "\\ ", "*", "**"],
    *[
        "- ",
        "* ",
        "1. ",
        "(2) ",
        "#. ",
        ":",
        "::",
        " : ",
        ": ",
        ":param x: ",
        "@",
        "@return: ",
        "x : int",
    ],
    *[".. ", ".. note:: ", ".. code-block:: ", ".. [1] ", ".. _a:", ":class:`", "~a.B`", " <a>`"],
    *["Examples", "Returns:", "Args:", "Note::"],
]
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


@given(text=HOSTILE)
@settings(max_examples=300, deadline=None)
def test_each_block_is_final(text: str) -> None:
    """Blocks set apart again come out as they are: nothing is left that a rule would change."""
    once = prose(text)
    assert prose(once.replace("\n", "\n\n")) == once


@given(text=HOSTILE)
@settings(max_examples=300, deadline=None)
def test_words_are_kept_in_order_and_none_is_made_up(text: str) -> None:
    """Only whole words go: nothing is glued together, repeated or moved."""
    have = iter(words(text))
    assert all(word in have for word in words(prose(text)))


@given(text=HOSTILE)
@settings(max_examples=200, deadline=None)
def test_white_space_is_single_blanks_and_line_breaks(text: str) -> None:
    """No indentation, no empty line, nothing at the ends, no other white space."""
    for line in prose(text).split("\n"):
        assert line == " ".join(line.split())
    assert "\n\n" not in prose(text)
    assert prose(text) == prose(text).strip()


@pytest.mark.parametrize(
    "piece", [*" >`\t\n\f\x00=-|*\\:_x(", "x::\n", "```a\n", "`a <", ":a:`", "a (", "a, "]
)
def test_time_grows_with_the_length_whatever_the_text(piece: str) -> None:
    """A quarter of a megabyte of one thing; a pattern that backtracks would take hours."""
    hostile = piece * (2**18 // len(piece))
    in_lines = "\n".join(hostile[at : at + 100] for at in range(0, len(hostile), 100))
    started = time.process_time()
    for docstring in (hostile, f"x {hostile}`", in_lines):
        assert prose(docstring) == prose(docstring).strip()
    assert time.process_time() - started < 20
