"""Where words begin among byte-level BPE tokens, decided from single tokens by table lookup.

A byte-level BPE first cuts text into pieces with GPT-2's pattern (letters, digits or other
characters in a run, one space in front allowed, contractions apart) and never merges across.
For alphabets written with spaces those pieces are the words. Elsewhere two things differ:

    marks               vowel signs, accents and joiners are no letters to the pattern, which
                        cuts at them; here they continue what they stand on, in any script
    scripts without     letters of Chinese, Thai and the like run on without end in the
    spaces              pattern; here each token that starts with one begins a word

So a word begins wherever a token cannot continue the one before it. Each vocabulary entry gets
16 bits that say so, and a boundary is one `and` of two neighbours:

    low 8 bits    what the token starts with: a letter, a mark, a number, ...
    high 8 bits   what may follow it inside one word: the same bits

A space at the start sets no low bit, so nothing is continued; a code of 0 is a special token.
A token of continuation bytes alone (the middle of a UTF-8 character) never begins a word and
passes on what stood before it; a lone lead byte counts as what most characters with it are.
"""

import functools
import sys
import unicodedata
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

LETTER, NUMBER, OTHER, CONTINUATION = 1, 2, 4, 8
ENDING = 16  # could stand behind an apostrophe that was not merged with it, as in 't
BLANK = 32  # whitespace and nothing else
MARK = 64  # a combining mark or a joiner
SPACELESS = 128  # a letter of a script without spaces: continues nothing
SPECIAL_CODE = 0
CARRY_CODE = CONTINUATION  # starts with continuation bytes and holds nothing else

_TEXT = LETTER | NUMBER | OTHER | CONTINUATION | MARK | SPACELESS
_FOLLOWERS = {
    0: 0,  # whitespace
    LETTER: LETTER | MARK,
    SPACELESS: MARK,
    NUMBER: NUMBER | MARK,
    OTHER: OTHER | MARK,
}
_CONTRACTIONS = {b"'s", b"'t", b"'re", b"'ve", b"'m", b"'ll", b"'d"}
_ENDINGS = {contraction[1:] for contraction in _CONTRACTIONS} | {b"r", b"v", b"l"}
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_EMOJI_SELECTORS = "\ufe0e\ufe0f"  # marks that stand on symbols
_SEPARATORS = "\x1c\x1d\x1e\x1f"  # whitespace to Python, not to GPT-2's pattern

# How Unicode's names of their letters begin. They are the living scripts whose lines may break
# between any two syllables (Unicode's line breaking algorithm, UAX #14: classes ID, CJ, NS, SA,
# AK and AS without Hangul), Tibetan, which parts syllables by a dot, and Buginese.
_SPACELESS_SCRIPTS = (
    *("CJK ", "IDEOGRAPHIC ", "VERTICAL IDEOGRAPHIC ", "VERTICAL KANA ", "BOPOMOFO ", "YI "),
    *("HIRAGANA ", "HENTAIGANA ", "KATAKANA ", "KATAKANA-HIRAGANA ", "HALFWIDTH KATAKANA"),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI LE ", "NEW TAI LUE ", "TAI THAM ", "TAI VIET "),
    *("AHOM ", "JAVANESE ", "BALINESE ", "BATAK ", "BUGINESE ", "CHAM ", "TIBETAN "),
)


@functools.cache
def byte_of_letter() -> dict[str, int]:
    """Return the byte that each letter of the byte-level alphabet stands for (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in set(plain)]
    shifted = {chr(256 + i): byte for i, byte in enumerate(rest)}
    return {chr(byte): byte for byte in plain} | shifted


def word_codes(
    vocabulary: Sequence[str | None], special_ids: Collection[int]
) -> NDArray[np.uint16]:
    """Return the boundary code of every token id.

    Args:
        vocabulary: Each id's token in byte-level spelling; None where an id has no token.
        special_ids: Ids that stand for no text.

    Returns:
        uint16 [V]; ids without a token, or not in the byte-level alphabet, are special.
    """
    letters = byte_of_letter()
    codes = np.zeros(len(vocabulary), dtype=np.uint16)
    for token_id, token in enumerate(vocabulary):
        if token and token_id not in special_ids and all(letter in letters for letter in token):
            codes[token_id] = _code(bytes(letters[letter] for letter in token))
    return codes


def _code(content: bytes) -> int:
    if content in _CONTRACTIONS:
        return OTHER | (MARK | CONTINUATION) << 8  # a whole word: no other character may follow
    if all(_is_continuation(byte) for byte in content):
        return CARRY_CODE
    last = max(i for i, byte in enumerate(content) if not _is_continuation(byte))
    follows = _followers(content[:last].decode("utf-8", "ignore"), content[last:]) | CONTINUATION
    if all(_kind_of_character(c) == 0 for c in content.decode("utf-8", errors="replace")):
        joined = _TEXT & ~SPACELESS if content.endswith(b" ") else 0
        return BLANK | (follows | BLANK | joined) << 8
    starts = CONTINUATION if _is_continuation(content[0]) else _kind(content[: _size(content[0])])
    if content in _ENDINGS:
        starts |= ENDING
    if content == b"'":
        follows |= ENDING
    return starts | follows << 8


def _followers(before: str, last: bytes) -> int:
    """Return what may follow a token's last character: what its marks stand on decides."""
    kind = _kind(last)
    if kind != MARK:
        return _FOLLOWERS[kind]
    bases = (_kind_of_character(character) for character in reversed(before))
    base = next((kind for kind in bases if kind != MARK), 0)
    if base:
        return _FOLLOWERS[base]
    text = last.decode("utf-8", "ignore")
    if text and text in _EMOJI_SELECTORS:
        return _FOLLOWERS[OTHER]
    if text == _JOINER:
        return LETTER | OTHER | MARK  # emoji are joined too
    return _FOLLOWERS[SPACELESS if text and _is_spaceless(text) else LETTER]


