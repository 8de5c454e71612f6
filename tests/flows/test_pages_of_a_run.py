"""What the pages of a run show: the right figures in the right columns, and what they mean."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hand_made import hand_made, output

from flows import artifacts
from flows.loss_picture import loss_picture, loss_svg
from flows.plain_markdown import plain, table
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def rows(page: str) -> list[str]:
    """The tables' lines without rules and backslashes."""
    lines = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    return [line.replace("\\", "") for line in lines]


def stage(store: Store, name: str, **measures: Mapping[str, Any]) -> Artifact:
    return hand_made(store, name, name, ledger=measures)


def test_the_ledgers_page_has_each_measure_with_the_largest_drops_first(store: Store) -> None:
    documents = {"in": 1000, "kept": 900, "dropped": {"short": 30, "copies": 70}}
    size = {"in": 5000, "kept": 5005, "dropped": {"white_space": 20, "marks": -25}}
    made = {"clean": stage(store, "clean", documents=documents, bytes=size)}
    page = artifacts.ledger_page(made)
    assert rows(page)[1:] == [
        "| clean | documents | 1,000 | 900 | copies 70, short 30 |",
        "| clean | bytes | 5,000 | 5,005 | marks +25, white_space 20 |",
    ]
    assert "Everything adds up." in page
    made["pack"] = stage(store, "pack", documents={"in": 900, "kept": 899, "dropped": {}})
    page = artifacts.ledger_page(made)
    assert "**This does not add up.**" in page
    assert rows(page)[-1] == "| pack | documents | 900 | 899 | – |"


def test_the_corpus_page_has_sources_and_once_it_is_clean_both_parts(store: Store) -> None:
    source = {"name": "a|b", "type": "files", "documents": 1234, "bytes": 5678}
    made = {"download": hand_made(store, "download", "d", summary={"sources": [source]})}
    page = artifacts.corpus_page(made)
    assert "| a\\|b | files | 1,234 | 5,678 |" in page
    assert "After cleaning" not in page
    parts = {"train": {"documents": 9, "bytes": 90}, "held_out": {"documents": 1, "bytes": 10}}
    made["clean"] = hand_made(store, "clean", "c", summary=parts)
    assert rows(artifacts.corpus_page(made))[-2:] == [
        "| to train on | 9 | 90 |",
        "| held out | 1 | 10 |",
    ]


def test_of_many_sources_two_hundred_are_shown_and_the_rest_counted(store: Store) -> None:
    sources = [{"name": f"s{n}", "type": "t", "documents": 1, "bytes": 1} for n in range(203)]
    made = {"download": hand_made(store, "download", "d", summary={"sources": sources})}
    page = artifacts.corpus_page(made)
    assert len(rows(page)) == 201
    assert "… and 3 more." in page
    made["download"] = hand_made(store, "download", "d", summary={"sources": sources[:200]})
    assert "more" not in artifacts.corpus_page(made)


def test_the_tokenizers_page_has_its_figures(store: Store) -> None:
    check = {"vocabulary_used": 0.876, "bytes_per_token": 3.456, "documents": 1000, "tokens": 2000}
    summary = {"tokens_per_word": 1.234, "vocab_size": 8192, "check": check}
    assert rows(artifacts.tokenizer_page(hand_made(store, "tokenizer", "t", summary=summary)))[
        1:
    ] == [
        "| tokens in the vocabulary | 8,192 |",
        "| of them used in the sample | 87.6% |",
        "| tokens a word | 1.23 |",
        "| bytes a token | 3.46 |",
        "| sample | 1,000 documents, 2,000 tokens |",
    ]
    unspaced = hand_made(store, "tokenizer", "t", summary={**summary, "tokens_per_word": None})
    assert "| tokens a word | – |" in artifacts.tokenizer_page(unspaced)


def test_the_loss_page_has_the_whole_training(store: Store) -> None:
    lines = [json.dumps({"step": step, "loss": 5.0 - step}) + "\n" for step in (1, 2)]
    store.write("5-pretrain/t/losses.jsonl", "".join(lines).encode())
    summary = {
        "steps": 2000,
        "final_loss": 3.0004,
        "epochs": 1.5,
        "parameters": 1_000_000,
        "precision": "bf16",
        "held_out_loss": None,
    }
    files = [output("losses.jsonl", sum(map(len, lines)))]

    def page(**more: Any) -> str:
        return artifacts.loss_page(
            hand_made(store, "pretrain", "t", outputs=files, summary={**summary, **more})
        )

    assert rows(page())[1:] == [
        "| steps | 2,000 |",
        "| loss at the end | 3.000 |",
        "| passes over the rows | 1.50 |",
        "| parameters | 1,000,000 |",
        "| precision | bf16 |",
    ]
    assert rows(page(held_out_loss=3.25))[3] == "| loss on held-out rows at the end | 3.250 |"
    assert loss_picture([(1, 4.0), (2, 3.0)], 2) in page()


