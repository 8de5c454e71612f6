"""Foreign text: every sign of Markdown is escaped, and what nobody sees is gone or said."""

import ast
from typing import Any

import pytest
import yaml

from tasks.publishing.card import card_head
from tasks.publishing.plain_text import as_python, cell, one_line, seen, short_name
from tasks.publishing.scores import Score

UNSEEN = [
    *("\x00", "\x1b", "\x1f", "\x7f", "\x85", "\x9f", "\u061c", "\u200b", "\u200f", "\u2028"),
    *("\u2029", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff"),
]


@pytest.mark.parametrize("sign", [*r"\`*~|<>[]()!#&"])
def test_every_sign_of_markup_is_escaped(sign: str) -> None:
    """Within words and between them, each time it is there."""
    assert cell(f"a{sign}b {sign}{sign}") == f"a\\{sign}b \\{sign}\\{sign}"


def test_an_underscore_within_a_word_is_none() -> None:
    assert cell("_a_ b_c d_ _e") == "\\_a\\_ b_c d\\_ \\_e"


@pytest.mark.parametrize("sign", UNSEEN)
def test_what_nobody_sees_is_told_or_left_out(sign: str) -> None:
    """In one line it parts words as white space does; in a sample it is an escape."""
    assert one_line(f"a{sign}{sign}b") == "a b"
    assert cell(f"a{sign}") == "a"
    code = f"\\x{ord(sign):02x}" if ord(sign) < 0x100 else f"\\u{ord(sign):04x}"
    assert seen(f"a{sign}b") == f"a{code}b"
    written = as_python(f"a{sign}b")
    assert ast.literal_eval(written) == f"a{sign}b"
    assert written.isprintable()


def test_a_long_name_loses_its_end_and_says_so() -> None:
    """A hundred signs are shown whole."""
    assert short_name("x" * 100) == "x" * 100
    assert short_name("x" * 101) == "x" * 99 + "…"
    assert short_name("a\nb", 3) == "a b"
    assert short_name("abcd", 3) == "ab…"


FIGURES: dict[str, Any] = {
    "name": "letters",
    "licence": None,
    "chosen_licence": None,
    "languages": [],
    "scores": [],
    "goes_on": False,
}


def head(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card_head({**FIGURES, **changes}))
    return found


def test_the_head_says_the_licences_name_where_it_is_another() -> None:
    """As it was chosen, on one line; of a licence that the hub knows there is no other name."""
    assert (
        head(licence="other", chosen_licence="ours\n---\nx: 1")["license_name"] == "ours --- x: 1"
    )
    assert head(licence="other")["license_name"] == "see-the-sources"
    assert "license_name" not in head(licence="mit", chosen_licence="mit")
    assert head(licence="mit")["license"] == "mit"
    assert "\n---" not in card_head({**FIGURES, "licence": "other", "chosen_licence": "a\n---\nb"})


def test_the_model_index_has_a_result_for_each_task() -> None:
    """Its scores by the hub's types, rounded to what they can tell."""
    scores = [
        Score("held-out text", "accuracy at <mask>", 0.12345678, 400, "tokens"),
        Score("BLiMP", "accuracy", 0.5, 90, "pairs"),
        Score("held-out text", "bits per byte", 1.5, 400, "tokens", is_share=False),
    ]
    (index,) = head(scores=scores)["model-index"]
    assert index["name"] == "letters"
    told = {each["dataset"]["name"]: each for each in index["results"]}
    assert list(told) == ["held-out text", "BLiMP"]
    assert told["held-out text"]["dataset"]["type"] == "held-out-text"
    assert told["held-out text"]["metrics"] == [
        {"type": "accuracy", "name": "accuracy at <mask>", "value": 0.123457},
        {"type": "bits_per_byte", "name": "bits per byte", "value": 1.5},
    ]
    assert told["BLiMP"]["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": 0.5}]
