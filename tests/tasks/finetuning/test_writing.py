"""Answers beside their rows: every row once, in order, with all its columns, in each format."""

import csv
import json
import math
import os
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from stock_folders import stock_folder

from roberta_model import load
from roberta_model.inference.reading import Columns, Reading
from tasks.config.downstream import ColumnsConfig
from tasks.errors import UserError
from tasks.finetuning.items import Item
from tasks.finetuning.predictor import Predictor
from tasks.finetuning.writing import columns_for, predictions, write_predictions

TEXT = ColumnsConfig(text="text")
NUM_ROWS = 1030  # more than are read at a time


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A random classifier of three classes."""
    folder = tmp_path_factory.mktemp("classifier")
    names = {0: "a", 1: "b", 2: "c"}
    stock_folder(folder, "RobertaForSequenceClassification", id2label=names)
    return Predictor(folder)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    separator = "," if path.suffix == ".csv" else "\t"
    return list(csv.DictReader(text.splitlines(), delimiter=separator))


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_row_is_there_once_with_its_columns(
    ending: str, predictor: Predictor, tmp_path: Path
) -> None:
    """In order, past the rows that are read at once; and the answers are those of each alone."""
    rows = [{"id": n, "text": f"Rome, {n % 7}", "label": "kept"} for n in range(NUM_ROWS)]
    given = tmp_path / "given.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = tmp_path / f"made{ending}"
    assert write_predictions(predictor, given, TEXT, "auto", made) == NUM_ROWS
    written = read(made)
    assert [int(row["id"]) for row in written] == list(range(NUM_ROWS))
    assert {row["label"] for row in written} == {"kept"}
    by_text: dict[str, set[str]] = {}
    for row in written:
        by_text.setdefault(row["text"], set()).add(row["predicted_label"])
    assert all(len(labels) == 1 for labels in by_text.values())
    assert all(1 / 3 <= float(row["predicted_score"]) <= 1 for row in written)


def test_no_rows_are_no_answers(predictor: Predictor, tmp_path: Path) -> None:
    """An empty file makes one without rows, in each format; a table names its columns."""
    (given := tmp_path / "given.jsonl").write_text("")
    for ending in (".jsonl", ".csv", ".parquet"):
        made = tmp_path / f"made{ending}"
        assert write_predictions(predictor, given, TEXT, "auto", made) == 0
        assert read(made) == []
    named = (tmp_path / "made.csv").read_text(), parquet.read_schema(tmp_path / "made.parquet")
    assert named[0].splitlines() == ["predicted_label,predicted_score"]
    assert named[1].names == ["predicted_label", "predicted_score"]


def test_an_answer_takes_no_columns_place(predictor: Predictor, tmp_path: Path) -> None:
    """As where what one model has answered is given to another."""
    (given := tmp_path / "given.jsonl").write_text('{"text": "a", "predicted_label": "good"}\n')
    with pytest.raises(UserError, match=r"line 1: there is a column 'predicted_label' already"):
        write_predictions(predictor, given, TEXT, "auto", tmp_path / "made.jsonl")


def test_a_pipe_becomes_no_empty_table(predictor: Predictor, tmp_path: Path) -> None:
    """Read for its columns, it would have nothing left to answer."""
    os.mkfifo(pipe := tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=r"pipe.jsonl: this is no regular file.*Write \.jsonl"):
        write_predictions(predictor, pipe, TEXT, "auto", tmp_path / "made.csv")
    assert not (tmp_path / "made.csv").exists()


def test_the_column_asked_for_goes_before_any_other(predictor: Predictor, tmp_path: Path) -> None:
    """Texts that differ are read, not those beside them."""
    given = tmp_path / "given.jsonl"
    rows = [{"text": "Rome", "other": f"A list. {'more ' * n}"} for n in range(5)]
    given.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shares = {}
    for column in ("text", "other"):
        answers = list(predictions(predictor, given, ColumnsConfig(text=column)))
        shares[column] = {answer["predicted_score"] for answer in answers}
    assert (len(shares["text"]), len(shares["other"])) == (1, 5)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_columns_that_come_late_are_kept(ending: str, predictor: Predictor, tmp_path: Path) -> None:
    """Behind the rows that are read at once: new ones, and values of another type."""
    rows: list[dict[str, Any]] = [{"text": "Rome", "id": n, "note": None} for n in range(NUM_ROWS)]
    rows.append({"text": "Rome", "id": "x1", "note": "late", "extra": [1, 2]})
    rows.append({"text": "Rome", "id": 7, "note": None, "extra": None})
    (given := tmp_path / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = tmp_path / f"made{ending}"
    assert write_predictions(predictor, given, TEXT, "auto", made) == len(rows)
    *_, last, after = read(made)
    assert (str(last["id"]), last["note"], str(last["extra"])) == ("x1", "late", "[1, 2]")
    assert (str(after["id"]), after["extra"] or None) == ("7", None)


def test_days_within_a_list_are_written_as_text(predictor: Predictor, tmp_path: Path) -> None:
    """Parquet has types that JSON has not; alone in a cell they are text in any case."""
    days = [date(2024, 2, 29), date(2025, 1, 1)]
    rows = pa.table({"text": ["Rome"], "day": [days[0]], "days": [days]})
    parquet.write_table(rows, given := tmp_path / "given.parquet")
    made = tmp_path / "made.csv"
    assert write_predictions(predictor, given, TEXT, "auto", made) == 1
    (found,) = read(made)
    assert (found["day"], found["days"]) == ("2024-02-29", '["2024-02-29", "2025-01-01"]')


def test_an_answer_that_is_none_at_first_has_its_type(tmp_path: Path) -> None:
    """A thousand contexts without an answer, then one with: scores are numbers all the same."""
    stock_folder(tmp_path / "reader", "RobertaForQuestionAnswering")
    reader = Predictor(tmp_path / "reader")
    rows = [{"question": "What?", "context": ""}] * NUM_ROWS
    rows.append({"question": "What?", "context": "A list."})
    (given := tmp_path / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = tmp_path / "made.parquet"
    assert write_predictions(reader, given, ColumnsConfig(), "auto", made) == len(rows)
    found = read(made)
    assert found[0]["predicted_score"] is None
    assert isinstance(found[-1]["predicted_score"], float)


def columns_of(task: str, learnt: Columns, row: dict[str, Any], **given: str) -> Columns:
    reader: Any = SimpleNamespace(reading=Reading(task, learnt, 16))  # type: ignore[arg-type]
    return columns_for(reader, row, ColumnsConfig(**given), "f")


def test_texts_are_read_from_where_the_model_learnt() -> None:
    """Unless others are asked for; where those are not there, as for any data."""
    learnt = Columns("body", None, "label")
    assert columns_of("classify", learnt, {"text": "", "body": ""}) == Columns("body", None, None)
    assert columns_of("classify", learnt, {"text": "", "title": ""}) == Columns("text", None, None)
    asked = columns_of("classify", learnt, {"text": "", "body": ""}, text="text")
    assert asked == Columns("text", None, None)
    pair = Columns("a", "b", "label")
    assert columns_of("pair", pair, {"a": "", "b": "", "c": ""}) == Columns("a", "b", None)
    assert columns_of("pair", pair, {"a": "", "b": "", "c": ""}, second="c") == Columns(
        "a", "c", None
    )


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_a_model_of_two_texts_is_not_given_one_alone(task: str) -> None:
    """Its answers would look like any others."""
    learnt = Columns("text", "span", "label")
    assert columns_of(task, learnt, {"text": "", "span": ""}) == Columns("text", "span", None)
    assert columns_of(task, learnt, {"text": "", "x": ""}, second="x") == Columns("text", "x", None)
    with pytest.raises(UserError, match="f: the model reads two texts, .* no column 'span'"):
        columns_of(task, learnt, {"text": "", "x": ""})


@pytest.mark.parametrize("problem", ["single", "multi_label_classification", "regression"])
def test_answers_are_those_that_a_loaded_folder_gives(problem: str, tmp_path: Path) -> None:
    """The likeliest class, every class more likely than not, or the number."""
    changes: dict[str, Any] = {"num_labels": 4, "problem_type": problem}
    if problem == "single":
        changes = {"id2label": {0: "a", 1: "b", 2: "c"}}
    elif problem == "regression":
        changes["num_labels"] = 1
    stock_folder(tmp_path, "RobertaForSequenceClassification", **changes)
    texts = ["Rome", "A list of words", "It was a joy from the first minute", "x"]
    found = Predictor(tmp_path)([Item("", text, None, None) for text in texts])
    for mine, theirs in zip(found, load(tmp_path).classify(texts), strict=True):
        if problem == "regression":
            assert mine == {"value": pytest.approx(theirs["score"], abs=1e-5)}
        elif problem == "single":
            score = pytest.approx(theirs["score"], abs=1e-5)
            assert mine == {"label": theirs["label"], "score": score}
        else:
            assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-5)
            assert mine["labels"] == [name for name, p in theirs["scores"].items() if p > 0.5]


def test_a_folder_that_gives_several_numbers_a_text_is_refused(tmp_path: Path) -> None:
    """The first of them once was the answer, without a word on the others."""
    changes: dict[str, Any] = {"num_labels": 3, "problem_type": "regression"}
    stock_folder(tmp_path, "RobertaForSequenceClassification", **changes)
    assert len(load(tmp_path).classify(["Rome"])[0]["scores"]) == 3
    with pytest.raises(UserError, match="gives 3 numbers for a text, and an answer holds one"):
        Predictor(tmp_path)


def test_one_logit_of_no_told_kind_is_a_share_to_one_and_a_number_to_the_other(
    tmp_path: Path,
) -> None:
    """As docs/using-the-model.md says: stock's pipeline takes it so, and its training so."""
    stock_folder(tmp_path, "RobertaForSequenceClassification", num_labels=1)
    (answer,) = Predictor(tmp_path)([Item("", "Rome", None, None)])
    (share,) = load(tmp_path).classify(["Rome"])
    assert share["score"] == pytest.approx(1 / (1 + math.exp(-answer["value"])), abs=1e-5)


def test_half_of_a_surrogate_pair_in_another_column_stays_what_it_was(
    predictor: Predictor, tmp_path: Path
) -> None:
    """In JSON Lines; a table cannot carry it, which is said."""
    given = tmp_path / "given.jsonl"
    given.write_text(
        '{"text": "Rome", "note": "caf\u00e9"}\n{"text": "x", "note": "cut \\ud83d"}\n'
    )
    made = tmp_path / "made.jsonl"
    assert write_predictions(predictor, given, TEXT, "auto", made) == 2
    assert [row["note"] for row in read(made)] == ["caf\u00e9", "cut \ud83d"]
    assert "caf\u00e9" in made.read_text(encoding="utf-8")
    for ending in (".csv", ".parquet"):
        with pytest.raises(UserError, match="in 'note' .* surrogate pair .* Write .jsonl"):
            write_predictions(predictor, given, TEXT, "auto", tmp_path / f"made{ending}")
    given.write_text('{"text": "Rome", "\\ud83d": 1}\n')
    with pytest.raises(UserError, match="surrogate pair"):
        write_predictions(predictor, given, TEXT, "auto", tmp_path / "made.tsv")