def test_scores_are_held_against_those_before_and_equal_ones_are_said_to_be(store: Store) -> None:
    def summary(loss: float | None, **more: Any) -> dict[str, Any]:
        part = {"loss": loss, "perplexity": 1234.5, "accuracy": 0.25}
        return {"held_out": {**part, "by_kind": {"mask": {**part, "accuracy": 0.5}}}, **more}

    now = summary(3.0, blimp={"accuracy": 0.75, "files": {"agreement": 0.5}})
    page = artifacts.scores_page(now, summary(3.0))
    assert rows(page)[1:] == [
        "| held-out perplexity | 1,234.50 | 1,234.50 | +0.00 |",
        "| held-out accuracy | 25.0% | 25.0% | +0.0 points |",
        "| held-out perplexity at <mask> | 1,234.50 | 1,234.50 | +0.00 |",
        "| held-out accuracy at <mask> | 50.0% | 50.0% | +0.0 points |",
        "| BLiMP | 75.0% | – | – |",
        "| BLiMP: agreement | 50.0% | – | – |",
    ]
    assert "Beside them those of the model" in page
    assert "the very same scores" in artifacts.scores_page(now, dict(now))
    assert "Nothing was held out" in artifacts.scores_page(summary(None), None)
    worse = artifacts.scores_page({"blimp": {"accuracy": 0.5, "files": {}}}, now)
    assert "| BLiMP | 50.0% | 75.0% | -25.0 points |" in rows(worse)


def test_of_the_table_of_scores_only_the_tasks_that_were_asked_are_shown() -> None:
    score = {"task": "mood", "measure": "accuracy", "value": 0.5, "better": "higher"}
    found = [score, {**score, "task": "held_out"}, {**score, "measure": "mse", "better": "lower"}]
    page = artifacts.scores_page({"tasks": {"mood": {}}, "scores": found}, None)
    assert rows(page)[1:] == ["| mood, accuracy | 50.0% | – | – |", "| mood, mse | 0.500 | – | – |"]


def test_fills_show_five_guesses_and_foreign_text_is_text() -> None:
    guesses = [{"token": f" w{n}", "score": 0.123} for n in range(7)]
    page = artifacts.fills_page({"examples": [{"text": "A <mask> | b", "top": guesses}]})
    assert "| A \\<mask\\> \\| b | w0 0.12, w1 0.12, w2 0.12, w3 0.12, w4 0.12 |" in page
    assert "has no examples" in artifacts.fills_page({"examples": []})


def test_a_taught_task_tells_its_test_where_there_is_one_beside_the_best_baseline() -> None:
    def scored(value: float) -> dict[str, Any]:
        return {"metrics": {"f1": {"value": value, "low": 0.25, "high": 0.75}}}

    task = {
        "metric": "f1",
        "scores": {"dev": scored(0.5), "test": scored(0.625)},
        "baselines_on": {
            "dev": {"majority": {"f1": 0.1}, "words": {"f1": 0.5}},
            "test": {"majority": {"f1": 0.1}, "words": {"f1": 0.375}},
        },
    }
    dev = {**task, "scores": {"dev": scored(0.5)}, "baselines_on": {"dev": {}}}
    assert rows(artifacts.tasks_page({"tasks": {"a": task, "b": dev}}))[1:] == [
        "| a | f1 | test | 0.625 | 0.250 to 0.750 | 0.375, words | not known |",
        "| b | f1 | dev | 0.500 | 0.250 to 0.750 | – | not known |",
    ]
    error = {"metrics": {"mse": {"value": 0.5, "low": 0.25, "high": 0.75}}}
    rate = {"metric": "mse", "scores": {"dev": error}}
    rate["baselines_on"] = {"dev": {"mean": {"mse": 0.9}, "words": {"mse": 0.4}}}
    page = artifacts.tasks_page({"tasks": {"c": rate}})
    assert "| 0.400, words |" in page, "of an error less is better"
    assert "\nc: No better than the words, which needs no encoder" in page


