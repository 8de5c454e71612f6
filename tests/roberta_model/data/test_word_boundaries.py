"""Word boundaries found from single tokens, against the pre-tokenizer that made the pieces.

For alphabets written with spaces and without marks the two are the same; the rules for marks
and for scripts without spaces are tried one by one here, on real text in test_words_of_scripts.
"""

import string
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from roberta_model.data.word_boundaries import (
    MARK,
    SPACELESS,
    byte_of_letter,
    segment_starts,
    word_codes,
)

LETTERS = {byte: letter for letter, byte in byte_of_letter().items()}
PRE_TOKENIZER = ByteLevel(add_prefix_space=False, use_regex=True)


def spelled(text: str) -> str:
    """A text in byte-level letters."""
    return "".join(LETTERS[byte] for byte in text.encode())


def words_of(text: str) -> list[str]:
    """The words that the byte-level pre-tokenizer cuts a text into, in byte-level letters."""
    return [word for word, _ in PRE_TOKENIZER.pre_tokenize_str(text)]


def true_starts(text: str, tokens: list[str]) -> np.ndarray:
    """Where a word begins among tokens that spell a text, by the pre-tokenizer."""
    begins = np.cumsum([0, *(len(word) for word in words_of(text))])
    return np.isin(np.cumsum([0, *(len(token) for token in tokens[:-1])]), begins)


def found_starts(codes: np.ndarray) -> np.ndarray:
    starts: np.ndarray = segment_starts(codes[None], np.ones((1, len(codes)), bool))[0]
    return starts


def is_apart(character: str) -> bool:
    """Whether boundaries at this character are not the pre-tokenizer's: a mark, or no spaces."""
    return bool(word_codes([spelled(character)], ())[0] & (MARK | SPACELESS))


def is_whole(token: str) -> bool:
    """Whether a token holds whole characters only."""
    try:
        bytes(byte_of_letter()[letter] for letter in token).decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(("kind", "allowed"), [("english", 1e-4), ("other", 5e-3)])
def test_words_of_real_text_are_the_pre_tokenizers(
    real_text: Any, kind: str, allowed: float
) -> None:
    """On a few hundred KB: all but exact; what is missed elsewhere are cut-up characters.

    English is compared in full; of the other languages, texts without marks and without a
    letter of a script that has no spaces.
    """
    num_tokens, wrong, wrong_among_whole = 0, 0, 0
    for text in filter(None, real_text.texts[kind]):
        if kind == "other" and any(is_apart(character) for character in set(text)):
            continue
        encoding = real_text.encoder.encode(text, add_special_tokens=False)
        tokens = [real_text.vocabulary[i] for i in encoding.ids]
        assert "".join(tokens) == spelled(text)
        differs = true_starts(text, tokens) != found_starts(real_text.tables.codes[encoding.ids])
        whole = np.array([is_whole(token) for token in tokens])
        num_tokens += len(tokens)
        wrong += differs.sum()
        wrong_among_whole += (differs & whole & np.roll(whole, 1)).sum()

    assert num_tokens > 0
    assert wrong <= allowed * num_tokens
    assert wrong_among_whole <= 1e-4 * num_tokens


def cut(draw: Callable[[st.SearchStrategy[set[int]]], set[int]], text: str) -> list[str]:
    """The text as tokens: its words, cut anywhere between characters."""
    tokens = []
    for word in words_of(text):
        characters = bytes(byte_of_letter()[letter] for letter in word).decode()
        ends = sorted(draw(st.sets(st.integers(1, len(characters)))) | {len(characters)})
        pieces = [characters[i:j] for i, j in zip([0, *ends], ends, strict=False)]
        tokens += [spelled(piece) for piece in pieces]
    return tokens


def assert_exact(data: st.DataObject, text: str) -> None:
    tokens = cut(data.draw, text)
    codes = word_codes(tokens, ())
    assert found_starts(codes).tolist() == true_starts(text, tokens).tolist()


