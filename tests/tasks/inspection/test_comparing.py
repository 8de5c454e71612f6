"""diff and leaderboard: two real runs of one store, and the words they are asked for by."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_corpus import small_config, write_texts
from tiny_pipeline import TINY, run_all, run_record

from flows.commands.compare import diff, leaderboard
from tasks.engine.records import MANIFEST
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.leaderboard import leaderboard as read_leaderboard
from tasks.inspection.run_diff import diff_runs, find_run
from tasks.inspection.runs import write_run
from tasks.publishing.anchors import anchors_of, read_anchors
from tasks.publishing.figures import read_steps

TEXTS = [f"The captain of ship {n} wrote a letter from harbour {n * n % 17}." for n in range(80)]
RUNS = ("aaa-first", "aab-second")


def taught(run: str, inputs: dict[str, Any], number: int) -> dict[str, Any]:
    """The manifest of a fine-tuning of a run's encoder: a task whose deciding metric is mcc."""
    rows = [
        {"task": "mood", "measure": measure, "value": value, "n": 60, "chance": 0.0}
        | {"interval": {"low": value - 0.2, "high": value + 0.2, "method": "bootstrap"}}
        | {"better": "higher" if measure == "mcc" else "lower"}
        for measure, value in (("mcc", 0.3 + 0.1 * number), ("mse", 1.5))
    ]
    encoder = {name: inputs[name] for name in ("pretrain", "tokenizer")}
    ended = {"ended": f"2026-01-0{number + 1}"}
    return {
        "key": run,
        "externals": {},
        "inputs": encoder,
        "summary": {"scores": rows},
        "provenance": ended,
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two runs, the second longer and with a filter that drops two of the documents.

    Of what they published there is the manifest alone, since nothing else of it is compared.
    """
    folder = tmp_path_factory.mktemp("compared")
    texts = write_texts(folder / "texts", [*TEXTS, "Of six words, with a dot.", "Another one."])
    opened = open_store(str(folder / "store"))
    for number, run in enumerate(RUNS):
        recipe = {"batch_rows": 4, "precision": "fp32", "steps": 4 + 6 * number}
        config = small_config(
            folder / "store",
            texts,
            held_out=0.2,
            name="letters",
            model=TINY["model"],
            pretrain=recipe,
            pack={"row_tokens": 32},
            clean={"filters": {"min_characters": 5 + 25 * number}},
        )
        made = run_all(config, until="evaluate")
        moment = f"2026-01-0{number + 1}T00:00:00+00:00"
        record = run_record(config, made, run=run) | {"started": moment}
        record["stages"].append({"name": "finetune", "key": f"taught-{run}"})
        write_run(opened, record)
        inputs = {name: {"key": each.artifact.key} for name, each in made.items()}
        opened.write(f"8-finetune/taught-{run}/{MANIFEST}", seal(taught(run, inputs, number)))
        manifest = {
            "key": f"key-of-{run}",
            "config": {"name": config.name},
            "externals": {},
            "inputs": inputs,
            "summary": {"parameters": 7},
            "provenance": {"ended": moment},
        }
        opened.write(f"7-publish/{run}/{MANIFEST}", seal(manifest))
    return opened


def test_a_diff_holds_what_differs_and_only_that(store: Store) -> None:
    """Fields as a user types them, every drop, and losses over as many steps of both."""
    found = diff_runs(store, "letters~1", "latest")
    assert (found["a"]["run"], found["b"]["run"]) == RUNS
    changed = {each["field"]: (each["before"], each["after"]) for each in found["config"]}
    assert changed == {
        "clean.filters.min_characters": (5, 30),
        "pretrain.steps": (4, 10),
    }
    assert {stage["name"] for stage in found["stages"] if stage["same"]} == {"download"}
    (documents,) = [
        entry
        for entry in found["ledger"]
        if (entry["stage"], entry["measure"]) == ("clean", "documents")
    ]
    assert documents["a"]["dropped"] == {}
    assert documents["b"]["dropped"] == {"too_short": 2}
    assert [each["step"] for each in found["losses"]] == [1, 2, 3, 4]
    for side, run in zip("ab", RUNS, strict=True):
        key = next(stage[side] for stage in found["stages"] if stage["name"] == "pretrain")
        lines = read_steps(Path(store.url(f"5-pretrain/{key}/losses.jsonl")))[:4]
        losses = [line["loss"] for line in lines]
        assert [each[side] for each in found["losses"]] == pytest.approx(losses, abs=1e-5), run


def test_scores_are_compared_with_their_intervals(store: Store) -> None:
    """A handful of tokens tells nothing: the intervals overlap, and the command says so."""
    found = diff_runs(store, *RUNS)
    (score,) = [each for each in found["scores"] if each["is_share"]]
    assert score["change"] == score["b"] - score["a"]
    assert score["intervals_apart"] is False
    told = CliRunner().invoke(diff, [*RUNS, "--store", store.url("")], catch_exceptions=False)
    assert "clean.filters.min_characters" in told.output
    assert "too_short 2" in told.output
    assert "intervals overlap" in told.output
    assert "None" not in told.output


@pytest.mark.parametrize(
    ("word", "why"),
    [("nobody", "no run"), ("aa", "2 runs begin"), ("letters~2", "only 2"), ("latest~9", "only 2")],
)
def test_a_word_for_no_run_or_several_is_refused(store: Store, word: str, why: str) -> None:
    """One paragraph that says what to give."""
    with pytest.raises(UserError, match=why):
        diff_runs(store, word, "latest")


def test_a_run_is_found_by_name_by_id_and_by_age() -> None:
    """Of a name the newest that finished; an id may be of one that failed."""
    runs: list[dict[str, Any]] = [
        {"run": "c1", "name": "one", "state": "failed", "started": "3"},
        {"run": "b1", "name": "one", "state": "done", "started": "2"},
        {"run": "a1", "name": "two", "state": "done", "started": "1"},
    ]
    for word, run in (("one", "b1"), ("latest", "b1"), ("latest~1", "a1"), ("c", "c1")):
        assert find_run(runs, word)["run"] == run


def test_the_leaderboard_has_every_model_and_published_scores_best_first(store: Store) -> None:
    """Lower perplexity is better; the newest of a name is marked; names are text in the page."""
    found = read_leaderboard(store)
    boards = {board["score"]: board for board in found["boards"]}
    rows = boards["held-out text, perplexity at <mask>"]["rows"]
    assert [row["value"] for row in rows] == sorted(row["value"] for row in rows)
    assert len(rows) == 2
    assert [row["key"] for row in rows if row["is_latest"]] == ["key-of-aab-second"]
    shares = boards["held-out text, accuracy at <mask>"]["rows"]
    assert [row["value"] for row in shares] == sorted((r["value"] for r in shares), reverse=True)


def test_what_an_encoder_was_taught_is_compared_too(store: Store) -> None:
    """Every metric side by side; on the leaderboard the one that decides, of each its own."""
    found = {each["name"]: each for each in diff_runs(store, *RUNS)["scores"]}
    assert found["mood, mcc"]["change"] == pytest.approx(0.1)
    assert found["mood, mcc"]["intervals_apart"] is False
    assert found["mood, mse"]["higher_is_better"] is False
    boards = {board["score"]: board["rows"] for board in read_leaderboard(store)["boards"]}
    assert "mood, mse" not in boards
    rows = [(row["key"], row["value"]) for row in boards["mood, mcc"]]
    assert rows == [("key-of-aab-second", 0.4), ("key-of-aaa-first", 0.3)]


def test_the_leaderboards_page_and_json_say_the_same(store: Store, tmp_path: Path) -> None:
    """The page is one file without a network; what is no folder is one clear line."""
    page = tmp_path / "board.html"
    asked = ["--store", store.url(""), "--html", str(page), "--json"]
    told = json.loads(CliRunner().invoke(leaderboard, asked, catch_exceptions=False).stdout)
    html = page.read_text()
    assert "accuracy at &lt;mask&gt;" in html
    assert "http" not in html.replace("https://", "http://").split("<style>")[0]
    for row in (row for board in told["boards"] for row in board["rows"]):
        assert row["name"] in html
    with pytest.raises(UserError, match="cannot be written"):
        CliRunner().invoke(
            leaderboard, [*asked[:2], "--html", str(tmp_path)], catch_exceptions=False
        )
    with pytest.raises(UserError, match="no model was published"):
        read_leaderboard(open_store(str(tmp_path / "empty")))


def test_every_published_score_says_what_it_is() -> None:
    """A share, a set and a source each; found by the task's name however it is written."""
    for rows in read_anchors().values():
        assert all(0 < row.value < 1 and row.set and row.source for row in rows)
    assert anchors_of("blimp-filtered", "accuracy") == anchors_of("BLiMP", "accuracy") != ()
    assert anchors_of("held-out text", "accuracy") == ()
