"""Files of evaluation sets: names, formats, lines and their numbers."""

import bz2
import lzma
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tasks.errors import UserError
from tasks.evaluation.text_files import (
    find_files,
    format_of,
    read_lines,
    read_records,
    set_name,
    shown_name,
)

COLUMNS = ("good", "bad")


def records(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    """The records of a file by their lines' numbers."""
    path.write_text(text, encoding="utf-8")
    found = read_records(path, format_of(path, "auto"), path.name, COLUMNS)
    return [(int(where.removeprefix(f"{path.name}, line ")), record) for where, record in found]


@pytest.mark.parametrize(
    ("name", "form", "shown"),
    [
        ("a.b.jsonl", "jsonl", "a.b"),
        ("a.ndjson.xz", "jsonl", "a"),
        ("a.tab", "tsv", "a"),
        ("a.tsv.zst", "tsv", "a"),
        ("a.csv.bz2", "csv", "a"),
        ("a.txt.gz", "two_lines", "a"),
        ("a.txt.jsonl", "jsonl", "a.txt"),
        ("a.json", "jsonl", "a.json"),
    ],
)
def test_a_files_name_says_its_format_and_its_set(name: str, form: str, shown: str) -> None:
    assert format_of(Path(name), "auto") == form
    assert format_of(Path(name), "csv") == "csv"
    assert set_name(Path(name)) == shown


def test_files_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Whichever way the disk lists them; a single file is its own folder."""
    for name in ("c.csv", "a.csv", "b.csv.gz"):
        (tmp_path / name).write_text("")
    assert list(find_files(tmp_path, "auto", "data", ("jsonl", "csv"))) == ["a", "b", "c"]
    assert find_files(tmp_path / "c.csv", "auto", "data", ("csv",)) == {"c": tmp_path / "c.csv"}
    with pytest.raises(UserError, match=r"holds no files .* end in \.jsonl, \.ndjson,"):
        find_files(tmp_path, "jsonl", "data", ("jsonl", "csv"))


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        ("zst", lambda text: zstandard.compress(text)),
        ("bz2", bz2.compress),
        ("xz", lzma.compress),
    ],
)
def test_lines_are_read_of_every_compression(ending: str, pack: Any, tmp_path: Path) -> None:
    """Without their ends, and without a byte order mark."""
    path = tmp_path / f"a.txt.{ending}"
    path.write_bytes(pack(" é \r\n\nb\tc ".encode("utf-8-sig")))
    assert list(read_lines(path, "a")) == [" é ", "", "b\tc "]


def test_the_first_row_names_the_columns_if_it_names_all_that_are_wanted(tmp_path: Path) -> None:
    """In any order, beside others; and only there."""
    text = "bad\tid\tgood\nb\t1\tg\ngood\tx\tbad\n"
    assert records(tmp_path / "a.tsv", text) == [
        (2, {"bad": "b", "id": "1", "good": "g"}),
        (3, {"bad": "good", "id": "x", "good": "bad"}),
    ]
    assert records(tmp_path / "b.tsv", "this\tother\nx\ty\tz\n") == [
        (1, {"good": "this", "bad": "other"}),
        (2, {"good": "x", "bad": "y"}),
    ]


@pytest.mark.parametrize("first", ["good\tother", "good\tbadd", "goo\tx", "x\tbad"])
def test_a_first_row_with_a_slip_in_a_name_is_no_record(first: str, tmp_path: Path) -> None:
    """It was scored as a pair, as if its names were sentences."""
    with pytest.raises(UserError, match="line 1: there is no column '.*' in the first row"):
        records(tmp_path / "a.tsv", f"{first}\nx\ty\n")


def test_rows_have_the_numbers_of_their_lines(tmp_path: Path) -> None:
    """Past empty lines, and past a cell of several lines by its last one."""
    assert records(tmp_path / "a.tsv", "\n a \t b\n\t\nc\td\n") == [
        (2, {"good": "a", "bad": "b"}),
        (4, {"good": "c", "bad": "d"}),
    ]
    assert records(tmp_path / "a.csv", '\n"a\nb", c \n,\nd,e\n') == [
        (3, {"good": "a\nb", "bad": "c"}),
        (5, {"good": "d", "bad": "e"}),
    ]
    assert records(tmp_path / "a.jsonl", '\n{"x": 1}\n \n{"y": 2}') == [
        (2, {"x": 1}),
        (4, {"y": 2}),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"x": 1}\n\n[2]\n', "a.jsonl, line 3: a JSON object .* was expected"),
        ("a.tsv", "a\tb\n\nlonely\n", "a.tsv, line 3: this row has 1 columns"),
        ("a.csv", "a,b\n\nlonely\n", "a.csv, line 3: this row has 1 columns"),
        ("a.csv", 'a,b\n"a"x,b\n', "a.csv, line 2: this is no CSV"),
    ],
)
def test_what_is_no_record_is_told_with_its_line(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        records(tmp_path / name, text)


def test_a_cell_longer_than_pythons_own_limit_is_read(tmp_path: Path) -> None:
    cell = "x" * 200_000
    assert records(tmp_path / "a.csv", f"{cell},b\n") == [(1, {"good": cell, "bad": "b"})]


def test_a_name_that_is_shown_is_short_and_plain() -> None:
    """A hundred characters at most; what cannot be printed is an escape."""
    assert shown_name("é" * 101) == "é" * 100
    assert shown_name("a\x1b[2J") == r"'a\x1b[2J'"
    assert shown_name(None) == "None"
