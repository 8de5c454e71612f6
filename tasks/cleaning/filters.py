"""Filters: each says why a document is dropped, or nothing.

The measures follow Gopher's (Rae et al. 2021, appendix A): length, share of symbols, share of
repeated lines and shingles. The defaults are lenient: speech transcripts, wire reports, poems
and text in any script pass; navigation, tables of symbols and boilerplate do not.
"""

from collections import Counter

import regex

from tasks.cleaning.shingles import Hashes, distinct
from tasks.config.clean import FilterConfig

_SYMBOLS = regex.compile(r"[^\p{L}\p{M}\p{N}\s]+")
_ASCII_OTHERS = bytes(code for code in range(128) if _SYMBOLS.match(chr(code)) is None)
_FEWEST_LINES = 4
_FEWEST_SHINGLES = 40

REASONS = (
    "too_short",
    "too_long",
    "symbols",
    "repeated_lines",
    "repeated_phrases",
)


def reason_to_drop(text: str, shingles: Hashes, filters: FilterConfig) -> str | None:
    """The first reason against a normalised text, or None."""
    if filters.min_characters is not None and len(text) < filters.min_characters:
        return "too_short"
    if filters.max_characters is not None and len(text) > filters.max_characters:
        return "too_long"
    if filters.max_symbol_share is not None and symbol_share(text) > filters.max_symbol_share:
        return "symbols"
    limit = filters.max_repeated_line_share
    if limit is not None and repeated_line_share(text) > limit:
        return "repeated_lines"
    limit = filters.max_repeated_phrase_share
    if limit is not None and repeated_phrase_share(shingles) > limit:
        return "repeated_phrases"
    return None


def symbol_share(text: str) -> float:
    """Share of the characters, spaces aside, that are neither letters, marks nor digits."""
    dense = sum(map(len, text.split()))
    encoded = text.encode("utf-8", "surrogatepass").translate(None, _ASCII_OTHERS)
    rest = encoded.decode("utf-8", "surrogatepass")
    return sum(map(len, _SYMBOLS.findall(rest))) / max(1, dense)


def repeated_line_share(text: str) -> float:
    """Share of the characters that stand in a line said before; 0 for a few lines."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < _FEWEST_LINES:
        return 0.0
    repeated = sum(len(line) * (count - 1) for line, count in Counter(lines).items())
    return repeated / max(1, sum(map(len, lines)))


def repeated_phrase_share(shingles: Hashes) -> float:
    """Share of five-word shingles that were said before; 0 for a short text."""
    if len(shingles) < _FEWEST_SHINGLES:
        return 0.0
    return 1.0 - len(distinct(shingles)) / len(shingles)
