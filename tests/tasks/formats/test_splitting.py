"""Text is parted the same however it arrives, and nothing between separators is lost."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.formats import splitting
from tasks.formats.splitting import BLANK_LINE, LINE, TooLong, split_text, trim_blank_lines

HEADING = re.compile(r"^= .* =$", re.MULTILINE)
BEFORE_HEADING = re.compile(r"(?=^= )", re.MULTILINE)
text = st.text(alphabet="ab =\r\n\t", max_size=200)


def cut(whole: str, places: list[int]) -> list[str]:
    edges = [0, *sorted({place % (len(whole) + 1) for place in places}), len(whole)]
    return [whole[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def parts_of(whole: str, separator: re.Pattern[str]) -> list[str]:
    """The same by `re` on the text as a whole: what streaming must not differ from."""
    parts, start = [], 0
    for match in separator.finditer(whole):
        if not match.end() == match.start() == start:
            parts.append(whole[start : match.start()])
            start = match.end()
    return parts + ([whole[start:]] if start < len(whole) else [])


@pytest.mark.parametrize("separator", [LINE, BLANK_LINE, HEADING, BEFORE_HEADING])
@given(whole=text, places=st.lists(st.integers(0, 1000), max_size=20))
def test_where_pieces_end_does_not_matter(
    separator: re.Pattern[str], whole: str, places: list[int]
) -> None:
    """Any way of cutting the stream gives the parts that `re` finds in the whole text."""
    assert list(split_text(cut(whole, places), separator, 10**6)) == parts_of(whole, separator)


@pytest.mark.parametrize("separator", [LINE, BLANK_LINE, HEADING, BEFORE_HEADING])
def test_parts_across_many_buffers_are_those_of_the_whole(
    separator: re.Pattern[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a margin far smaller than the text, matches on buffer edges are still found whole."""
    monkeypatch.setattr(splitting, "MARGIN", 16)
    monkeypatch.setattr(splitting, "_CONTEXT", 4)
    whole = "".join(
        f"word{n}{' = ' * (n % 3)}\r\n{'= h =' * (n % 5 == 0)}\n \n" for n in range(300)
    )
    for size in (1, 3, 17, 50, 1000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert list(split_text(pieces, separator, 10**6)) == parts_of(whole, separator)


def test_all_three_line_ends_part_lines() -> None:
    """Unix, Windows and old Mac line ends; a form feed or U+2028 parts nothing."""
    assert list(split_text(["a\nb\r\nc\rd\x0c\u2028e"], LINE, 99)) == [
        "a",
        "b",
        "c",
        "d\x0c\u2028e",
    ]


def test_a_part_that_is_too_long_is_refused_before_it_fills_the_memory() -> None:
    """The stream is not read on once the limit is passed."""

    def endless() -> Iterator[str]:
        yield "short\n"
        while True:
            yield "x" * 10_000

    with pytest.raises(TooLong) as caught:
        list(split_text(endless(), LINE, 50_000))
    assert caught.value.args == (1,)


def test_blank_lines_around_a_paragraph_are_trimmed_and_its_indent_is_not() -> None:
    """Indentation can carry meaning; empty lines cannot."""
    assert trim_blank_lines(" \n\t\r\n  indented\n text \r\n") == "  indented\n text "
