"""What becomes of single characters, each by itself: which go, which stay, which change."""

import pytest

from tasks.cleaning import normalise as module
from tasks.cleaning.normalise import normalise


@pytest.mark.parametrize(
    "gone",
    [
        *[chr(code) for code in range(32) if chr(code) not in "\t\n\r"],
        *["\x7f", "\u200b", "\u2060", "\ufeff", "\ufff9", "\ufffa", "\ufffb", "\ufffe", "\uffff"],
    ],
)
def test_characters_that_nobody_sees_are_taken_out(gone: str) -> None:
    """Of a text with other letters too, and whether mojibake is repaired or not."""
    for text in (f"a{gone}b", f"a{gone}b é"):
        assert normalise(text) == text.replace(gone, "")
        assert normalise(text, repair=False) == text.replace(gone, "")


@pytest.mark.parametrize(
    "kept",
    [
        "\t",
        "\u00a0",
        "\u00ad",
        "\u200c",
        "\u200d",
        "\u200e",
        "\ufe0f",
        "\ufffd",
        "\u3000",
        "\u034f",
    ],
)
def test_characters_that_writing_needs_stay(kept: str) -> None:
    """Joiners, marks of direction, soft hyphens, and what says that something was lost."""
    assert normalise(f"a{kept}b") == f"a{kept}b"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u0085"])
def test_every_line_end_is_one_line_feed(end: str) -> None:
    """Two of them are one blank line, however many more there are."""
    for count, expected in ((1, "a\nb"), (2, "a\n\nb"), (3, "a\n\nb"), (4, "a\n\nb")):
        assert normalise(f"a{end * count}b", repair=False) == expected


@pytest.mark.parametrize("repair", [True, False])
def test_a_paragraph_mark_ends_a_paragraph(repair: bool) -> None:
    assert normalise("one\u2029two", repair) == "one\n\ntwo"


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", " \u00a0\t"])
def test_space_before_a_line_end_goes_and_after_one_stays(space: str) -> None:
    """Indentation can carry meaning."""
    assert normalise(f"a{space}\n{space}b{space}") == f"a\n{space}b"


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("schÃ¶n", "schön"),
        ("sÃƒÂ³", "só"),
        ("Ã la carte", "à la carte"),
        ("lâ€™humanitÃ©", "l’humanité"),
        ("â\ufffd\ufffd x", "\ufffd x"),
        ("\x1b[31mred\x1b[0m é", "red é"),
        ("\x80 and é", "€ and é"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ud83d é", "\ufffd é"),
    ],
)
def test_damage_is_undone(broken: str, text: str) -> None:
    """Wrong encodings once and twice over, lost bytes, terminals' colours, halves of pairs."""
    assert normalise(broken) == text


def test_mojibake_stays_where_it_is_not_to_be_repaired() -> None:
    assert normalise("schÃ¶n", repair=False) == "schÃ¶n"
    assert normalise("e\u0301 schÃ¶n", repair=False) == "é schÃ¶n"


@pytest.mark.parametrize(
    "repair",
    [
        *["fix_encoding", "restore_byte_a0", "replace_lossy_sequences"],
        *["decode_inconsistent_utf8", "fix_c1_controls"],
    ],
)
def test_all_of_ftfys_repairs_of_wrong_encodings_are_asked_for(repair: str) -> None:
    assert getattr(module._REPAIR, repair) is True


def test_the_form_is_nfc_and_another_where_it_is_asked_for() -> None:
    """Ligatures, width and fractions are the author's own but in NFKC."""
    text = "e\u0301 \ufb01ne Ａ½ ĳ"
    assert normalise(text) == "é \ufb01ne Ａ½ ĳ"
    assert normalise(text, form="NFKC") == "é fine A1\u20442 ij"
    assert normalise(text, form="none") == text


@pytest.mark.parametrize("text", ["“so” ‘it’ is…", "&amp; &lt;p&gt; &eacute; é", "ﬀ ŉ ǌ ｶﾞ　x é"])
def test_what_the_author_wrote_stays(text: str) -> None:
    """Quotes, entities, ligatures and width; in a line that has damage to mend too."""
    assert normalise(text) == text
    assert normalise(f"{text} sÃ³") == f"{text} só"
