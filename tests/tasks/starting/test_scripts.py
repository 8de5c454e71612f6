"""Which scripts and which language a text is in: shares of letters, and only what is clear."""

import pytest

from tasks.starting.scripts import is_unspaced, language_of, scripts_of

ENGLISH = "and that was the end of it, they said with this from the have and of that"


def test_shares_are_of_letters_alone_and_the_largest_comes_first() -> None:
    assert scripts_of(["12 345 ... ab", "вг д"]) == {"Cyrillic": 0.6, "Latin": 0.4}
    assert scripts_of(["12 345 ..."]) == {}
    assert list(scripts_of(["漢字かな", "漢"])) == ["CJK", "Hiragana"]


def test_a_script_of_less_than_a_hundredth_is_left_out() -> None:
    assert scripts_of(["a" * 99 + "я"]) == {"Latin": 0.99, "Cyrillic": 0.01}
    assert scripts_of(["a" * 100 + "я"]) == {"Latin": 0.99}


def test_of_a_text_its_beginning_counts_and_of_all_so_many_letters() -> None:
    assert scripts_of(["a" * 20_000 + "я" * 50_000, "я" * 20_000]) == {
        "Latin": 0.5,
        "Cyrillic": 0.5,
    }
    assert scripts_of(["a" * 20_000] * 20 + ["я" * 20_000] * 20) == {"Latin": 1.0}


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (ENGLISH, "en"),
        ("und der Hund ist nicht die Katze, das ist auch ein Tier mit sich", "de"),
        ("les gens des villes est dans une maison pour pas que sur avec", "fr"),
        (ENGLISH.upper(), "en"),
        (" ".join(["the", *["word"] * 19]), "en"),
        (" ".join(["the", *["word"] * 20]), None),
        ("the and of und der die", None),
        ("con con con con per per", None),
        ("", None),
    ],
)
def test_a_language_is_named_only_where_it_is_clear(text: str, tag: str | None) -> None:
    """Its words are a twentieth of all at least, and half as many again as the next one's."""
    assert language_of([text]) == tag


@pytest.mark.parametrize(
    ("scripts", "unspaced"),
    [
        ({"CJK": 0.31}, True),
        ({"CJK": 0.3, "Latin": 0.7}, False),
        ({"Hiragana": 0.2, "Thai": 0.2}, True),
        ({"Hangul": 0.9}, False),
        ({}, False),
    ],
)
def test_scripts_without_spaces_count_together(scripts: dict[str, float], unspaced: bool) -> None:
    assert is_unspaced(scripts) is unspaced