def test_the_leaderboard_marks_the_newest_and_tells_what_is_published() -> None:
    model = {"kind": "model", "name": "l", "value": 0.5, "items": 1234, "unit": "pairs", "key": "k"}
    model |= {"is_latest": True, "finished": "2026"}
    other = {**model, "is_latest": False, "items": 0}
    known = {"kind": "published", "name": "known", "value": 0.75, "set": "all"}
    boards = [
        {"score": "BLiMP", "is_share": True, "rows": [known, model, other]},
        {"score": "loss", "is_share": False, "rows": [model]},
    ]
    found = rows(artifacts.leaderboard_page({"boards": boards}))
    assert found[1:4] == [
        "| known | 75.0% | – | published: all |",
        "| l * | 50.0% | 1,234 pairs | k, 2026 |",
        "| l | 50.0% | – | k, 2026 |",
    ]
    assert found[5] == "| l * | 0.50 | 1,234 pairs | k, 2026 |"


def test_the_runs_page_has_its_stages_and_links_to_the_report_where_it_is_served(
    store: Store,
) -> None:
    stages = [
        {"name": "publish", "state": "done", "seconds": 1234.56, "path": "/s/7"},
        {"name": "finetune", "state": "failed", "seconds": 1, "path": None, "problem": "no | row"},
    ]
    record = {"name": "l", "state": "failed", "seconds": 60.4, "stages": stages}
    record |= {"model": "/s/model", "report": "/s/report"}
    made = {"publish": hand_made(store, "publish", "p")}
    page = artifacts.run_page(record, made, "/roberta/reports/r")
    assert page.startswith("## l: failed, 60 s\n")
    assert rows(page) == [
        "| stage | state | seconds | result |",
        "| publish | done | 1,234.6 | headline of p |",
        "| finetune | failed | 1.0 | no | row |",
        "| what | where |",
        "| model | /s/model |",
        "| report | /s/report |",
        "| publish | /s/7 |",
    ]
    assert "no \\| row" in page
    assert "[Open the report](/roberta/reports/r)" in page
    assert "was taught" not in page
    taught = {**made, "finetune": hand_made(store, "finetune", "f")}
    assert "(/roberta/reports/r/taught)" in artifacts.run_page(record, taught, "/roberta/reports/r")
    for shown in (
        artifacts.run_page(record, taught, None),
        artifacts.run_page({**record, "report": None}, taught, "/roberta/reports/r"),
    ):
        assert "Open" not in shown


def test_text_is_cut_before_it_is_escaped_and_a_line_stays_one() -> None:
    assert plain("x" * 300) == "x" * 300
    assert plain("x" * 301) == "x" * 299 + "…"
    assert plain("a\nb\u202ec\u2028d\te") == "a b c d e"
    assert plain("- # + 1. <x>") == "\\- \\# \\+ 1\\. \\<x\\>"
    assert plain("é, 漢–…") == "é, 漢–…"
    assert table(("a", "b"), [("1", "2")], (1,)) == "| a | b |\n| :--- | ---: |\n| 1 | 2 |\n"


def test_a_picture_has_its_axis_to_the_last_step_and_the_loss_upright() -> None:
    svg = loss_svg([(0, 3.0), (50, 1.0)], 100)
    assert 'points="56.0,24.2 382.0,227.8"' in svg
    assert '<circle cx="382.0" cy="227.8"' in svg
    assert ">100</text>" in svg
    assert [f">{loss}</text>" in svg for loss in (1, 1.5, 2, 2.5, 3)] == [True] * 5
    assert ">80</text>" in svg
    assert 'points="56.0,' in loss_svg([(0, 1.0), (200, 1.0)], 100)
    assert ">200</text>" in loss_svg([(0, 1.0), (200, 1.0)], 100)
    assert "circle" not in loss_svg([], 10)
    assert ">-" not in loss_svg([(1, 0.01), (2, 0.02)], 2), "no loss is below nothing"
    shown = loss_picture([(1, 4.0)], 2)
    assert shown.startswith("![loss](data:image/svg+xml;base64,")
    assert base64.b64decode(shown.partition("base64,")[2][:-1]).decode() == loss_svg([(1, 4.0)], 2)
