"""The line that a run tells of its evaluation, from figures as the stage writes them."""

from typing import Any

from tasks.evaluation.told import figures, headline, is_share, leading_scores, shown


def scores(loss: float, perplexity: float, accuracy: float, **more: Any) -> dict[str, Any]:
    return {"loss": loss, "perplexity": perplexity, "accuracy": accuracy, **more}


def test_the_headline_leads_with_the_accuracy_at_masks_beside_unigram_and_the_total() -> None:
    """The total flatters: a tenth of the chosen tokens stand unchanged in the input."""
    held_out = scores(
        2.7,
        14.8,
        0.525,
        by_kind={"mask": scores(2.9, 18.2, 0.49, tokens=80), "random": {}, "kept": {}},
        unigram={"mask": scores(6, 403, 0.066), "all": scores(5, 148, 0.07)},
    )
    found = headline({"held_out": held_out, "blimp": None, "examples": []})
    total = "accuracy over all chosen 52.5%, perplexity 14.8"
    assert found == f"held-out accuracy 49.0% at <mask> (unigram 6.6%), {total}"
    none = {**held_out, "by_kind": {"mask": {"tokens": 0, "accuracy": None}}}
    assert headline({"held_out": none}) == f"held-out {total}"


def test_the_headline_tells_pairs_that_were_not_scored() -> None:
    """A BLiMP score over part of the pairs says so; over all of them it stays short."""
    blimp = {"accuracy": 0.625, "pairs": 8, "ties": 0, "too_long": 0, "files": {}}
    found = headline({"held_out": None, "blimp": blimp, "examples": []})
    assert found == "BLiMP 62.5%"
    some = {**blimp, "too_long": 1200}
    found = headline({"held_out": None, "blimp": some, "examples": []})
    assert found == "BLiMP 62.5%, 1,200 pairs too long"
    found = headline({"held_out": None, "blimp": {**blimp, "too_long": 1}})
    assert found == "BLiMP 62.5%, 1 pair too long"


def row(task: str, measure: str, value: float) -> dict[str, Any]:
    return {"task": task, "measure": measure, "value": value}


def test_the_first_score_of_each_named_task_leads() -> None:
    """Not those of the shorthands, which have places of their own."""
    rows = [
        *(row("blimp", "accuracy", 0.9), row("facts", "precision at 1", 0.5)),
        *(row("facts", "precision at 5", 0.7), row("words", "loss", 2.5)),
    ]
    tasks: dict[str, Any] = {"facts": {}, "words": {}}
    summary: dict[str, Any] = {"tasks": tasks, "scores": rows, "blimp": None}
    assert leading_scores(summary) == [rows[1], rows[3]]
    assert headline(summary) == "facts 50.0%, words 2.500"
    assert figures(summary) == {"facts": "50.0%", "words": "2.500"}
    assert leading_scores({}) == []


def test_a_share_is_told_by_its_measure() -> None:
    """Accuracy and precision of any kind; a loss is a number, however small."""
    assert [is_share(row("", measure, 0.5)) for measure in ("accuracy at <mask>", "precision")] == [
        True,
        True,
    ]
    assert not is_share(row("", "macro accuracy", 0.5))
    assert shown(row("", "mse", 1234.5)) == "1,234.500"


def test_the_figures_of_a_report_are_those_at_masks() -> None:
    """A dash where nothing was hidden."""
    by_kind = {"mask": scores(2.9, 18.2, 0.49, tokens=80)}
    held_out = scores(2.7, 14.84, 0.525, by_kind=by_kind)
    found = figures({"held_out": held_out, "blimp": {"accuracy": 0.625}})
    assert found == {
        "held-out perplexity": "14.8",
        "held-out accuracy at <mask>": "49.0%",
        "BLiMP": "62.5%",
    }
    nothing = {"mask": {"accuracy": None}}
    assert figures({"held_out": {**held_out, "by_kind": nothing}}) == {
        "held-out perplexity": "14.8",
        "held-out accuracy at <mask>": "–",
    }
