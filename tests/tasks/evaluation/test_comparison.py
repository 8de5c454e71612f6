"""May the new model take the old one's place? Only where something says that it is not worse."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config
from tasks.engine.records import Artifact
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.evaluation.comparison import Comparison, check_scores, compare


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


def test_the_new_scores_are_held_against_the_old_ones(tmp_path: Path) -> None:
    """Of all shares of right answers; the other way round every fall would pass."""

    def scored(share: float) -> Artifact:
        held_out = {"by_kind": {"mask": {"accuracy": share}}}
        facts = {"task": "facts", "measure": "precision at 1", "value": share - 0.1}
        loss = {"task": "words", "measure": "loss", "value": share}
        summary = {
            "held_out": held_out,
            "blimp": {"accuracy": share + 0.1},
            "tasks": {"facts": {}, "words": {}},
            "scores": [facts, loss],
        }
        return Artifact(open_store(str(tmp_path)), "6-evaluate/key", {"summary": summary})

    fallen = compare(scored(0.5), scored(0.3), 0.01)
    shares = {"held-out accuracy at <mask>": 0.5, "BLiMP": 0.6, "facts precision at 1": 0.4}
    assert fallen.before == pytest.approx(shares)
    assert fallen.fallen == list(shares)
    assert compare(scored(0.3), scored(0.5), 0.01).is_good


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
