"""Where a long text is cut: between which bytes, at which kind of end, before which text."""

import zlib

import pytest

from tasks.cleaning.spans import cut_into_spans

LONGEST, SHORTEST = 32 << 10, 8 << 10


def sizes(text: str) -> list[int]:
    return [len(span.encode()) for span in cut_into_spans(text)]


def test_a_text_of_just_the_limit_is_one_span() -> None:
    """One byte more, and what is left after the cut is as short as a span may be."""
    assert sizes("a" * LONGEST) == [LONGEST]
    assert sizes("a" * (LONGEST + 1)) == [LONGEST + 1 - SHORTEST, SHORTEST]
    assert sizes("a" * (2 * LONGEST)) == [LONGEST, LONGEST]


def test_the_limit_is_one_of_bytes_and_no_character_is_cut() -> None:
    """Of 11,000 characters of three bytes 33,000 - 8,192 would end within one."""
    assert sizes("中" * 11_000) == [24_807, 8_193]
    assert sizes("é" * 20_000) == [31_808, 8_192]


@pytest.mark.parametrize(
    ("best", "others"),
    [
        ("\n\n", "\n. 。"),
        ("\n", ". 。"),
        (". ", " \t"),
        ("。", " \t"),
        ("।", " \t"),
        ('!"\u0020', " "),
    ],
)
def test_the_best_end_in_reach_counts_however_many_there_are_of_others(
    best: str, others: str
) -> None:
    """A paragraph before a line, a line before a sentence, a sentence before a word."""
    filler = "".join(f"word{n}{others[n % len(others)]}" for n in range(2000))
    begin, end = f"{filler}x", f"y{filler}{filler}"
    spans = cut_into_spans(f"{begin}{best}{end}")
    assert len(begin.encode()) > SHORTEST
    assert spans[0] == f"{begin}{best}".strip()


def test_an_end_too_near_to_the_beginning_or_to_the_end_is_none() -> None:
    """Else there would be a span of a few words."""
    words = "word " * 7000
    first = cut_into_spans(f"title\n\n{words}")[0]
    assert len(first) > SHORTEST
    last = cut_into_spans(f"{words}\n\nthe end")[-1]
    assert len(last) > SHORTEST - 5


def test_of_equal_ends_the_one_before_the_text_of_the_lowest_hash_counts() -> None:
    """The hash is of the 64 bytes that follow it: what came before does not move it."""
    paragraphs = [f"{n:03}" + "x" * 600 + f"{n * 7919 % 1000:03}" for n in range(56)]
    text = "\n\n".join(paragraphs)
    starts = [text.index(f"\n\n{part}") + 2 for part in paragraphs[1:]]
    within = [at for at in starts if SHORTEST < at <= len(text) - SHORTEST]
    cut = min(within, key=lambda at: zlib.crc32(text[at : at + 64].encode()))
    spans = cut_into_spans(text)
    assert len(spans) == 2
    assert spans[1] == text[cut:]
    seen_less = min(within, key=lambda at: zlib.crc32(text[at : at + 32].encode()))
    seen_behind = min(within, key=lambda at: zlib.crc32(text[at - 64 : at].encode()))
    assert len({cut, seen_less, seen_behind, within[-1], within[0]}) == 5
