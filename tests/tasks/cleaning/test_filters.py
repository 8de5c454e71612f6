"""Each measure of a text by hand, and each limit at the very text that just passes it."""

import numpy as np
import pytest

from tasks.cleaning.filters import (
    reason_to_drop,
    repeated_line_share,
    repeated_phrase_share,
    symbol_share,
)
from tasks.cleaning.shingles import Hashes
from tasks.config.clean import FilterConfig

NO_SHINGLES: Hashes = np.zeros(0, dtype=np.uint64)
OFF = FilterConfig(
    min_characters=None,
    max_characters=None,
    max_symbol_share=None,
    max_repeated_line_share=None,
    max_repeated_phrase_share=None,
)


def reason(text: str, shingles: Hashes = NO_SHINGLES, **limits: float) -> str | None:
    return reason_to_drop(text, shingles, OFF.model_copy(update=limits))


def test_lengths_are_counted_in_characters_and_the_limits_themselves_pass() -> None:
    assert [reason("é" * n, min_characters=5) for n in (4, 5)] == ["too_short", None]
    assert [reason("é" * n, max_characters=5) for n in (5, 6)] == [None, "too_long"]


def test_symbols_are_neither_letters_marks_digits_nor_spaces() -> None:
    assert symbol_share("ab!?") == 0.5
    assert symbol_share("a b ! \n\t") == pytest.approx(1 / 3)
    assert symbol_share("नमस्ते 1२３") == 0
    assert symbol_share("。「」+…") == 1
    assert symbol_share("   ") == 0
    assert [reason("ab!?", max_symbol_share=limit) for limit in (0.5, 0.49)] == [None, "symbols"]


def test_a_line_counts_by_its_length_each_time_but_the_first() -> None:
    """Of 8 characters 4 stand in a second or third `ab`; spaces around a line are no matter."""
    assert repeated_line_share("ab\ncd\nab\nab") == 0.5
    assert repeated_line_share("ab\n  ab \ncd\nef") == 0.25
    assert repeated_line_share("long line\nlong line\na\nb") == 0.45
    assert repeated_line_share("a\nA\nb\nc") == 0


def test_few_lines_say_nothing_of_repeats_and_blank_ones_are_none() -> None:
    assert repeated_line_share("a\na\n \n\na") == 0
    assert repeated_line_share("a\na\n \n\na\na") == 0.75


def test_the_share_of_repeated_lines_itself_passes() -> None:
    text = "ab\ncd\nab\nab"
    found = [reason(text, max_repeated_line_share=limit) for limit in (0.5, 0.49)]
    assert found == [None, "repeated_lines"]


def test_phrases_are_judged_from_forty_on() -> None:
    """Then each but the first of the same counts."""
    assert repeated_phrase_share(np.zeros(39, dtype=np.uint64)) == 0
    assert repeated_phrase_share(np.zeros(40, dtype=np.uint64)) == 1 - 1 / 40
    assert repeated_phrase_share(np.arange(40, dtype=np.uint64)) == 0


def test_the_share_of_repeated_phrases_itself_passes() -> None:
    twice = np.tile(np.arange(20, dtype=np.uint64), 2)
    found = [reason("x", twice, max_repeated_phrase_share=limit) for limit in (0.5, 0.49)]
    assert found == [None, "repeated_phrases"]


def test_the_first_reason_counts() -> None:
    """Length, symbols, lines, phrases, in that order."""
    text, same = "?!\n" * 5, np.zeros(40, dtype=np.uint64)
    limits: dict[str, dict[str, float]] = {
        "too_short": {"min_characters": 99},
        "too_long": {"max_characters": 3},
        "symbols": {"max_symbol_share": 0.5},
        "repeated_lines": {"max_repeated_line_share": 0.5},
        "repeated_phrases": {"max_repeated_phrase_share": 0.5},
    }
    while limits:
        every = {name: limit for each in limits.values() for name, limit in each.items()}
        first = next(iter(limits))
        assert reason(text, same, **every) == first
        del limits[first]
    assert reason(text, same) is None
