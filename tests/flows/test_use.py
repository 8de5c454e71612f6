"""The commands that use a model folder, called in this process: what they print, and refuse."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from stock_folders import SENTENCES, stock_folder

from flows.cli import roberta
from flows.commands.evaluate import _told_contained, _told_doubts
from roberta_model import load
from roberta_model.inference.loaded import LoadedModel
from roberta_model.inference.reading import Columns
from tasks.errors import UserError
from tasks.finetuning.predictor import Predictor


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny masked LM in several files, as stock saves one."""
    place = tmp_path_factory.mktemp("model")
    stock_folder(place, shards=True)
    return place


def call(name: str, *arguments: Any) -> Result:
    command = roberta.get_command(click.Context(roberta), name)
    assert command is not None
    return CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)


def test_embed_says_what_it_did(model: Path, tmp_path: Path) -> None:
    """Where the vectors are, how many, how fast; which column was guessed; what was cut."""
    table = tmp_path / "said.csv"
    table.write_text(f'n,said\n1,Rome\n2,"{" ".join(SENTENCES[:3])}"\n3,\n', encoding="utf-8")
    done = call("embed", model, table, "--out", tmp_path / "v.npy")
    assert "v.npy: 3 texts (1 of them empty), vectors of 32 numbers, " in done.stdout
    assert "1 of them are longer than the 32 tokens that the model reads" in done.stdout
    assert "the text is taken from the column 'said' (--column)" in done.stderr
    vectors = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert np.allclose(vectors[0], load(model).embed(["Rome"])[0], atol=1e-5)

    told = call("embed", model, table, "--out", tmp_path / "v.parquet", "--json")
    answer = json.loads(told.stdout)
    assert (answer["column"], answer["texts"], answer["cut"], answer["width"]) == ("said", 3, 1, 32)


def test_a_file_of_masks_is_filled(model: Path, tmp_path: Path) -> None:
    """A line for each mask with its text's number; or a file of all guesses."""
    file = tmp_path / "lines.txt"
    file.write_text("none here\nA <mask> of [MASK].\n")
    done = call("fill-mask", model, "--file", file, "--top", 2)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "2"]
    assert all("A <mask> of [MASK].  ->  " in line for line in lines)
    done = call("fill-mask", model, "--file", file, "--out", tmp_path / "f.jsonl")
    assert "2 texts, 2 masks filled" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [len(row["masks"]) for row in rows] == [0, 2]


def test_scores_go_to_a_table(model: Path, tmp_path: Path) -> None:
    """With the fields of the JSON, empty where nothing was scored."""
    (tmp_path / "lines.txt").write_text("A list.\n\n")
    done = call("score", model, tmp_path / "lines.txt", "--out", tmp_path / "s.tsv")
    assert "2 texts (1 of them empty), " in done.stdout
    header, first, second = (tmp_path / "s.tsv").read_text().split("\n")[:3]
    assert header.split("\t") == ["text", "tokens", "score", "per_token", "why"]
    assert float(first.split("\t")[2]) < 0
    assert second == "\t0\t\t\t"


def test_texts_too_long_to_score_are_counted_at_the_end(model: Path, tmp_path: Path) -> None:
    """Wherever the scores go, on stderr: they are one JSON document or lines on stdout."""
    (tmp_path / "lines.txt").write_text(f"A list.\n{'A list. ' * 30}\n")
    for more in ((), ("--json",), ("--out", tmp_path / "s.jsonl")):
        done = call("score", model, tmp_path / "lines.txt", *more)
        assert done.exit_code == 0
        assert "1 of 2 texts are longer than the 32 tokens that the model reads" in done.stderr
        if more == ("--json",):
            first, second = json.loads(done.stdout)["lines"]
            assert (first["why"], second["score"]) == (None, None)
            assert "the model reads at most 32" in second["why"]


@pytest.mark.parametrize("words", [("score",), ("fill-mask", "--file")])
def test_a_folder_with_another_head_is_no_fault_of_the_text(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    stock_folder(tmp_path / "classes", "RobertaForSequenceClassification")
    (lines := tmp_path / "lines.txt").write_text("A <mask>.\n")
    with pytest.raises(UserError, match=r"^\S*classes: this is a RobertaForSequence.* with any\.$"):
        call(words[0], tmp_path / "classes", *words[1:], lines)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("rows.csv", "this is the file that is read"),
        ("none/rows.csv", "there is no folder"),
        ("folder.csv", "this is a folder"),
        ("rows.xlsx", r"must end in \.jsonl or \.csv or \.tsv or \.parquet"),
    ],
)
def test_predict_refuses_a_place_before_it_reads_anything(
    out: str, message: str, tmp_path: Path
) -> None:
    """It once wrote over the file that it read."""
    (tmp_path / "folder.csv").mkdir()
    (rows := tmp_path / "rows.csv").write_text("text\nRome\n")
    with pytest.raises(UserError, match=message):
        call("predict", tmp_path / "no model", rows, "--out", tmp_path / out)
    assert rows.read_text() == "text\nRome\n"


def test_predict_says_how_many_texts_were_cut(tmp_path: Path) -> None:
    """As `embed` does, wherever the answers go: a class of a beginning is not one of the text."""
    stock_folder(tmp_path / "classes", "RobertaForSequenceClassification")
    rows = tmp_path / "rows.csv"
    rows.write_text(f'text\nRome\n"{" ".join(SENTENCES[:3])}"\n', encoding="utf-8")
    said = "longer than the 32 tokens of a row, so their ends were left out: 1 text"
    for more in ((), ("--out", tmp_path / "answers.csv")):
        assert said in call("predict", tmp_path / "classes", rows, *more).stderr
        done = call("predict", tmp_path / "classes", rows, "--json", *more)
        assert json.loads(done.stdout)["cut"] == 1
    rows.write_text("text\nRome\n", encoding="utf-8")
    assert "left out" not in call("predict", tmp_path / "classes", rows).stderr


