"""Rows of labelled data and glimpses of files: every column, in its place, as strictly as told."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from file_reading import describe
from pyarrow import parquet

from tasks.errors import UserError
from tasks.formats import glimpse as module
from tasks.formats import rows as rows_module
from tasks.formats.glimpse import Glimpse, glimpse, likely_text, unread_members
from tasks.formats.rows import RowFormat, read_rows, squad_rows

TABLE = [{"n": 1, "text": "one, two"}, {"n": 2, "text": 'say "x"'}, {"n": 3, "text": "drei ß"}]


def write(path: Path) -> Path:
    """The same table, as the name's ending says."""
    if path.name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in TABLE))
    elif path.suffix == ".json":
        path.write_text(json.dumps(TABLE))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(TABLE), path)
    elif path.suffix in (".arrow", ".feather"):
        table = pa.Table.from_pylist(TABLE)
        make = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("a.jsonl", "line {}"),
        ("a.json", "record {}"),
        ("a.parquet", "record {}"),
        ("a.arrow", "record {}"),
        ("a.feather", "record {}"),
    ],
)
def test_each_row_has_all_its_columns_and_knows_where_it_stands(
    name: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines from one, records from zero, however many are read at a time."""
    monkeypatch.setattr(rows_module, "_ROWS_AT_ONCE", 1)
    found = list(read_rows(write(tmp_path / name), name="given.jsonl", form=_form(name)))
    first = 1 if "line" in where else 0
    assert [row for _, row in found] == TABLE
    places = [f"given.jsonl, {where.format(number)}" for number in range(first, first + 3)]
    assert [place for place, _ in found] == places


def _form(name: str) -> RowFormat:
    forms: dict[str, RowFormat] = {"json": "json", "parquet": "parquet", "jsonl": "jsonl"}
    return forms.get(name.rpartition(".")[2], "arrow")


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("a.csv", 'a,b\n"x, y",1\n', {"a": "x, y", "b": "1"}),
        ("a.csv", "a;b,c;d\n1;2;3\n", {"a": "1", "b,c": "2", "d": "3"}),
        ("a.tsv", 'a\tb\n"x\ty"\t1\n', {"a": "x\ty", "b": "1"}),
        ("a.tab", "a,b\tc\n1,2\t3\n", {"a,b": "1,2", "c": "3"}),
    ],
)
def test_tables_are_parted_by_what_their_ending_says(
    name: str, content: str, row: dict[str, str], tmp_path: Path
) -> None:
    """Packed or not."""
    (tmp_path / name).write_text(content)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        assert list(read_rows(path)) == [(f"{path}, line 2", row)]


def test_quotes_are_plain_characters_where_the_format_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('a\tb\n"x\t1\n')
    assert [row for _, row in read_rows(tmp_path / "a.tsv", "tsv_unquoted")] == [
        {"a": '"x', "b": "1"}
    ]
    with pytest.raises(UserError, match=r"a\.tsv, line 2: the row"):
        list(read_rows(tmp_path / "a.tsv"))


def test_a_wrong_byte_is_told_by_the_line_it_stands_in(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3,\xff\n")
    with pytest.raises(UserError, match=r"^data, line 3: byte 10 \(ff\) is not valid utf-8"):
        list(read_rows(tmp_path / "a.csv", "csv", "data"))


def test_damage_is_told_with_the_rows_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 9)[:-4])
    with pytest.raises(
        UserError, match=r"a\.jsonl\.gz: the data are damaged or cut short after \d+"
    ) as caught:
        list(read_rows(path))
    assert str(caught.value).endswith("from where it came."), "labelled data are of no source"


@pytest.mark.parametrize("name", ["a.txt", "a", "a.xml", "a.zip"])
def test_what_is_no_table_by_its_name_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match="by its name this is no table"):
        list(read_rows(tmp_path / name))
    with pytest.raises(UserError, match=r"gone\.csv cannot be read: No such file"):
        list(read_rows(tmp_path / "gone.csv"))


@pytest.mark.parametrize("line", ["[1]", "1", "null", '"x"'])
def test_a_record_that_is_no_object_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(UserError, match=r"a\.jsonl, line 2: a JSON object"):
        list(read_rows(tmp_path / "a.jsonl"))


def test_what_is_said_of_a_row_names_no_source(tmp_path: Path) -> None:
    """There is none: labelled data are files of a task."""
    (tmp_path / "a.jsonl").write_text('{"text": "x')
    with pytest.raises(UserError, match="or set its `format`"):
        list(read_rows(tmp_path / "a.jsonl"))


def test_a_wrong_offset_in_columns_is_refused_before_a_row_of_them(tmp_path: Path) -> None:
    table = pa.table({"text": ["a" * 30] * 2})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    content = (tmp_path / "a.arrow").read_bytes().replace(b"a" * 30, b"\xff" * 30)
    (tmp_path / "a.arrow").write_bytes(content)
    with pytest.raises(UserError, match=r"after 0 records .*Invalid UTF8"):
        list(read_rows(tmp_path / "a.arrow"))


def article(**question: Any) -> dict[str, Any]:
    return {"paragraphs": [{"context": "c", "qas": [{"question": "q", **question}]}]}


def test_each_question_of_squad_is_a_row_with_its_paragraph() -> None:
    """Without an id it has one of its place; answers that nobody gives it has not."""
    answers = [{"text": "c", "answer_start": 0}]
    two = [{"question": "x", "id": 7, "answers": answers}, {"question": "y"}]
    articles = [
        article(),
        {"paragraphs": [{"context": "d", "qas": []}, {"context": "e", "qas": two}]},
    ]
    assert list(squad_rows(articles, "f")) == [
        (
            "f, article 0, paragraph 0, question 0",
            {"id": "0-0-0", "question": "q", "context": "c"},
        ),
        (
            "f, article 1, paragraph 1, question 0",
            {"id": "7", "question": "x", "context": "e", "answers": answers},
        ),
        (
            "f, article 1, paragraph 1, question 1",
            {"id": "1-1-1", "question": "y", "context": "e"},
        ),
    ]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({}, "article 0: there is no list under 'paragraphs'"),
        ({"paragraphs": [{}]}, "article 0, paragraph 0: there is no list under 'qas'"),
        (
            {"paragraphs": [{"qas": [{"question": "q"}]}]},
            "paragraph 0: there is no text under 'con",
        ),
        (
            {"paragraphs": [{"context": "c", "qas": [{}]}]},
            "question 0: there is no text under 'que",
        ),
        (article(question=5), "question 0: there is no text under 'que"),
    ],
)
def test_what_squad_must_have_is_missed_by_its_place(broken: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        list(squad_rows([broken], "f"))


def test_squads_file_and_a_list_of_objects_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"version": "2", "data": [article(id="i")]}))
    assert [row["id"] for _, row in read_rows(tmp_path / "a.json")] == ["i"]
    (tmp_path / "b.json").write_text(json.dumps([{"data": "x"}, {"data": "y"}]))
    assert list(read_rows(tmp_path / "b.json")) == [
        (f"{tmp_path}/b.json, record 0", {"data": "x"}),
        (f"{tmp_path}/b.json, record 1", {"data": "y"}),
    ]


@pytest.mark.parametrize(
    ("fields", "likely"),
    [
        ({"body": ["x y"], "text": ["a b"]}, "text"),
        ({"text": ["1", "2"], "body": ["words here"]}, "body"),
        ({"text": ["1"], "id": ["2"]}, "text"),
        ({"a": ["x" * 20], "b": ["y" * 10]}, "a"),
        ({"a": ["x" * 19], "b": ["y" * 10]}, None),
        ({"b": ["y" * 10], "a": ["x" * 20, "x" * 20]}, "a"),
        ({"when": ["2024-01-01 10:00:00"], "said": ["ok"]}, "said"),
        ({"n": ["1", "2"]}, None),
        ({}, None),
    ],
)
def test_the_field_of_the_text_is_told_by_name_or_by_clear_length(
    fields: dict[str, list[str]], likely: str | None
) -> None:
    """A named field of numbers is none; twice as long in the mean is clear."""
    assert likely_text(fields) == likely


def seen(path: Path, content: str | bytes, **options: Any) -> Glimpse:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return glimpse(describe(path, **options)[0])


def test_a_glimpse_shows_format_encoding_and_texts(tmp_path: Path) -> None:
    found = seen(tmp_path / "a.txt", "\ufeffgrößer\n", encoding="auto")
    assert (found.format, found.encoding, found.text) == ("text", "utf-8", "größer\n")
    assert found.texts(None) == ["größer\n"]
    found = seen(
        tmp_path / "a.jsonl", '{"a": {"b": "x"}, "c": "y"}\n{"c": "z"}\nnot json\n{"c": "w"}\n'
    )
    assert found.fields == {"a.b": ["x"], "c": ["y", "z"]}
    assert found.texts("c") == ["y", "z"]
    assert found.texts("nowhere") == []
    found = seen(tmp_path / "a.csv", "n;text\n1;a, b\nragged\n2;c\n")
    assert found.fields == {"n": ["1", "2"], "text": ["a, b", "c"]}
    assert glimpse(describe(write(tmp_path / "b.parquet"))[0]).fields == {
        "text": [row["text"] for row in TABLE]
    }


def test_the_beginning_ends_at_a_line_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And within no character; a file as long as the beginning is taken as cut too."""
    monkeypatch.setattr(module, "_HEAD_BYTES", 8)
    assert seen(tmp_path / "a.txt", "one\ntwo three").text == "one\n"
    assert seen(tmp_path / "b.txt", "one\ntwo").text == "one\ntwo"
    found = seen(tmp_path / "c.txt", "größ\nöä".encode(), encoding="auto")
    assert (found.encoding, found.text) == ("utf-8", "größ\n")
    monkeypatch.setattr(module, "_HEAD_BYTES", 9)
    cut = seen(tmp_path / "d.txt", "a\nbcdöäö".encode() + b"xyz", encoding="auto")
    assert (cut.encoding, cut.text) == ("utf-8", "a\n")


@pytest.mark.parametrize(
    ("content", "form", "first"),
    [
        ('a\tb\n"x"\t1\ny\t2\n', "tsv", "x"),
        ('a\tb\n"x\t1\ny\t2\n', "tsv_unquoted", '"x'),
        ('a\tb\n"x" y\t1\nz "w"\t2\n', "tsv", "x y"),
        ('a\tb\n"x\ty"\t1\nz\t2\n', "tsv", "x\ty"),
        ("a\tb\nx\t1\n", "tsv", "x"),
    ],
)
def test_quotes_of_a_table_with_tabs_are_told_by_its_rows(
    content: str, form: str, first: str, tmp_path: Path
) -> None:
    """Plain ones where only so every row has its columns."""
    found = seen(tmp_path / "a.tsv", content)
    assert (found.format, found.fields["a"][0]) == (form, first)


def test_of_an_archive_the_first_member_that_is_read_is_shown(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in ("a.html", "b.PDF", "c.csv", "d/e.html"):
            archive.writestr(name, "text\nx y\n")
    file = describe(tmp_path / "in.zip")[0]
    found = glimpse(file)
    assert (found.format, found.member, dict(found.fields)) == ("csv", "c.csv", {"text": ["x y"]})
    assert unread_members(file) == ["*.PDF", "*.html"]
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("a.html", "x")
    with pytest.raises(UserError, match="no member in this archive that can be read"):
        glimpse(describe(tmp_path / "none.zip")[0])
