"""The page on what an encoder was taught: its figures are the stage's, and all of it is text."""

import re
from typing import Any

import pytest

from tasks.finetuning.downstream import score_rows
from tasks.publishing.scores import scores_of
from tasks.publishing.taught import best_baseline, render_taught, told_unbeaten

EVIL = "<script>alert('x')</script>"


def scored(n: int, accuracy: float, **more: Any) -> dict[str, Any]:
    metrics = {
        name: {"value": value, "low": value - 0.1, "high": value + 0.1}
        for name, value in (("mcc", 0.4), ("accuracy", accuracy))
    }
    return {"n": n, "metrics": metrics, **more}


def task(**scores: Any) -> dict[str, Any]:
    return {
        "task": "classify",
        "metric": "accuracy",
        "after": None,
        "labels": ["bad", EVIL],
        "rows": {"train": 1200, "dev": 60},
        "cut": 0,
        "repeated": {"dev": 7},
        "columns": f"{EVIL} -> label",
        "baselines_on": {
            part: {"commonest": {"accuracy": 0.55, "mcc": 0.0}, "bag of words": {**words}}
            for part, words in (
                ("dev", {"accuracy": 0.6, "mcc": 0.2}),
                ("test", {"accuracy": 0.65, "mcc": 0.3}),
            )
        },
        "scores": scores,
        "chosen": 1,
        "tried": [
            {"learning_rate": rate, "batch_size": 32, "seed": 0, "epoch": 2, "epochs": 3}
            | {"dev": {"accuracy": 0.7}}
            | {"embedding_learning_rate": 10 * rate, "head_learning_rate": 5 * rate}
            for rate in (1e-4, 2e-4)
        ],
    }


def summary_of(**tasks: dict[str, Any]) -> dict[str, Any]:
    return {
        "tasks": tasks,
        "scores": [row for name, found in tasks.items() for row in score_rows(name, found)],
        "contamination": {"words": 8, "share": 0.7, "documents_files": 3},
    }


def test_the_page_has_each_figure_and_no_markup_of_others() -> None:
    """Test before dev, which has chosen; scores without what the text holds; what was chosen."""
    contained: dict[str, Any] = {"items": 60, "contained": 12, "too_short": 5, "flagged": True}
    contained |= {"without": scored(48, 0.61), "contained_only": scored(12, 0.95)}
    dev = scored(60, 0.7, contamination=contained, confusion=[[20, 10], [8, 22]])
    page = render_taught(summary_of(mood=task(dev=dev), both=task(dev=dev, test=scored(600, 0.82))))
    assert '<td class="n">0.0002</td><td class="n">0.002, 0.001</td>' in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    first, second = re.findall(r'<b class="big">([\d.]+%)', page)
    assert (first, second) == ("70.0%", "82.0%")
    assert page.count("7 of the 60 examples of dev stand in train too") == 2
    assert page.count("have chosen the epoch") == 1, "where there is no test"
    assert page.count("Rough:") == 1, "sixty items say little, six hundred more"
    assert '<td class="n">12</td><td class="n">5</td><td class="n">0.700</td>' in page
    assert '<td class="n">0.610</td>' in page
    assert page.count("Flagged: dev.") == 2
    assert '<td class="n">22</td>' in page
    assert "0.700, chosen" in page
    assert 'href="both/model/"' in page
    assert "http" not in page
    assert "examples." in page
    page = render_taught(summary_of(mood={**task(dev=dev), "after": "<b>"}))
    assert "examples, after &lt;b&gt;." in page


@pytest.mark.parametrize(
    ("metric", "value", "beside", "told"),
    [
        ("f1", 0.7, {"bag of words": 0.8, "commonest": 0.2}, "a bag of words"),
        ("f1", 0.7, {"bag of words": 0.6, "commonest": 0.7}, "the commonest answer"),
        ("f1", 0.7, {"bag of words": 0.6999, "commonest": 0.2}, None),
        ("f1", 0.7, {"likeliest sentence": 0.9}, "the likeliest sentence"),
        ("mse", 0.7, {"mean": 0.6}, "the mean"),
        ("mse", 0.7, {"mean": 0.7}, "the mean"),
        ("mse", 0.7, {"mean": 0.8}, None),
        ("f1", 0.7, {}, None),
    ],
)
def test_a_model_that_does_not_beat_the_best_baseline_is_told_so(
    metric: str, value: float, beside: dict[str, float], told: str | None
) -> None:
    """The same is no better; of an error less is; on the rows of the score, not on others."""
    on = {name: {metric: its} for name, its in beside.items()}
    good, bad = (
        {"metrics": {metric: {"value": each}}} for each in ((0, 9) if metric == "mse" else (9, 0))
    )
    part = {"metrics": {metric: {"value": value}}}
    for scores, baselines in (
        ({"dev": part}, {"dev": on}),
        ({"dev": good, "test": part}, {"dev": {}, "test": on}),
        ({"dev": bad, "test": part}, {"dev": {}, "test": on}),
    ):
        found = told_unbeaten({"metric": metric, "scores": scores, "baselines_on": baselines})
        where = "test" if "test" in scores else "dev"
        start = f"No better than {told}, which needs no encoder: {metric} on {where} is 0.700, "
        assert [each.startswith(start) for each in found] == ([] if told is None else [True])