@pytest.mark.parametrize("out", ["answers.jsonl", "answers.csv", None])
def test_predict_answers_no_file_that_changes_meanwhile(
    out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two states of a file are of none; a table's file is read twice."""
    (rows := tmp_path / "rows.csv").write_text("text\nRome\n")
    reading = SimpleNamespace(task="classify", columns=Columns("text", None, None))

    class Replacing:
        def __init__(self, *_: Any) -> None:
            self.reading, self.problem = reading, ""

        def __call__(self, items: list[Any]) -> list[dict[str, Any]]:
            (tmp_path / "new").write_text("text\nOslo\n")
            (tmp_path / "new").replace(rows)
            return [{"label": "yes", "score": 1.0} for _ in items]

    monkeypatch.setattr("tasks.finetuning.predictor.Predictor", Replacing)
    given = () if out is None else ("--out", tmp_path / out)
    with pytest.raises(UserError, match=r"rows\.csv: the file was changed while it was being read"):
        call("predict", tmp_path, rows, *given)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_what_was_too_short_to_look_for_is_said() -> None:
    """Nought of nothing is no clean bill."""
    part = {"contained": 0, "items": 60, "too_short": 60}
    tasks = {"short": part, "long": {**part, "contained": 3, "too_short": 0}}
    told = _told_contained({"contamination": {"tasks": tasks}, "tasks": {}})
    assert "short 0 of 0 (60 more too short to be looked for), long 3 of 60." in told
    assert "not known" in _told_contained({"contamination": None, "tasks": {}})


def row(task: str, measure: str, value: float, low: float, **more: Any) -> dict[str, Any]:
    interval = {"low": low, "high": value + (value - low)}
    rest = {"interval": interval, "chance": None, "better": "higher"}
    return {"task": task, "measure": measure, "value": value, **rest, **more}


def taught(metric: str, value: float, baselines: dict[str, float]) -> dict[str, Any]:
    """A task that was taught, as far as what is said of its score goes."""
    beside = {name: {metric: figure} for name, figure in baselines.items()}
    scored = {"metrics": {metric: {"value": value}}}
    return {"metric": metric, "scores": {"dev": scored}, "baselines_on": {"dev": beside}}


def test_a_score_that_says_little_is_named_under_the_table() -> None:
    """Beside guessing, and beside the best of what needs no encoder, not the simplest of it."""
    found: dict[str, Any] = {
        "scores": [
            row("pairs", "accuracy", 0.6, 0.55, chance=0.5),
            row("facts", "precision at 1", 0.05, 0.02, chance=0.023),
            row("facts", "precision at 1, all tokens", 0.0, 0.0),
            row("rte", "accuracy", 0.59, 0.51, chance=0.4),
            row("rte", "f1", 0.3, 0.1, chance=0.3),
            row("rating", "mse", 1.0, 0.8, chance=1.1, better="lower"),
            row("answers", "f1", 0.04, 0.02, chance=0.13),
        ],
        "tasks": {
            "pairs": {},
            "facts": None,
            "rte": taught("accuracy", 0.59, {"commonest": 0.4, "bag of words": 0.568}),
            "rating": taught("mse", 1.0, {"mean": 1.1}),
            "answers": taught("f1", 0.04, {"likeliest sentence": 0.13}),
        },
    }
    worse, within = _told_doubts(found)
    assert worse.startswith("answers: No better than the likeliest sentence, which needs no encod")
    assert within.split(": ", 1)[1] == (
        "facts, precision at 1 (guessing 2.3%); rte, accuracy (bag of words 56.8%); "
        "rating, mse (mean 1.100)"
    )
    assert not _told_doubts({"scores": found["scores"][:1], "tasks": {"pairs": {}}})


@pytest.mark.parametrize("name", ["embed", "predict"])
def test_ctrl_c_says_that_nothing_is_kept(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other commands say, that the same one goes on, is not true of these."""
    (tmp_path / "texts.csv").write_text("text\nA list.\n")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LoadedModel, "embed_with_lengths", stopped)
    monkeypatch.setattr(Predictor, "__init__", stopped)
    command = roberta.get_command(click.Context(roberta), name)
    assert command is not None
    words = [str(model), str(tmp_path / "texts.csv"), "--out", str(tmp_path / "v.parquet")]
    with pytest.raises(click.Abort) as ended:
        command.main(words, standalone_mode=False)
    assert "begins anew" in str(ended.value.__cause__)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fill-mask", "M"], "Give a TEXT with a <mask>, or a --file"),
        (["fill-mask", "M", "A <mask>", "--file", "F"], "not both"),
        (["fill-mask", "M", "A <mask>", "--out", "f.jsonl"], "are for a --file"),
        (["fill-mask", "M", "--file", "F", "--json"], "write --out F.jsonl"),
        (["score", "M", "F", "--json", "--out", "s.csv"], "take one of them"),
        (["score", "M", "F", "--out", "s.npy"], "must end in .jsonl or .csv or .tsv or .parquet"),
        (["embed", "M", "F", "--out", "none/v.npy"], "there is no folder none"),
        (["embed", "M", "F", "--out", "v.npy", "--device", "mine"], "no device 'mine'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """In one paragraph, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    Path("F").write_text("A <mask>.\n")
    words = [str(model) if word == "M" else word for word in arguments]
    with pytest.raises(UserError, match=message):
        call(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["F"]
