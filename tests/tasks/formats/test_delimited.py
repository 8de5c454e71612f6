"""Tables in text: what a spreadsheet or a script wrote comes back cell for cell, or not at all."""

import csv
import gzip
import io
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from file_reading import read
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.delimited import csv_records, tsv_records, unquoted_tsv_records

CELLS = st.text(st.sampled_from("ab ,;\t\"'\r\n\u2028\x0c\x00é"), max_size=8)


def records(text: str, **options: Any) -> list[str | None]:
    return list(csv_records([text], ReadingOptions(**options), "in.csv"))


def written(rows: Iterable[Iterable[str]], **dialect: Any) -> str:
    out = io.StringIO()
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


@given(
    st.lists(st.tuples(CELLS, CELLS), max_size=6),
    st.sampled_from([(csv_records, ","), (csv_records, ";"), (tsv_records, "\t")]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 9),
)
def test_every_cell_comes_back_whatever_is_in_it(
    rows: list[tuple[str, str]], how: tuple[Any, str], end: str, size: int
) -> None:
    """Separators, quotes and line breaks inside; any line ends; text that comes in any pieces."""
    read_rows, separator = how
    text = written(
        [("id", "text"), *rows], delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL
    )
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(read_rows(pieces, ReadingOptions(), "x")) == [cell for _, cell in rows]


@pytest.mark.parametrize("ending", ["csv", "tsv", "tab", "CSV", "csv.gz"])
def test_the_ending_says_that_it_is_a_table(ending: str, tmp_path: Path) -> None:
    """2,225 articles in a table are 2,225 documents and not two."""
    separator = "," if "csv" in ending.lower() else "\t"
    rows = [("category", "text"), ("sport", 'She said "no",\nand left.'), ("tech", "Two; words")]
    content = written(rows, delimiter=separator).encode()
    path = tmp_path / f"articles.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    texts, report = read(path, tmp_path)
    assert texts == [rows[1][1], rows[2][1]]
    assert report.ledger["documents"].taken == 2


def test_blank_lines_are_no_records_and_empty_cells_are(tmp_path: Path) -> None:
    """The ledger counts a row without text as an empty record; a blank line counts as nothing."""
    path = tmp_path / "data.csv"
    path.write_text("\n  \nid,text\n1,one\n\n2,\n   \n3,three\n,,\n")
    texts, report = read(path, tmp_path)
    assert texts == ["one", "three"]
    assert report.ledger.to_json()["documents"] == {"in": 3, "kept": 2, "dropped": {"empty": 1}}
    (tmp_path / "only.csv").write_text("text\n")
    (tmp_path / "nothing.csv").write_text("\n")
    for name in ("only.csv", "nothing.csv"):
        assert read(tmp_path / name, tmp_path)[0] == []


def test_encodings_are_those_of_text(tmp_path: Path) -> None:
    """A mark is taken off the first column's name; `auto` and a named encoding work."""
    rows = written([("text", "n"), ("schön und größer", "1")])
    for encoding, wanted in (("utf-8-sig", "utf-8"), ("utf-16", "auto"), ("latin-1", "latin-1")):
        (tmp_path / "data.csv").write_bytes(rows.encode(encoding))
        assert read(tmp_path / "data.csv", tmp_path, encoding=wanted)[0] == ["schön und größer"]


def test_a_missing_column_is_refused_with_those_there_are() -> None:
    """And with the nearest one; or where two have the same name."""
    with pytest.raises(
        UserError, match=r"in.csv: there is no 'text'. It has 'label', 'texts'; did"
    ):
        records("label,texts\n1,a\n")
    with pytest.raises(UserError, match="2 columns are called 'text'"):
        records("text,text\n1,a\n")


@pytest.mark.parametrize(
    ("rows", "line"),
    [("1,a\n2,b,c\n", 3), ("1,a\n2\n", 3), ('1,"a\n\na"\n2,b\nlost line\n', 6)],
)
def test_a_row_of_another_width_is_refused_with_its_line(rows: str, line: int) -> None:
    """Text without quotes around its comma would be cut there, without a word."""
    with pytest.raises(UserError, match=f"in.csv, line {line}: this row has . cells?"):
        records("id,text\n" + rows)


@pytest.mark.parametrize("rows", ['1,"a\n2,b\n', '1,"a" b\n'])
def test_broken_quotes_are_refused_with_the_line_they_begin_at(rows: str) -> None:
    """A quote that never closes would swallow the rest of the file as one document."""
    with pytest.raises(UserError, match=r"in.csv, line 3: the row .*`format: tsv_unquoted`"):
        records("id,text\n0,x\n" + rows)


def test_quotes_can_be_plain_characters() -> None:
    """Many tab-separated files quote nothing, by their own convention."""
    text = 'text\tlabel\n"Well," she said\t1\n"never closed\t0\n'
    with pytest.raises(UserError, match="tsv_unquoted"):
        list(tsv_records([text], ReadingOptions(), "x"))
    found = list(unquoted_tsv_records([text], ReadingOptions(), "x"))
    assert found == ['"Well," she said', '"never closed']


def test_a_huge_cell_is_a_document_up_to_the_limit(tmp_path: Path) -> None:
    """Far beyond the parser's own limit, and refused by the source's."""
    path = tmp_path / "data.csv"
    cell = "word, " * 400_000
    path.write_text(written([("id", "text"), ("1", cell)]))
    assert read(path, tmp_path)[0] == [cell]
    with pytest.raises(UserError, match=r"record 0 is longer than 1,000,000 bytes"):
        read(path, tmp_path, max_document_bytes=1_000_000)


def test_memory_does_not_grow_with_the_file() -> None:
    """Rows stream: 32 MB of them need no more than a few pieces of about 1 MB."""

    def pieces() -> Iterator[str]:
        yield "id,text\n"
        for _ in range(64):
            yield "1,a few words\n" * (1 << 15)

    tracemalloc.start()
    num_records = sum(1 for _ in csv_records(pieces(), ReadingOptions(), "x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_records == 64 << 15
    assert peak < 16 << 20


def test_an_open_quote_ends_at_the_limit() -> None:
    """Long before the end of the file, and with the line that it opens on."""
    pieces = ["id,text\n", '1,"open ', *["word " * 1000] * 100]
    with pytest.raises(UserError, match=r"x, line 2: .*more than 80,000 characters"):
        list(csv_records(pieces, ReadingOptions(max_document_bytes=10_000), "x"))


@pytest.mark.parametrize(("part", "records"), [("train", 67_349), ("dev", 872)])
def test_a_real_table_has_as_many_rows_as_it_should(
    part: str, records: int, shared_data: Path, tmp_path: Path
) -> None:
    """SST-2 as the GLUE benchmark ships it, counted against the list that came with it."""
    path = shared_data / f"eval/glue/sst2/{part}.tsv.gz"
    texts, report = read(path, tmp_path, text_field="sentence")
    assert report.ledger["documents"].taken == len(texts) == records