def test_the_best_baseline_of_an_error_has_the_least() -> None:
    two = {"metric": "mse", "baselines_on": {"test": {"a": {"mse": 0.9}, "b": {"mse": 0.5}}}}
    assert best_baseline(two, "test") == ("b", 0.5)
    assert best_baseline({**two, "baselines_on": {"test": {}}}, "test") is None


def test_the_page_shows_each_baseline_beside_its_own_part_and_says_what_does_not_beat_it() -> None:
    """On test 65 % are a bag of words'; on dev 60 %."""
    poor = task(dev=scored(60, 0.7), test=scored(600, 0.62))
    page = render_taught(summary_of(mood=poor))
    assert "items of test; commonest 55.0%; bag of words 65.0%.</p>" in page
    assert '<p class="caution">No better than a bag of words, which needs no encoder: ' in page
    rows = re.findall(r'<tr class="quiet"><td>(\w+)</td>.*of: bag of words.*?>(0\.\d+)<', page)
    assert rows == [("test", "0.650"), ("dev", "0.600")]
    assert "No better" not in render_taught(summary_of(mood=task(dev=scored(60, 0.61))))
    assert "learnt nothing" not in page


def test_the_page_explains_its_metrics_and_what_it_looked_for() -> None:
    """A context is looked for where there are questions; of what is not shown nothing is said."""
    contained = {"items": 60, "contained": 0, "too_short": 0, "flagged": False, "without": None}
    found = task(dev=scored(60, 0.7, contamination=contained))
    page = render_taught(summary_of(mood=found))
    assert "<code>mcc</code> is Matthews" in page
    assert "macro_f1" not in page
    assert "3 files of documents that were trained on.</p>" in page
    asked = render_taught(summary_of(mood={**found, "task": "qa"}))
    assert "that were trained on; of a question that is its context.</p>" in asked


def test_the_page_says_where_the_answers_lie() -> None:
    """Of each task its own, those for the files of `predict` too; nothing that is not there."""
    tasks = {"mood": task(dev=scored(60, 0.7)), "mood-2": task(dev=scored(9, 1), test=scored(9, 1))}
    page = render_taught(summary_of(**tasks), ["mood/predict/0", "mood/predict/10"])
    assert re.findall(r'href="([^"]*jsonl)">([^<]*)', page) == [
        ("mood/model.dev.jsonl", "dev"),
        ("mood/predict/0.jsonl", "predict/0"),
        ("mood/predict/10.jsonl", "predict/10"),
        ("mood-2/model.test.jsonl", "test"),
        ("mood-2/model.dev.jsonl", "dev"),
    ]
    assert page.count("<code>predict</code>") == 1


def test_the_table_tells_the_scores_of_test_where_there_is_one() -> None:
    """Those of dev have chosen the model, and flatter it."""
    rows = score_rows("mood", task(dev=scored(60, 0.9), test=scored(600, 0.6)))
    assert {row["measure"].split(",")[0]: (row["value"], row["n"]) for row in rows}["accuracy"] == (
        0.6,
        600,
    )
    assert {row["n"] for row in score_rows("mood", task(dev=scored(60, 0.9)))} == {60}


def test_what_nobody_looked_for_is_said_to_be_unknown() -> None:
    """Without a check there is no table, and no zero that would look like one."""
    page = render_taught({**summary_of(mood=task(dev=scored(60, 0.7))), "contamination": None})
    assert "Not known" in page
    assert "contained</th>" not in page


def test_a_correlation_is_no_share_of_right_answers() -> None:
    """It is told as a number, and no published accuracy stands beside it."""
    shares = {score.measure: score.is_share for score in scores_of(summary_of(
        mood={**task(dev=scored(60, 0.7)), "metric": "mcc"}
    ))}  # fmt: skip
    assert shares == {"mcc": False, "accuracy": True}


def test_a_label_that_steers_or_never_ends_is_shown_as_text() -> None:
    """What nobody sees is left out, and so is the end of ten thousand letters."""
    found = {**task(dev=scored(60, 0.7, confusion=[[1, 2], [3, 4]]))}
    page = render_taught(summary_of(mood={**found, "labels": ["\x1b[31mred\u202e", "x" * 10_000]}))
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "[31mred" in page
    assert "x" * 99 + "…" in page
    assert "x" * 100 not in page
