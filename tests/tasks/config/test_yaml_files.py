"""What is told of a file that is no YAML: the place to be mended, not where a parser fell."""

from pathlib import Path

import pytest

from tasks.config.yaml_files import read_mapping
from tasks.errors import UserError

KEY = r"after a key a colon and a space are expected \(`key: value`\)"


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ("a: 1\nb: [\n", "line 2, column 5", "a value, or the end of a list"),
        ("a: 1\nb: {x: 1, y: ]", "line 2, column 14", "a value, or the end of a list"),
        ("name: x\npaths: [a,\n  b\npack: 1", "line 2, column 8", "is not closed by ]"),
        ("pack: {rows: 5\nname: x", "line 1, column 7", "is not closed by }"),
        ("pack: {rows: 5 steps: 6}", "line 1, column 21", "a comma, or the } that closes"),
        ("a: b]\nb: [1]]", "line 2, column 7", "without one that was opened"),
        ("pack:\n\trows: 5", "line 2, column 1", r"a tab; .* The line is `\\trows: 5`\.$"),
        ("name x\ncorpus: 1", "line 1, column 1", KEY + r"\. The line is `name x`\.$"),
        ("name: x\ncorpus\n  - type: a", "line 2, column 1", KEY),
        ("pack:\n  rows:5\n# so\n\n  steps: 1", "line 2, column 3", KEY),
        ('name: "letters\ncorpus: 1', "line 1, column 7", "the quote that begins here is never"),
        ("name: 'letters\n", "line 1, column 7", "the quote that begins here is never"),
        ('name: "a\nb: "c"', "line 2, column 5", "a quote above is not closed"),
        ('name: "C:\\data"', "line 1, column 11", "single quotes"),
        ("name: Dear: you", "line 1, column 11", "two `: ` in the line"),
        ("name: x\n  rows: 1", "line 2, column 3", "indented deeper than line 1"),
        ("a:\n    b: 1\n  c: 2", "line 3, column 3", "the indentation fits nothing above"),
        ("a:\n  - b\n - c", "line 3, column 2", "the indentation fits nothing above"),
        ("paths: [*.txt]", "line 1, column 9", r"begins with \* must be in quotes"),
        ("paths: *all", "line 1, column 8", r"begins with \* must be in quotes"),
        ("name: @home", "line 1, column 7", "begins with @ must be in quotes"),
        ("a: 1\nb: c\x07", "line 2, column 5", "the character #x0007 is none"),
    ],
)
def test_the_place_and_what_was_expected_are_told(
    content: str, place: str, words: str, tmp_path: Path
) -> None:
    """In one paragraph with the line itself."""
    (tmp_path / "my.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        read_mapping(tmp_path / "my.yaml", "a thing")
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/my.yaml, {place}: this is not valid YAML: ")
    assert "\n" not in told


def test_a_password_in_the_line_is_not_repeated(tmp_path: Path) -> None:
    """As in every other message."""
    (tmp_path / "my.yaml").write_text("urls: [https://me:secret@host/a, b\nname: x")
    with pytest.raises(UserError, match="The line is") as caught:
        read_mapping(tmp_path / "my.yaml", "a thing")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\xff", r"my\.yaml: cannot be read: 'utf-8' codec"),
        (b"", r"my\.yaml: a thing, this is not one\."),
        (b"[1]", r"my\.yaml: a thing, this is not one\."),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"a: 2024-13-45", "a value is none of its type"),
    ],
)
def test_what_is_no_mapping_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "my.yaml").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_mapping(tmp_path / "my.yaml", "a thing")
