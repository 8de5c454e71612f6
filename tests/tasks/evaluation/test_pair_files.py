"""Minimal pairs in files: which are read and how, and what is said of those that cannot be."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.config.evaluate import MinimalPairsConfig
from tasks.errors import UserError
from tasks.evaluation.pair_files import FORMATS, MinimalPair, read_pairs
from tasks.evaluation.text_files import find_files
from tasks.publishing.charts import scores_chart


def settings(**changes: Any) -> MinimalPairsConfig:
    values = {"task": "minimal_pairs", "name": "pairs", "data": "pairs", **changes}
    return MinimalPairsConfig.model_validate(values)


def pairs_in(path: Path, **changes: Any) -> list[MinimalPair]:
    return read_pairs(path, settings(**changes), path.name)


def test_a_name_with_dollars_is_shown_as_it_is() -> None:
    """A chart's label is no formula: after all the training the report would fail on it."""
    chart = scores_chart({r"a_$\frac$_b": 0.5, "plain": 0.75}, chance=0.5)
    assert r"a_$\frac$_b" in chart


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "a\udc80", "\u202eb", ""])
def test_a_name_that_cannot_be_shown_is_refused_before_anything_runs(
    name: str, tmp_path: Path
) -> None:
    """The report's file could not even hold some of them."""
    (tmp_path / f"{name}.jsonl").write_text("{}\n")
    for data in (tmp_path, tmp_path / f"{name}.jsonl"):
        with pytest.raises(UserError, match=r"cannot show: '.*\.jsonl'. Rename") as caught:
            find_files(data, "auto", "evaluate.blimp.data", FORMATS)
        assert str(caught.value).isprintable()


def test_every_format_gives_the_same_pairs(tmp_path: Path) -> None:
    """JSON Lines, tables with and without names, and alternating lines, packed or with a BOM."""
    wanted = [MinimalPair("The cats sleep.", "The cats sleeps."), MinimalPair("He ran.", "Him ran")]
    objects = [{"sentence_bad": pair.bad, "sentence_good": pair.good} for pair in wanted]
    rows = [f"{pair.good}\t{pair.bad}\n" for pair in wanted]
    commas = "".join(f'"{pair.good}",{pair.bad}\n' for pair in wanted)
    lines = [f"{pair.good}\n\n{pair.bad}\n" for pair in wanted]
    texts = {
        "a.jsonl": "\n".join(map(json.dumps, objects)),
        "b.tsv": "".join(rows),
        "c.tsv": "id\tsentence_good\tsentence_bad\n" + "".join(f"1\t{row}" for row in rows),
        "d.csv": "sentence_good,sentence_bad\r\n" + commas,
        "e.csv": commas,
        "f.txt": "\ufeff" + "\r\n".join(lines),
        "g.TXT": "\n".join(lines),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(gzip.compress(text.encode()))
        form = "two_lines" if name.endswith("TXT") else "auto"
        assert pairs_in(tmp_path / name, format=form) == wanted, name
        assert pairs_in(packed, format=form) == wanted, name


def test_any_names_of_fields_are_read_and_paradigms_and_groups_with_them(tmp_path: Path) -> None:
    """Pairs of another making, by config alone."""
    file = tmp_path / "set.jsonl"
    record = {"yes": "a b", "no": "b a", "kind": 7, "area": "order\x1b", "field": "syntax"}
    file.write_text(json.dumps(record) + "\n")
    fields = {"good_field": "yes", "bad_field": "no", "paradigm_field": "kind"}
    found = pairs_in(file, **fields, group_fields=["area", "absent"])
    assert found == [MinimalPair("a b", "b a", "7", {"area": "'order\\x1b'"})]


@pytest.mark.parametrize(
    ("first_row", "fields", "absent"),
    [
        ("right,wrong", {"good_field": "rihgt", "bad_field": "wrong"}, "'rihgt'"),
        ("right,wrong", {"good_field": "rihgt", "bad_field": "wrnog"}, "'rihgt' or 'wrnog'"),
        ("sentence_good,bad", {"bad_field": "wrong"}, "'wrong'"),
        ("sentence_good,sentence_bat", {}, "'sentence_bad'"),
    ],
)
def test_a_column_that_a_table_lacks_is_refused_instead_of_taking_the_first_row_for_a_pair(
    first_row: str, fields: dict[str, str], absent: str, tmp_path: Path
) -> None:
    """A slip of the pen in a name would have scored other columns, and the names themselves."""
    file = tmp_path / "set.csv"
    file.write_text(f"{first_row}\nHe ran.,Him ran.\n")
    with pytest.raises(UserError, match=rf"line 1: there is no column {absent} in the first row"):
        pairs_in(file, **fields)


def test_a_folder_is_read_by_its_first_known_format(tmp_path: Path) -> None:
    """A readme beside the pairs is no pairs; files are called by what is before their endings."""
    for name in ("b.jsonl", "a.jsonl.gz", "README.txt", "labels.tsv", "notes.md"):
        (tmp_path / name).write_text("")
    assert list(find_files(tmp_path, "auto", "data", FORMATS)) == ["a", "b"]
    assert list(find_files(tmp_path, "tsv", "data", FORMATS)) == ["labels"]
    (tmp_path / "a.ndjson").write_text("")
    with pytest.raises(UserError, match=r"one set twice, as a\.jsonl\.gz and a\.ndjson"):
        find_files(tmp_path, "auto", "data", FORMATS)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"sentence_good": "a"}\n', "line 1: .* lacks sentence_bad and has "),
        ("a.jsonl", '\n{"sentence_good": "a", "sentence_bad": " "}\n', "line 2: .*empty"),
        ("a.jsonl", '{"sentence_good": "a", "sentence_bad": 3}\n', "line 1: .*not text"),
        ("a.jsonl", "[1]\n", "line 1: a JSON object .* was expected"),
        ("a.jsonl", "{\n", "line 1: this is not JSON"),
        ("a.jsonl", "\n\n", "holds no pairs"),
        ("a.tsv", "good only\n", "line 1: this row has 1 columns; sentence_good and"),
        ("a.csv", 'a,"b\n', "line 1: this is no CSV"),
        ("a.txt", "good\nbad\n\nlonely\n", "line 4: this sentence has no second one"),
        ("a.txt", "good\n\xff\n", "this is not UTF-8"),
    ],
)
def test_what_is_no_pair_is_told_with_its_line(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    """Which file and line, and what was wanted there."""
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=said) as caught:
        pairs_in(tmp_path / name)
    assert str(caught.value).startswith(name)


