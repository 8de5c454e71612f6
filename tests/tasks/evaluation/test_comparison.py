"""May the new model take the old one's place? Only where something says that it is not worse."""

import math
from contextlib import nullcontext
from typing import Any

import pytest

from tasks.config import Config
from tasks.errors import UserError
from tasks.evaluation.comparison import Comparison, check_scores


@pytest.mark.parametrize(
    ("before", "after", "margin", "is_good"),
    [
        ({"BLiMP": 0.6}, {"BLiMP": 0.6}, 0.0, True),
        ({"BLiMP": 0.6}, {"BLiMP": 0.59}, 0.01, True),
        ({"BLiMP": 0.6}, {"BLiMP": 0.58999}, 0.01, False),
        ({"BLiMP": 0.6}, {"BLiMP": math.nan}, 1.0, False),
        ({"BLiMP": 0.6}, {}, 0.01, False),
        ({"BLiMP": 0.6, "held-out": 0.3}, {"BLiMP": 0.9, "held-out": 0.1}, 0.1, False),
        ({}, {}, 1.0, False),
    ],
)
def test_a_model_is_good_if_no_score_has_fallen_and_there_is_one(
    before: dict[str, float], after: dict[str, float], margin: float, is_good: bool
) -> None:
    """At the margin it is; where nothing was scored, or the score is no number, it is not."""
    assert Comparison(before, after, margin).is_good == is_good


@pytest.mark.parametrize(
    ("evaluate", "held_out", "scored"),
    [
        ({}, 0.1, True),
        ({}, 0.0, False),
        ({"held_out": None}, 0.1, False),
        ({"held_out": None, "blimp": {"data": "pairs"}}, 0.0, True),
    ],
)
def test_whether_anything_is_scored_is_known_before_anything_runs(
    evaluate: dict[str, Any], held_out: float, scored: bool
) -> None:
    """A night's training is too long to learn then that nothing can be compared."""
    corpus = [{"type": "docstrings", "held_out": held_out}]
    config = Config.model_validate({"corpus": corpus, "evaluate": evaluate})
    with nullcontext() if scored else pytest.raises(UserError, match="nothing is scored"):
        check_scores(config)
