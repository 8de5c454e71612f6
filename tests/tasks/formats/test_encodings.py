"""Encodings: what is certain is certain, what is guessed is guessed right on real text."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UserError
from tasks.formats.encodings import decode_stream, detect_encoding, encoding_for


def decoded(content: bytes, encoding: str, errors: str = "refuse") -> str:
    return "".join(decode_stream(io.BytesIO(content), encoding, errors, "file.txt"))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_utf8_is_always_recognised(text: str) -> None:
    """Valid UTF-8 without zero bytes in every other place is never taken for anything else."""
    content = ("prefix " + text.replace("\0", "")).encode()
    assert detect_encoding(io.BytesIO(content)) == "utf-8"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed_and_removed(encoding: str) -> None:
    """Text with a mark decodes to itself, the mark not part of it."""
    content = "Žluťoučký kůň".encode(encoding)
    found = detect_encoding(io.BytesIO(content))
    assert found is not None
    assert decoded(content, found) == "Žluťoučký kůň"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told_by_its_zero_bytes(encoding: str) -> None:
    """Mostly Latin text in UTF-16 has a zero in every other place."""
    assert detect_encoding(io.BytesIO("plain words, naïve".encode(encoding))) == encoding


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "The “quoted” word – it’s naïve, and so is the café. " * 5),
        ("cp1252", "Der Süden grüßt schön, Äpfel und Öl. " * 5),
        ("cp850", "och Gud såg att ljuset var gott; och Gud skilde ljuset från mörkret. " * 20),
        ("cp1250", "Zażółć gęślą jaźń, wszyscy ludzie rodzą się wolni i równi. " * 5),
        ("cp1251", "Все люди рождаются свободными и равными в своем достоинстве. " * 5),
        ("cp932", "すべての人間は、生まれながらにして自由であり、かつ平等である。" * 5),
        ("gb18030", "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。" * 5),
    ],
)
def test_common_legacy_encodings_are_guessed(encoding: str, text: str) -> None:
    """The guess need not be the very name, but it must give the very text."""
    content = text.encode(encoding)
    found = detect_encoding(io.BytesIO(content))
    assert found is not None
    assert decoded(content, found) == text


def test_a_late_byte_outside_utf8_is_not_missed() -> None:
    """All of the file is looked at, not only its beginning."""
    content = b"plain ascii text\n" * 200_000 + "ein schöner Tag".encode("cp1252")
    assert detect_encoding(io.BytesIO(content)) == "cp1252"


@pytest.mark.parametrize("size", [10, (1 << 20) - 1, (1 << 20) + 3])
def test_a_byte_that_does_not_decode_is_named_by_its_offset(size: int) -> None:
    """The offset is that in the file, over block borders too."""
    with pytest.raises(UserError, match=rf"file.txt: byte {size:,} \(ff\) is not valid utf-8"):
        decoded(b"a" * size + b"\xff" + b"b" * 10, "utf-8")


def test_a_truncated_last_character_is_refused() -> None:
    """Half a character at the end is an error like any other."""
    with pytest.raises(UserError, match="byte 3"):
        decoded("abcä".encode()[:-1], "utf-8")


def test_replacing_keeps_everything_else() -> None:
    """With `errors: replace` only the bytes in question change."""
    assert decoded(b"caf\xe9 ok", "utf-8", "replace") == "caf\ufffd ok"


def test_the_longest_glob_that_fits_names_the_encoding() -> None:
    """A mapping's order plays no part; a file that no glob fits is refused."""
    mapping = {"*": "utf-8", "*-Latin1": "cp1252", "x/*": "koi8_r"}
    assert encoding_for(mapping, "x/German-Latin1") == "cp1252"
    assert encoding_for(mapping, "x/German") == "koi8_r"
    assert encoding_for(mapping, "y") == "utf-8"
    with pytest.raises(UserError, match="no glob"):
        encoding_for({"*.txt": "utf-8"}, "readme")


def test_real_legacy_text_is_read_right(shared_data: Path) -> None:
    """Files of three encodings in the NLTK corpora come out as the words that they hold."""
    expected = {
        "genesis": {"finnish.txt": "tyhjä", "french.txt": "créa", "german.txt": "Söhne",
                    "swedish.txt": "mörkret"},
        "state_union": {"1972-Nixon.txt": "Nation’s"},
        "inaugural": {"2005-Bush.txt": "America’s"},
    }  # fmt: skip
    for archive, words in expected.items():
        with zipfile.ZipFile(shared_data / f"corpus/nltk/{archive}.zip") as opened:
            for name, word in words.items():
                content = opened.read(f"{archive}/{name}")
                found = detect_encoding(io.BytesIO(content))
                assert found not in (None, "utf-8")
                assert word in content.decode(found), (name, found)
