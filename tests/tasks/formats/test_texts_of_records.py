"""Records of JSON, tables and plain text: what is found where, at which limit, and what is said."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.delimited import csv_records, table_rows, tsv_records, unquoted_tsv_records
from tasks.formats.json_records import (
    json_lines,
    json_records,
    json_values,
    jsonl_records,
    text_of,
)
from tasks.formats.records import missing_field, text_records
from tasks.formats.splitting import BLANK_LINE, LINE, TooLong, split_text, trim_blank_lines


def options(**changes: Any) -> ReadingOptions:
    return ReadingOptions.model_validate(changes)


def test_lines_are_numbered_from_one_with_those_that_are_blank() -> None:
    found = list(json_lines(['{"a": 1}\n\n', ' \n2\n"x"'], "f"))
    assert found == [("f, line 1", {"a": 1}), ("f, line 4", 2), ("f, line 5", "x")]


def test_a_line_of_json_may_be_eight_times_a_document() -> None:
    """And one character more may not; the record is told."""
    line = '{"text": "x", "more": "' + "y" * 55 + '"}'
    assert len(line) == 80
    assert list(jsonl_records([line + "\n"], options(max_document_bytes=10), "f")) == ["x"]
    with pytest.raises(UserError, match="f: record 1 is longer than 72 bytes"):
        list(jsonl_records(['{"text": ""}\n', line], options(max_document_bytes=9), "f"))


def test_a_value_of_json_is_read_up_to_the_limit() -> None:
    """What is held of values before it does not count."""
    values = ["x" * 50] * 30
    pieces = [json.dumps(values)[at : at + 7] for at in range(0, len(json.dumps(values)), 7)]
    assert list(json_values(pieces, "f", 70)) == values
    with pytest.raises(UserError, match="f: record 2 is longer than 40 bytes"):
        list(json_values([*json.dumps(["a", "b", "c" * 500])], "f", 40))


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_values_come_whole_in_whatever_pieces(size: int) -> None:
    """In a list or in a row, parted by commas, spaces or nothing."""
    value: list[dict[str, Any]] = [
        {"text": 'a [b] {c}, "d" \\ é'},
        {"text": None},
        {"text": "x" * 90},
        {"text": "z"},
    ]
    texts = [each["text"] for each in value]
    for content in (
        json.dumps(value),
        f"{json.dumps(value, indent=2)} \n",
        "\n".join(map(json.dumps, value)),
        "".join(map(json.dumps, value)),
    ):
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        assert list(json_records(pieces, options(), "f")) == texts
    assert list(json_records([f" \n{json.dumps(value)}"], options(), "f")) == texts
    assert list(json_records([], options(), "f")) == []
    assert list(json_records(["[", "]"], options(), "f")) == []


@pytest.mark.parametrize("rest", [["x"], ["\n", " x"], [" ", " ", "[1]"]])
def test_what_follows_the_end_of_a_list_is_refused(rest: list[str]) -> None:
    """However far behind it; white space may."""
    assert list(json_values(["[1]", "\n", "  "], "f")) == [1]
    assert list(json_values([" ", "\n ", " [1, 2]"], "f")) == [1, 2]
    with pytest.raises(UserError, match="f: there is more after the end of the list"):
        list(json_values(["[1]", *rest], "f"))


def test_a_mistake_far_from_the_end_is_told_at_once() -> None:
    """The rest of a large file is not read to tell it; an open text may still be closed."""

    def pieces() -> Iterator[str]:
        yield '[1, {"a": nonsense ' + " " * 200
        raise AssertionError("it was read on")

    with pytest.raises(UserError, match="f, record 1: this is not JSON"):
        list(json_values(pieces(), "f"))
    assert list(json_values(['["' + "x" * 200, 'y"]'], "f")) == ["x" * 200 + "y"]


def test_a_field_is_a_key_with_dots_or_a_way_into_objects() -> None:
    """A key of just that name goes first."""
    assert text_of({"a.b": "key", "a": {"b": "way"}}, "a.b", "f") == "key"
    assert text_of({"a": {"b": {"c": "deep"}}}, "a.b.c", "f") == "deep"
    assert text_of({"a": {"b": None}}, "a.b", "f") is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": "xtextx"}, "there is no 'a.b'"),
        ({"a": {"c": 1}}, "there is no 'a.b'"),
        ({"a": {"b": {}}}, "'a.b' holds an object, not text"),
        ({"a": {"b": True}}, "'a.b' holds true or false, not text"),
        ({"a": {"b": 0}}, "'a.b' holds the number 0, not text"),
        (None, "was expected, not null"),
        ("a.b", "was expected, not text"),
    ],
)
def test_what_is_no_text_is_told_by_its_kind(value: Any, told: str) -> None:
    with pytest.raises(UserError, match=f"^f: .*{told}"):
        text_of(value, "a.b", "f")


def test_the_nearest_key_is_told_else_the_one_with_the_longest_text() -> None:
    with pytest.raises(UserError, match="did you mean 'body'"):
        text_of({"zip": "12345", "body": "a long text", "x": "b" * 3}, "text", "f")
    assert "did you mean 'texts'" in missing_field("text", ["body", "texts"], "body", "f")
    assert "did you mean 'contents'" in missing_field("content", ["contents"], None, "f")
    assert "did you mean" not in missing_field("text", ["label"], None, "f")
    assert "It has no keys." in missing_field("text", [], None, "f")


def test_a_row_may_be_eight_times_a_document_with_its_line_end() -> None:
    row = "x," + "y" * 77 + "\n"
    assert len(row) == 80
    table = ["text,n\n", row]
    assert list(csv_records(table, options(max_document_bytes=10), "f")) == ["x"]
    with pytest.raises(UserError, match="f, line 2: .* more than 72 characters"):
        list(csv_records(table, options(max_document_bytes=9), "f"))


def test_rows_are_measured_one_by_one() -> None:
    """Many short ones are never too long together, in whatever pieces they come."""
    table = "text,n\n" + "ab,1\n" * 100
    for size in (1, 4, 1000):
        pieces = [table[at : at + size] for at in range(0, len(table), size)]
        assert list(csv_records(pieces, options(max_document_bytes=1), "f")) == ["ab"] * 100


def test_the_separator_is_the_one_that_shows_the_wanted_column() -> None:
    """Of commas, semicolons and tabs; where none does the file is told by its commas."""
    for header, cells in (("n,text", "1,a;b"), ("n;text", "1;a,b"), ("n\ttext", "1\ta,b;c")):
        separator = header[1]
        assert list(csv_records([f"{header}\n{cells}\n"], options(), "f")) == [
            cells.split(separator)[1]
        ]
    with pytest.raises(UserError, match="'n', 'words'"):
        list(csv_records(["n,words\n"], options(), "f"))
    with pytest.raises(UserError, match="2 columns are called 'text'"):
        list(csv_records(["text,n,text\na,b,c\n"], options(), "f"))


def test_columns_of_another_name_may_be_there_twice_in_a_corpus() -> None:
    assert list(tsv_records(["n\tn\ttext\n1\t2\ta\n"], options(), "f")) == ["a"]


def test_rows_of_a_table_know_their_line_and_their_columns() -> None:
    """Lines of quoted cells and blank ones are counted."""
    found = list(table_rows(["\nn,text\n", '1,"a\nb"\n\n', "2,c\n,\n"], "f"))
    assert found == [
        ("f, line 3", {"n": "1", "text": "a\nb"}),
        ("f, line 6", {"n": "2", "text": "c"}),
        ("f, line 7", {"n": "", "text": ""}),
    ]


def test_a_line_end_of_two_characters_in_two_pieces_is_one() -> None:
    found = [place for place, _ in table_rows(["a,b\r\n1,2\r", "\n3,4\r", "5,6"], "f")]
    assert found == ["f, line 2", "f, line 3", "f, line 4"]


def test_a_tables_rows_are_parted_as_their_file_says() -> None:
    """Tabs alone where it says tabs; else by what the header has most of."""
    text = "a,b\tc\n1,2\t3\n"
    assert [row for _, row in table_rows([text], "f", is_tabbed=True)] == [{"a,b": "1,2", "c": "3"}]
    assert [row for _, row in table_rows(["a;b;c,d\n1;2;3\n"], "f")] == [
        {"a": "1", "b": "2", "c,d": "3"}
    ]
    quotes = 'a\tb\n"x\t1\n'
    plain = table_rows([quotes], "f", is_quoted=False, is_tabbed=True)
    assert [row for _, row in plain] == [{"a": '"x', "b": "1"}]
    with pytest.raises(UserError, match="f, line 2: the row .* is not quoted"):
        list(table_rows([quotes], "f", is_tabbed=True))
    with pytest.raises(UserError, match="f, line 2: .*more than 4 characters"):
        list(table_rows(["a\nbcdefg\n"], "f", max_row_characters=4))


@pytest.mark.parametrize("row", ["1", "1,2,3"])
def test_a_ragged_row_of_labelled_data_is_refused(row: str) -> None:
    """A label must not move to another column."""
    with pytest.raises(UserError, match=r"f, line 3: this row has \d cells? and the header 2"):
        list(table_rows(["a,b\n0,0\n", f"{row}\n"], "f"))
    with pytest.raises(UserError, match="f: 2 columns are called 'a'"):
        list(table_rows(["a,a\n0,0\n"], "f"))


def test_quotes_are_plain_characters_in_unquoted_tables_alone() -> None:
    rows = ['text\tn\n"a\t1\n', 'b"\t2\n']
    assert list(unquoted_tsv_records(rows, options(), "f")) == ['"a', 'b"']
    with pytest.raises(UserError, match="not quoted as a table must be"):
        list(tsv_records(['text\tn\n"a" b\t1\n'], options(), "f"))


@pytest.mark.parametrize(
    ("separator", "mark"), [("line", "\n"), ("blank_line", "\n\n"), ({"regex": "@"}, "@")]
)
def test_a_part_of_a_text_may_be_of_just_the_limit(separator: Any, mark: str) -> None:
    """Behind a separator and at the end."""
    limit = options(separator=separator, max_document_bytes=5)
    assert list(text_records([f"12345{mark}67890"], limit, "f")) == ["12345", "67890"]
    for number, text in enumerate((f"123456{mark}7", f"1{mark}234567")):
        told = f"f: record {number} is longer than 5 bytes.*`separator`"
        with pytest.raises(UserError, match=told):
            list(text_records([text], limit, "f"))


def test_a_whole_file_may_be_of_just_the_limit() -> None:
    pieces = ["12345", "67890"]
    assert list(text_records(pieces, options(separator="file", max_document_bytes=10), "f")) == [
        "1234567890"
    ]
    with pytest.raises(UserError, match="f: record 0 is longer than 9 bytes"):
        list(text_records(pieces, options(separator="file", max_document_bytes=9), "f"))


def test_a_too_long_part_is_known_by_its_number() -> None:
    for text, number in (("123456\n7", 0), ("1\n2\n345678\n9", 2), ("1\n2\n3\n456789", 3)):
        with pytest.raises(TooLong) as caught:
            list(split_text([text], LINE, 5))
        assert caught.value.args == (number,)


def test_an_empty_line_is_a_record_and_an_empty_paragraph_is_none() -> None:
    """Lines keep their numbers; a regex's carets are those of lines."""
    assert list(text_records(["a\n\nb\n"], options(separator="line"), "f")) == ["a", "", "b"]
    assert list(text_records(["\n\na\n\n\n \n\n  b \n"], options(), "f")) == ["a", "  b "]
    by_regex = options(separator={"regex": "^#$"})
    assert list(text_records(["a\n#\nb # c\n#\n#\n"], by_regex, "f")) == ["a", "b # c"]
    assert list(text_records(["a\n", "b\n"], options(separator="file"), "f")) == ["a\nb\n"]


def test_a_mark_that_parts_nothing_still_parts_behind_text() -> None:
    """Where it matches the very beginning there is no part before it."""
    before = re.compile(r"(?=#)")
    assert list(split_text(["#a#b##c"], before, 99)) == ["#a", "#b", "#", "#c"]
    assert list(split_text(["a\n \n\t\nb\r\n\r\nc"], BLANK_LINE, 99)) == ["a", "b", "c"]


def test_only_line_ends_go_from_a_paragraphs_end() -> None:
    assert trim_blank_lines("\n  a \t\n\r\n") == "  a \t"
    assert trim_blank_lines(" \n\n") == ""
