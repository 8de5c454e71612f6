"""The line that a run tells of its evaluation, from figures as the stage writes them."""

from typing import Any

from tasks.evaluation.told import headline


def scores(loss: float, perplexity: float, accuracy: float, **more: Any) -> dict[str, Any]:
    return {"loss": loss, "perplexity": perplexity, "accuracy": accuracy, **more}


def test_the_headline_sets_the_accuracy_at_masks_beside_the_total_and_unigram() -> None:
    """The total flatters: a tenth of the chosen tokens stand unchanged in the input."""
    held_out = scores(
        2.7,
        14.8,
        0.525,
        by_kind={"mask": scores(2.9, 18.2, 0.49, tokens=80), "random": {}, "kept": {}},
        unigram={"mask": scores(6, 403, 0.066), "all": scores(5, 148, 0.07)},
    )
    found = headline({"held_out": held_out, "blimp": None, "examples": []})
    expected = "held-out perplexity 14.8, accuracy 52.5% (49.0% at <mask>, unigram 6.6%)"
    assert found == expected


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