def _is_continuation(byte: int) -> bool:
    return 0x80 <= byte < 0xC0


def _size(lead: int) -> int:
    """Return how many bytes a character with this first byte has."""
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@functools.cache
def _kind(content: bytes) -> int:
    """Return the kind of one character: 0 for whitespace; the commonest one if it is cut off."""
    text = content.decode("utf-8", errors="ignore")
    if text:
        return _kind_of_character(text[0])
    if content[0] == 0xF0 and len(content) == 1:
        return OTHER  # by count ancient scripts and rare Han, but in text nearly always emoji
    counts = dict.fromkeys((LETTER, SPACELESS, MARK, NUMBER, OTHER, 0), 0)
    for point in _points_with_prefix(content):
        if unicodedata.category(chr(point)) not in ("Cn", "Cs"):
            counts[_kind_of_character(chr(point))] += 1
    if not any(counts.values()):
        return OTHER
    in_words = (LETTER, SPACELESS, MARK)  # one group: apart, they could lose to rare digits
    others = [kind for kind in counts if kind not in in_words]
    is_in_word = sum(counts[kind] for kind in in_words) >= max(counts[kind] for kind in others)
    return max(in_words if is_in_word else others, key=lambda kind: counts[kind])


def _kind_of_character(character: str) -> int:
    if character.isspace() and character not in _SEPARATORS:
        return 0
    if character in (_JOINER, _NON_JOINER):
        return MARK
    group = unicodedata.category(character)[0]
    if group == "L":
        return SPACELESS if _is_spaceless(character) else LETTER
    return MARK if group == "M" else NUMBER if group == "N" else OTHER


def _is_spaceless(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_SPACELESS_SCRIPTS)


def _points_with_prefix(content: bytes) -> range:
    """Return the code points whose UTF-8 form begins with these bytes (an incomplete form)."""
    size = _size(content[0])
    bits = content[0] & (0xFF >> (size + 1))
    for byte in content[1:]:
        bits = bits << 6 | byte & 0x3F
    free = 6 * (size - len(content))
    smallest = (0x80, 0x800, 0x10000)[size - 2]
    return range(max(bits << free, smallest), min((bits + 1) << free, sys.maxunicode + 1))


def segment_starts(
    codes_BT: NDArray[np.uint16], maskable_BT: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return where words begin, bool [B, T]; every token that is not maskable stands alone.

    Args:
        codes_BT: The boundary code of each token.
        maskable_BT: False for special tokens and beyond a row's length.
    """
    follows_BT = codes_BT >> 8
    carries = np.flatnonzero(codes_BT == CARRY_CODE)
    for _ in range(3 if carries.size else 0):  # a character has at most 3 continuation bytes
        before = np.where(carries % codes_BT.shape[1] == 0, 0, follows_BT.reshape(-1)[carries - 1])
        follows_BT.reshape(-1)[carries] = before | CONTINUATION
    starts_BT = ~maskable_BT
    starts_BT[:, 0] = True
    starts_BT[:, 1:] |= (codes_BT[:, 1:] & follows_BT[:, :-1]) == 0
    # Of a run of whitespace before text, the pattern sets the last character apart.
    is_blank_BT = (codes_BT & BLANK) != 0
    starts_BT[:, :-1] |= is_blank_BT[:, :-1] & ((codes_BT[:, 1:] & _TEXT) != 0)
    return starts_BT
