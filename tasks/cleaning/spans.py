"""Long texts as spans: a book is held out in stretches of pages, never as a whole.

A text of up to `LONGEST_BYTES` stays as it is. A longer one is cut where paragraphs end, into
spans of `SHORTEST_BYTES` to `LONGEST_BYTES` that are documents of their own from there on: each
has its id and its draw, and duplicates of a chapter are found in whatever book they stand.

Where a span ends follows from what stands there and not from how many bytes came before: of all
paragraph ends in reach, the one that is followed by the text with the lowest hash. So a word
changed on page three moves the next ends and no more, and the rest of the book stays the same
spans (content-defined chunking, as in Muthitacharoen et al. 2001, LBFS, with a local minimum).
"""

import re
import zlib

SHORTEST_BYTES = 8 << 10
LONGEST_BYTES = 32 << 10
_SEEN_BYTES = 64  # of the text that follows an end
# Where a text may be cut, from the best to the worst: paragraphs, lines, sentences, words.
_ENDS = tuple(
    re.compile(end.encode())
    for end in ("\n\n", "\n", "[.!?][\"')\\]]* |\u3002|\u0964", "[ \t]|\u3000")
)


def cut_into_spans(text: str) -> list[str]:
    """The spans of a normalised text in order, without the white space between them.

    A span has at most `LONGEST_BYTES` of UTF-8, and at least `SHORTEST_BYTES` before its white
    space is taken off.
    """
    content = text.encode()
    if len(content) <= LONGEST_BYTES:
        return [text]
    spans, start = [], 0
    while len(content) - start > LONGEST_BYTES:
        # What is left after the cut is no shorter than a span may be.
        stop = min(start + LONGEST_BYTES, len(content) - SHORTEST_BYTES)
        cut = _end_within(content, start + SHORTEST_BYTES, stop)
        spans.append(content[start:cut])
        start = cut
    spans.append(content[start:])
    stripped = (span.decode().strip() for span in spans)
    return [span for span in stripped if span]


def _end_within(content: bytes, start: int, stop: int) -> int:
    """Where to cut: after the best kind of end there is, before the text with the lowest hash."""
    for end in _ENDS:
        places = [match.end() for match in end.finditer(content, start, stop)]
        if places:
            return min(places, key=lambda at: zlib.crc32(content[at : at + _SEEN_BYTES]))
    while content[stop] & 0xC0 == 0x80:  # within a character
        stop -= 1
    return stop
