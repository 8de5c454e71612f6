"""The guides against a real run: the JSON fields that commands print, the files that lie there."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from artifacts_guide import GUIDE, files_below, is_always_there, pattern_of, rows_of, unnamed
from click.testing import CliRunner
from command import Command
from commands_guide import json_fields, sections
from small_corpus import run_small, write_texts

from flows.cli import roberta as roberta_group
from flows.commands.inspect import report as report_command
from tasks.engine.identity import flatten
from tasks.finetuning import publishing
from tasks.publishing import export

Run = dict[str, Any]
# Stock transformers is asked by `export` here and after a fine-tuning in test_finetuning.py.
NOT_CHECKED = {"finetune": publishing, "push": export}


@pytest.fixture(scope="module")
def printed(first_run: Run, roberta: Command) -> dict[str, Any]:
    """What each command with `--json` says of a finished run, called in this process."""
    (roberta.folder / "two.txt").write_text("Return the list.\nlist the Return.\n")
    (roberta.folder / "suite.yaml").write_text(
        "tasks: [{task: minimal_pairs, name: two, data: two.txt}]\n"
    )
    rows = [{"text": f"word {number % 2}", "label": number % 2} for number in range(8)]
    (roberta.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model, config = first_run["model"], "tiny.yaml"
    labelled = ["--task", "classify", "--train", "rows.jsonl", "--dev", "rows.jsonl"]
    labelled += ["--epochs", "1", "--learning-rate", "1e-3"]
    words = {
        "init": ["two.txt", "--out", "two.yaml"],
        "plan": [config],
        "explain": [config, "pretrain", "--set", "pretrain.seed=3"],
        "status": ["--store", "store"],
        "verify": [config],
        "prune": [config, "--dry-run"],
        "ledger": [config],
        "fill-mask": [model, "Return the <mask>."],
        "score": [model, "two.txt"],
        "finetune": [model, *labelled, "--out", "tuned"],
        "predict": ["tuned", "rows.jsonl", "--out", "answers.csv"],
        "evaluate": [model, "--suite", "suite.yaml", "--store", "suites"],
        "embed": [model, "two.txt", "--out", "two.parquet"],
        "export": [model, "--to", "documented"],
        "push": [model, "--to", "pushed"],
        "report": [config],
        "lineage": ["tiny", "--store", "store"],
        "diff": ["latest", "tiny", "--store", "store"],
        "leaderboard": ["--store", "store"],
    }
    found = {"run": {key: value for key, value in first_run.items() if key != "stderr"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(roberta.folder)
        for name, arguments in words.items():
            if name in NOT_CHECKED:
                patch.setattr(NOT_CHECKED[name], "check_against_stock", lambda *_: 0.0)
            command = roberta_group.get_command(click.Context(roberta_group), name)
            assert command is not None
            done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            found[name] = json.loads(done.stdout)
    # These ask the server, whose address is read once a process.
    for name, *arguments in (("deploy", config), ("runs",), ("doctor",)):
        store = [] if name == "deploy" else ["--store", "store"]
        asked = roberta(name, *arguments, *store, "--json")
        # The doctor finds that no worker is at work.
        assert asked.code == int(name == "doctor"), asked.err
        found[name] = asked.json
    return found


def test_json_has_the_fields_that_the_guide_names(printed: dict[str, Any]) -> None:
    """All of them and no others; of entries in lists none that the guide does not name."""
    told = {name: json_fields(rows["JSON"]) for name, rows in sections().items()}
    elsewhere = {"schema", "serve", "retry", "cancel"}  # the last two: serving/test_served.py
    assert set(printed) == set(told) - elsewhere
    for name, document in printed.items():
        assert set(document) == set(told[name]), name
        for field, entries in document.items():
            for entry in _mappings(entries):
                assert set(entry) <= told[name][field], (name, field)


def test_the_model_can_be_used_taken_elsewhere_and_read_about(
    printed: dict[str, Any], first_run: Run, roberta: Command
) -> None:
    """`<mask>` and `[MASK]` mean the same; five guesses, best first; each line has its score."""
    asked = roberta("fill-mask", first_run["model"], "Return the [MASK].", "--json")
    assert asked.code == 0, asked.err
    assert asked.json["masks"] == printed["fill-mask"]["masks"]
    scores = [guess["score"] for guess in asked.json["masks"][0]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    lines = (roberta.folder / "two.txt").read_text().splitlines()
    assert [line["text"] for line in printed["score"]["lines"]] == lines
    assert (roberta.folder / "documented" / "model.safetensors").is_file()
    report = CliRunner().invoke(report_command, [str(roberta.folder / "tiny.yaml")])
    assert Path(report.stdout.strip()).is_file()


def _mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list, or in the lists in it."""
    if not isinstance(value, list):
        return []
    return [
        entry
        for item in value
        for entry in (_mappings(item) if isinstance(item, list) else [item])
        if isinstance(entry, dict)
    ]


def test_every_file_of_a_run_is_named_in_the_guide(first_run: Run, roberta: Command) -> None:
    """And every path that the guide names without a condition is there."""
    rows, store = rows_of("path | what it holds"), roberta.folder / "store"
    assert unnamed(store, rows) == []
    there = files_below(store)
    for path, meaning in rows.items():
        found = any(pattern_of(path).fullmatch(file) for file in there)
        assert found or not is_always_there(meaning), path
    assert (store / "latest").is_symlink()


def test_what_is_there_on_a_condition_is_named_too(tmp_path: Path) -> None:
    """Documents that were dropped, where they are kept."""
    texts = ["A text of some length.", "A text of some length.", "short"]
    folder = write_texts(tmp_path / "texts", texts)
    run_small(tmp_path / "store", folder, "clean", clean={"keep_rejects": True})
    rows = rows_of("path | what it holds")
    assert unnamed(tmp_path / "store", rows) == []
    there = files_below(tmp_path / "store")
    for path, meaning in rows.items():
        if "`clean.keep_rejects`" in meaning:
            assert any(pattern_of(path).fullmatch(file) for file in there), path


def test_json_files_have_the_fields_that_the_guide_names(first_run: Run, roberta: Command) -> None:
    """All of them and no others, in every file of the name."""
    store = roberta.folder / "store"
    for name, told in rows_of("file | fields").items():
        pattern = re.compile(f"(.*/)?{pattern_of(name).pattern}")
        files = [file for file in files_below(store) if pattern.fullmatch(file)]
        assert files, name
        for file in files:
            text = (store / file).read_text(encoding="utf-8")
            records = text.splitlines() if file.endswith(".jsonl") else [text]
            for record in map(json.loads, records):
                assert set(record) == set(json_fields(told)), file


def test_the_account_of_a_source_is_as_the_guide_shows_it(first_run: Run, roberta: Command) -> None:
    """The example in JSON has the fields of a real clean manifest's summary."""
    (example,) = re.findall(r"^```json\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (stage,) = (stage for stage in first_run["stages"] if stage["name"] == "clean")
    manifest = json.loads((Path(stage["path"]) / "manifest.json").read_text())
    (real,) = manifest["summary"]["sources"]
    assert set(flatten(json.loads(example))) == set(flatten(real))
