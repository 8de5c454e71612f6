"""Long texts are cut where they end of themselves, and an edit moves few of the cuts."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import real_texts

from tasks.cleaning.normalise import normalise
from tasks.cleaning.spans import LONGEST_BYTES, SHORTEST_BYTES, cut_into_spans

PIECES = st.sampled_from(
    ["word ", "sentence. ", "line\n", "paragraph\n\n", "中文。", "é", "x" * 99]
)


@pytest.fixture(scope="module")
def book(shared_data: Path) -> str:
    """One novel, put right."""
    texts = real_texts(shared_data, "nltk/gutenberg.jsonl.gz")
    return normalise(next(text for text in texts if len(text) > 600_000))


@given(pieces=st.lists(st.tuples(PIECES, st.integers(1, 3000)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_nothing_but_white_space_is_lost_whatever_the_text(pieces: list[tuple[str, int]]) -> None:
    """Any script, with or without places to cut at: bounded, without space around."""
    text = normalise("".join(piece * times for piece, times in pieces))
    spans = cut_into_spans(text)
    assert "".join("".join(spans).split()) == "".join(text.split())
    assert all(len(span.encode()) <= LONGEST_BYTES for span in spans)
    assert all(span == span.strip() for span in spans)
    if len(text.encode()) <= LONGEST_BYTES:
        assert spans == [text]


def test_a_book_is_cut_between_paragraphs(book: str) -> None:
    """Spans of pages, none of them small, and no paragraph on two of them."""
    spans = cut_into_spans(book)
    assert "\n\n".join(spans) == book
    assert all(len(span.encode()) > SHORTEST_BYTES * 0.9 for span in spans)
    assert len(book.encode()) / len(spans) < 0.8 * LONGEST_BYTES


def test_an_edit_moves_only_the_cuts_near_it(book: str) -> None:
    """A word changed or added, a chapter taken out: the rest of the book stays the same spans."""
    spans = cut_into_spans(book)
    middle = book.index("\n\n", len(book) // 2)
    for edited in (
        "A new beginning.\n\n" + book,
        book[:middle] + " And a word more." + book[middle:],
        book[: middle - 50_000] + book[middle:],
    ):
        lost = set(spans) - set(cut_into_spans(edited))
        assert len(lost) <= 8, len(lost)


def test_short_texts_stay_as_they_are() -> None:
    """And so do spans that are cut again, from an export say."""
    assert cut_into_spans("one\n\ntwo") == ["one\n\ntwo"]
    for span in cut_into_spans("some words here. " * 9000):
        assert cut_into_spans(normalise(span)) == [span]
