"""The card of a fine-tuned model: its figures, its rows and columns, and no markup of others."""

import re
from typing import Any

from tasks.config.downstream import FineTuningConfig
from tasks.finetuning.card import card_of, confusion_picture

EVIL = "a|b\n# Head `c` <script>x</script>"


def scored(n: int, value: float, **more: Any) -> dict[str, Any]:
    metric = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {"n": n, "metrics": {"accuracy": metric}, **more}


def card(**changes: Any) -> str:
    tried = [
        {"learning_rate": rate, "batch_size": 8, "seed": seed, "epoch": seed, "epochs": 4}
        | {"dev": {"accuracy": 0.5 + seed / 10}}
        | {"embedding_learning_rate": 10 * rate, "head_learning_rate": 5 * rate}
        | {"first_attention": "uniform" if seed == 2 else "pretrained"}
        | {"dropout": 0.1}
        for seed, rate in ((1, 1e-4), (2, 2e-4), (3, 3e-4))
    ]
    summary = {
        **{"task": "classify", "metric": "accuracy", "labels": ["bad", EVIL], "columns": EVIL},
        "after": None,
        **{"rows": {"train": 1200}, "cut": 7, "repeated": {"dev": 0}, "tried": tried, "chosen": 1},
        "baselines_on": {"dev": {"commonest": {"accuracy": 0.25}}},
        "scores": {"dev": scored(60, 0.75)},
        **changes,
    }
    settings = FineTuningConfig(task="classify", train="t", dev="d", name="mood")
    return card_of(settings, summary, {"train": "a`b\nc.csv", "dev": "d"}, 128)


def test_the_card_tells_the_choice_that_was_kept() -> None:
    """Its rate, seed and epoch; all that was tried stands below."""
    text = card()
    assert "| learning rate | 0.0002 |" in text
    assert "| learning rate of the embeddings, of the head | 0.002, 0.001 |" in text
    assert "| `<s>` in the last layer | began by reading all tokens alike |" in text
    assert "reading all tokens alike" not in card(chosen=0)
    assert "| epochs | 2 of at most 10 |" in text
    assert "| seed | 2 |" in text
    assert "| 0.0003 | 8 | 3 | 3 of 4 | 0.8000 |" in text
    assert "| dev | 60 | accuracy (decides) | 0.7500 | 0.6500 to 0.8500 |" in text
    assert "| dev | commonest | 0.2500 |" in text
    assert "| longest row | 128 tokens; 7 texts were cut |" in text, "and not the 512 asked for"
    assert "on 1,200 examples" in text
    assert "after `" not in text
    assert ", after `mnli`." in card(after="mnli")


def test_dev_alone_flatters_and_the_card_says_so() -> None:
    assert "These examples have chosen the epoch" in card()
    on = {"dev": {"bag of words": {"accuracy": 0.5}}, "test": {"bag of words": {"accuracy": 0.4}}}
    both = card(scores={"dev": scored(60, 0.75), "test": scored(50, 0.5)}, baselines_on=on)
    assert "| test | bag of words | 0.4000 |" in both
    assert "No better than" not in both
    assert "`test` has chosen nothing" in both
    assert "is not known" in both
    found = {"items": 60, "contained": 5, "too_short": 2, "without": scored(55, 0.625)}
    known = card(scores={"dev": scored(60, 0.75, contamination=found)})
    assert "pretrained on holds 5; 2 were too short" in known
    assert "Without them accuracy is 0.6250." in known


def test_a_score_that_a_baseline_reaches_too_is_a_caution() -> None:
    """On the same rows: what beats it on dev alone has not beaten it."""
    on = {"dev": {"bag of words": {"accuracy": 0.5}}, "test": {"bag of words": {"accuracy": 0.6}}}
    text = card(scores={"dev": scored(60, 0.75), "test": scored(50, 0.55)}, baselines_on=on)
    told = "**No better than a bag of words, which needs no encoder: accuracy on test is 0.550, "
    assert f"\n\n{told}beside 0.600.**\n\n" in text


def test_no_text_of_others_is_markup_in_the_card() -> None:
    """Labels and columns are escaped; a file's name ends no code."""
    text = card()
    assert "<script" not in text.replace("\\<script", "")
    assert "\n# Head" not in text
    assert "a\\|b \\# Head \\`c\\` \\<script\\>x" in text
    assert "\n`a'b c.csv` (a" in text


def test_a_row_of_the_picture_is_what_it_is_and_a_column_what_it_was_taken_for() -> None:
    """Three bad ones, one of them taken for good: a third of its row is dark."""
    drawn = confusion_picture(["bad", EVIL], [[2, 1], [0, 4]])
    cells = re.findall(
        r'<rect x="(\d+)" y="(\d+)"[^>]*fill-opacity="([\d.]+)"[^>]*/>'
        r'<text[^>]*fill="(#\w+)">(\d+)</text>',
        drawn,
    )
    assert cells == [
        ("130", "40", "0.667", "#fff", "2"),
        ("174", "40", "0.333", "#000", "1"),
        ("130", "84", "0.000", "#000", "0"),
        ("174", "84", "1.000", "#fff", "4"),
    ]
    assert "<script" not in drawn
    names = re.findall(r'text-anchor="(?:end|middle)">([^<]*)</text>', drawn)
    assert names == ["bad", "bad", "a|b # Head `c` &lt;s…", "a|b #…"]


def test_a_class_that_never_came_is_no_division_by_nought() -> None:
    assert confusion_picture(["a", "b"], [[0, 0], [0, 1]]).count('fill-opacity="0.000"') == 3