@given(st.data(), st.text(string.ascii_letters + '019 \n\t.,-("', min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_ascii_words_are_exact_however_they_are_cut(data: st.DataObject, text: str) -> None:
    """Any mixture of letters, digits, marks and white space, whatever merges a BPE learnt."""
    assert_exact(data, text)


def is_settled(character: str) -> bool:
    """Neither unassigned (Unicode versions differ) nor an apostrophe (see contractions)."""
    if unicodedata.category(character) in ("Cn", "Cs", "Co") or character == "'":
        return False
    return not is_apart(character)


@given(st.data(), st.text(st.characters(codec="utf-8").filter(is_settled), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_unicode_words_are_exact_where_no_character_is_cut(data: st.DataObject, text: str) -> None:
    """Any spaced script without its marks, emoji, exotic white space and control characters."""
    assert_exact(data, text)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["don", "'t", " go"], [1, 1, 1]),
        (["don", "'", "t", " go"], [1, 1, 0, 1]),
        (["she", "'ll", "go"], [1, 1, 1]),
        (["o", "'", "clock"], [1, 1, 1]),
        (["un", "believ", "able", "!"], [1, 0, 0, 1]),
        ([" un", "do", " 19", "99", "th"], [1, 0, 1, 0, 1]),
        (["\n", "\n", " ", " x"], [1, 0, 0, 1]),
    ],
)
def test_contractions_and_pieces(tokens: list[str], expected: list[int]) -> None:
    """The cases a reader would try first."""
    codes = word_codes([spelled(token) for token in tokens], ())
    assert found_starts(codes).astype(int).tolist() == expected


RULES = {
    "Hindi vowel signs and virama": (["ह", "ि", "न", "्", "दी", " ", "में"], "1000010"),
    "an accent of its own": (["cafe", "\u0301", "s", "!"], "1001"),
    "an accent after a contraction": (["it", "'s", "\u0301"], "110"),
    "a joiner in Persian": (["می", "\u200c", "خواهم", " که"], "1001"),
    "a joiner in Marathi": (["र", "्", "\u200d", "या"], "1000"),
    "Han, then Latin": (["中", "文", "abc", "中"], "1111"),
    "Han in longer tokens": (["中文", "的", " abc", " 中", "。", "」"], "111110"),
    "Kana": (["カ", "ー", "ド", "で", "々"], "11111"),
    "Thai vowel signs": (["ก", "ิ", "น", "ที", "่", "นี่"], "101101"),
    "Latin after a Thai mark": (["ก", "ิ", "abc", "กิ", "abc"], "10111"),
    "Hangul": (["한", "국어", "를", " 배"], "1001"),
    "a mark after a space": ([" ", "ि", "क", " ि", "क"], "10010"),
    "a mark after a line": (["क", "\n", "ि", "क"], "1110"),
    "a mark after white space and a space": (["\n", "\n", " ", "ि"], "1010"),
    "Han after spaces": ([" ", " ", " ", "中", " ", "中"], "101111"),
    "keycaps": (["1", "\ufe0f", "\u20e3", "2"], "1001"),
    "a letter after a keycap": (["1\ufe0f\u20e3", "x", "2\u20e3", "3"], "1110"),
    "emoji in a run": (["❤", "\ufe0f", "❤\ufe0f", "❤", "x"], "10001"),
    "emoji joined": (["👩", "\u200d", "⚕", "\ufe0f", " ok"], "10001"),
}


@pytest.mark.parametrize("rule", RULES)
def test_marks_continue_and_letters_without_spaces_do_not(rule: str) -> None:
    """One rule a case, in tokens that a BPE could have."""
    tokens, expected = RULES[rule]
    starts = found_starts(word_codes([spelled(token) for token in tokens], ()))
    assert "".join("01"[int(start)] for start in starts) == expected


def test_a_mark_at_the_start_of_a_row_begins_a_word() -> None:
    """It has nothing to stand on there, whatever ends the row above."""
    codes = np.tile(word_codes([spelled("ि"), spelled("क")], ()), (2, 1))
    assert segment_starts(codes, np.ones((2, 2), bool)).tolist() == [[True, False]] * 2


@pytest.mark.parametrize("letter", "中㐀豈々〆〻〱ひゟカーｶ\U0001b002ㄅกๆກកကꩠཀꀀᥐᦀᨠꪀ𑜀ꦄᬅᯀᨀꨀ")
def test_a_letter_of_a_script_without_spaces_begins_a_word(letter: str) -> None:
    """One letter of each such script, after itself and after a Latin one."""
    assert all(found_starts(word_codes([spelled(piece) for piece in (letter, letter)], ())))
    assert all(found_starts(word_codes([spelled("a"), spelled(letter), spelled("a")], ())))


@pytest.mark.parametrize("letter", "aßбωאعܐހहকਕકகకಕകකաთአᏣᐁꔀ한ᄒᠠⴰߊᜃＡꯀ")
def test_a_letter_of_a_spaced_script_continues_a_word(letter: str) -> None:
    """One letter of each script with spaces or another divider, after itself."""
    codes = word_codes([spelled(letter)] * 2, ())
    assert found_starts(codes).tolist() == [True, False]


def characters_in(first: int, last: int, groups: str) -> list[str]:
    """The characters of a stretch of Unicode that are of these general categories."""
    inside = map(chr, range(first, last + 1))
    return [character for character in inside if unicodedata.category(character)[0] in groups]


SPACED = [(0x61, 0x17F), (0x300, 0x36F), (0x5B0, 0x5EA), (0x610, 0x6D3), (0x900, 0xD7F)]
UNSPACED = [(0xE01, 0xEDF), (0xF40, 0xFBC), (0x1000, 0x109F), (0x1780, 0x17DD), (0x4E00, 0x4E80)]


@given(
    st.data(),
    st.sampled_from([c for ends in SPACED for c in characters_in(*ends, "L")]),
    st.text([*"\u200c\u200d", *(c for ends in SPACED for c in characters_in(*ends, "LM"))]),
)
@settings(max_examples=100, deadline=None)
def test_letters_with_any_marks_are_one_word(data: st.DataObject, first: str, rest: str) -> None:
    """In spaced scripts, however the pre-tokenizer and the merges cut them."""
    starts = found_starts(word_codes(cut(data.draw, first + rest), ()))
    assert np.flatnonzero(starts).tolist() == [0]


@given(st.data(), st.text([c for ends in UNSPACED for c in characters_in(*ends, "LM")], min_size=1))
@settings(max_examples=100, deadline=None)
def test_without_spaces_words_begin_where_a_token_begins_with_a_letter(
    data: st.DataObject, text: str
) -> None:
    """Marks continue, letters do not, whatever the merges hold."""
    tokens = cut(data.draw, text)
    firsts = [bytes(byte_of_letter()[b] for b in token).decode()[0] for token in tokens]
    is_letter = [unicodedata.category(character)[0] == "L" for character in firsts]
    assert found_starts(word_codes(tokens, ())).tolist() == [True, *is_letter[1:]]


def test_a_cut_character_counts_as_what_most_with_its_bytes_are() -> None:
    """Letters and marks together outweigh a script's digits; Thai letters are Thai letters."""
    bengali, thai = spelled("\u09df"), spelled("ก")
    pieces = [spelled("ি"), bengali[:2], bengali[2:], spelled("ে"), thai[:2], thai[2:], thai]
    starts = found_starts(word_codes(pieces, ()))
    assert starts.tolist() == [True, False, False, False, True, False, True]


def test_a_cut_character_belongs_to_one_word() -> None:
    """The middle of a UTF-8 character never begins a word: it could be masked apart else."""
    pieces = [spelled("日本")[:2], spelled("日本")[2:4], spelled("日本")[4:], spelled(" 日本")]
    assert found_starts(word_codes(pieces, ())).tolist() == [True, False, False, True]


def test_a_special_token_stands_alone() -> None:
    """`</s>` between two halves of a word keeps two documents apart."""
    codes = word_codes([spelled("un"), "</s>", spelled("do"), None], {1})
    maskable = codes != 0
    assert codes[[1, 3]].tolist() == [0, 0]
    assert segment_starts(codes[None], maskable[None])[0].tolist() == [True] * 4


def test_a_row_does_not_continue_the_row_before_it() -> None:
    """Rows are independent: a row's first token begins a word whatever stands above it."""
    codes = np.tile(word_codes([spelled("un"), spelled("do")], ()), (2, 1))
    starts = segment_starts(codes, np.ones((2, 2), bool))
    assert starts.tolist() == [[True, False], [True, False]]