def test_a_name_of_null_is_none(tmp_path: Path) -> None:
    """Parquet has null in each record that lacks a key: that is no paradigm of all such files."""
    path = tmp_path / "pairs.parquet"
    pair = {"sentence_good": "a", "sentence_bad": "b"}
    rows = [{**pair, "UID": None, "field": None}, {**pair, "UID": "x", "field": "syntax"}]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    assert [each.paradigm for each in pairs_in(path)] == ["", "x"]
    assert [dict(each.groups) for each in pairs_in(path)] == [{}, {"field": "syntax"}]


def test_half_of_a_surrogate_pair_is_told_with_its_line(tmp_path: Path) -> None:
    """No tokenizer takes it."""
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"sentence_good": "a \\ud800 b", "sentence_bad": "c"}\n')
    with pytest.raises(UserError, match=r"pairs\.jsonl, line 1: a text holds half .*ud800"):
        pairs_in(path)


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    """Half of a compressed set is not taken for all of it."""
    text = "".join(f"good {number}\nbad {number}\n" for number in range(3000))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode())[:-2000])
    with pytest.raises(UserError, match="damaged or cut short"):
        pairs_in(tmp_path / "a.txt.gz")


def test_a_folder_without_files_or_no_folder_is_told(tmp_path: Path) -> None:
    """With the field that names it."""
    with pytest.raises(UserError, match="blimp.data: .* holds no files of this kind"):
        find_files(tmp_path, "auto", "evaluate.blimp.data", FORMATS)
    with pytest.raises(UserError, match="blimp.data: .*absent is neither a file nor a folder"):
        find_files(tmp_path / "absent", "auto", "evaluate.blimp.data", FORMATS)
