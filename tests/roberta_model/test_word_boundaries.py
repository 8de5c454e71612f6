"""Word boundaries found from single tokens, against the pre-tokenizer that made the words."""

import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from roberta_model.word_boundaries import byte_of_letter, segment_starts, word_codes

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
    return segment_starts(codes[None], np.ones((1, len(codes)), bool))[0]


def is_whole(token: str) -> bool:
    """Whether a token holds whole characters only."""
    try:
        bytes(byte_of_letter()[letter] for letter in token).decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(("kind", "allowed"), [("english", 1e-4), ("other", 5e-3)])
def test_words_of_real_text_are_the_pre_tokenizers(real_text, kind: str, allowed: float) -> None:
    """On a few hundred KB: all but exact; what is missed elsewhere are cut-up characters."""
    num_tokens, wrong, wrong_among_whole = 0, 0, 0
    for text in filter(None, real_text.texts[kind]):
        encoding = real_text.encoder.encode(text, add_special_tokens=False)
        tokens = [real_text.vocabulary[i] for i in encoding.ids]
        assert "".join(tokens) == spelled(text)
        differs = true_starts(text, tokens) != found_starts(real_text.tables.codes[encoding.ids])
        whole = np.array([is_whole(token) for token in tokens])
        num_tokens += len(tokens)
        wrong += differs.sum()
        wrong_among_whole += (differs & whole & np.roll(whole, 1)).sum()

    assert wrong <= allowed * num_tokens
    assert wrong_among_whole <= 1e-4 * num_tokens


def cut(draw: st.DrawFn, text: str) -> list[str]:
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
    return unicodedata.category(character) not in ("Cn", "Cs", "Co") and character != "'"


@given(st.data(), st.text(st.characters(codec="utf-8").filter(is_settled), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_unicode_words_are_exact_where_no_character_is_cut(data: st.DataObject, text: str) -> None:
    """Any script, emoji, exotic white space and control characters."""
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
