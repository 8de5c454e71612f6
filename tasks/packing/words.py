r"""Encoding by looking words up: each distinct word is given to the tokenizer once.

A byte-level BPE without normalizer first cuts text with GPT-2's pattern,

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

and encodes every piece by itself. So text may be cut wherever a piece surely begins:

    letter | digit or mark       digit | letter or mark       mark other than ' | letter, digit
    | the last white space before anything else               white space other than " " |

Only ASCII is told apart: between other letters there are no cuts, so a "word" here is one piece
or several. The tokenizer cuts those itself, and what \p{L} means is left to it.
"""

import re
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

Int64s = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_MOST_WORDS_KNOWN = 1 << 18
_LONGEST_WORD_KNOWN = 48

# Kinds of bytes, and what lies between two of them: a cut there, or one before the first.
_LETTER, _DIGIT, _MARK, _APOSTROPHE, _SPACE, _BREAK, _WIDE = range(7)
_CUT, _CUT_BEFORE = 1, 2

# Unicode's white space beyond ASCII, for the pattern and as UTF-8 read as one number.
_WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_WIDE_WHITE = [
    int.from_bytes(chr(code).encode(), "big")
    for code in (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
]
# A word that keeps its ids between two line breaks: white space at most before it.
_PLAIN = re.compile(f" ?[^{_WHITE}]+")


def _kinds() -> Bytes:
    kinds = np.full(256, _MARK, dtype=np.uint8)
    for code in range(128):
        if chr(code).isalpha():
            kinds[code] = _LETTER
        elif chr(code).isdigit():
            kinds[code] = _DIGIT
    kinds[ord("'")] = _APOSTROPHE
    kinds[9:14] = _BREAK
    kinds[ord(" ")] = _SPACE
    kinds[128:] = _WIDE
    return kinds


def _between() -> Bytes:
    table = np.zeros((8, 8), dtype=np.uint8)
    table[[_LETTER, _LETTER, _LETTER], [_DIGIT, _MARK, _APOSTROPHE]] = _CUT
    table[[_DIGIT, _DIGIT, _DIGIT], [_LETTER, _MARK, _APOSTROPHE]] = _CUT
    table[_MARK, [_LETTER, _DIGIT]] = _CUT
    table[_SPACE, [_LETTER, _DIGIT, _MARK, _APOSTROPHE]] = _CUT_BEFORE
    table[_BREAK, [_LETTER, _DIGIT, _MARK, _APOSTROPHE]] = _CUT | _CUT_BEFORE
    return table.reshape(-1)


_KINDS, _BETWEEN = _kinds(), _between()


def word_starts(text: Bytes, text_starts: Int64s) -> Int64s:
    """Where words begin in UTF-8 texts that lie one after the other, none of them empty.

    A text begins a word; other words begin where a piece surely does.
    """
    kinds = _KINDS[text]
    pairs = (kinds[:-1] << 3) | kinds[1:]
    between = _BETWEEN[pairs]
    unsure = np.flatnonzero((pairs == _SPACE << 3 | _WIDE) | (pairs == _BREAK << 3 | _WIDE))
    if len(unsure):
        unsure = unsure[~_is_wide_white(text, unsure + 1)]
        between[unsure] = np.where(kinds[unsure] == _SPACE, _CUT_BEFORE, _CUT | _CUT_BEFORE)
    between[text_starts[1:] - 1] = 0
    is_start = np.zeros(len(text), dtype=bool)
    is_start[1:] |= (between & _CUT) != 0
    is_start[:-1] |= (between & _CUT_BEFORE) != 0
    is_start[text_starts] = True
    return np.flatnonzero(is_start)


def _is_wide_white(text: Bytes, at: Int64s) -> NDArray[np.bool_]:
    padded = np.concatenate([text, np.zeros(2, dtype=np.uint8)])
    two = padded[at].astype(np.int64) << 8 | padded[at + 1]
    return np.isin(two, _WIDE_WHITE) | np.isin(two << 8 | padded[at + 2], _WIDE_WHITE)


def token_type(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id and that Arrow and torch both read."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


class WordEncoder:
    """Encodes texts exactly as a tokenizer does, several times faster; remembers words.

    Args:
        tokenizer: A byte-level BPE without normalizer, prefix space or dropout, which takes
            special tokens in the text for text (see `load_encoder`).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.dtype = token_type(tokenizer.get_vocab_size())
        (self._line_break,) = tokenizer.encode("\n", add_special_tokens=False).ids
        self._known: dict[str, bytes] = {}

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], Int64s]:
        """The ids of all texts, one after the other, and how many each text has."""
        encoded = [text.encode() for text in texts]
        sizes = np.array([len(text) for text in encoded], dtype=np.int64)
        buffer = b"".join(encoded)
        if not buffer:
            return np.zeros(0, dtype=self.dtype), sizes
        ends = np.cumsum(sizes)
        data = np.frombuffer(buffer, dtype=np.uint8)
        starts = word_starts(data, (ends - sizes)[sizes > 0])
        offsets = pa.array(np.append(starts, len(data)), pa.int64()).buffers()[1]
        words = pa.LargeStringArray.from_buffers(len(starts), offsets, pa.py_buffer(buffer))
        distinct = words.dictionary_encode()
        ids = self._ids(distinct.dictionary.to_pylist())
        lengths = np.array([len(each) for each in ids], dtype=np.int64) // self.dtype.itemsize
        choice = distinct.indices.to_numpy()
        tokens = _gather(np.frombuffer(b"".join(ids), dtype=self.dtype), lengths, choice)
        until = np.append(0, np.cumsum(lengths[choice]))[np.searchsorted(starts, ends)]
        return tokens, np.diff(until, prepend=0)

    def _ids(self, words: list[str]) -> list[bytes]:
        """The ids of distinct words, as bytes."""
        found = [self._known.get(word) for word in words]
        missing = [word for word, ids in zip(words, found, strict=True) if ids is None]
        if not missing:
            return [ids for ids in found if ids is not None]
        new = self._encode_words(missing)
        if len(self._known) + len(new) > _MOST_WORDS_KNOWN:
            self._known.clear()
        self._known.update(item for item in new.items() if len(item[0]) <= _LONGEST_WORD_KNOWN)
        return [new[word] if ids is None else ids for word, ids in zip(words, found, strict=True)]

    def _encode_words(self, words: list[str]) -> dict[str, bytes]:
        """Plain words all in one text, a line each, which is faster; the others one by one."""
        is_plain = [_PLAIN.fullmatch(word) is not None for word in words]
        plain = list(compress(words, is_plain))
        others = list(compress(words, [not each for each in is_plain]))
        encode = self._tokenizer.encode_batch_fast
        whole, *rest = encode(["\n".join(plain), *others], add_special_tokens=False)
        ids = np.array(whole.ids, dtype=self.dtype)
        stops = np.append(np.flatnonzero(ids == self._line_break), len(ids))
        begins = np.append(0, stops[:-1] + 1)
        cut = (ids[a:b].tobytes() for a, b in zip(begins.tolist(), stops.tolist(), strict=True))
        new = dict(zip(plain, cut, strict=True)) if plain else {}
        for word, encoding in zip(others, rest, strict=True):
            new[word] = np.array(encoding.ids, dtype=self.dtype).tobytes()
        return new


def _gather(flat: NDArray[Any], lengths: Int64s, choice: NDArray[np.int32]) -> NDArray[Any]:
    """Pieces of `flat`, which lie in it one after the other, in the order of `choice`."""
    begins = np.cumsum(lengths) - lengths
    wanted = lengths[choice]
    ends = np.cumsum(wanted)
    shift = np.repeat(begins[choice] - (ends - wanted), wanted)
    return flat[shift + np.arange(len(shift))]
