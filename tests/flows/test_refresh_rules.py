"""When a refresh publishes: never without a comparison with what is published at that moment."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows import refresh
from tasks.config import Config
from tasks.errors import UserError
from tasks.evaluation.comparison import Comparison

CONFIG = Config.model_validate({"name": "letters", "corpus": [{"type": "docstrings"}]})


class Run:
    """As much of a run as is asked: what it did."""

    def __init__(self) -> None:
        self.config, self.store, self.record = CONFIG, None, dict[str, Any]()
        self.made, self.did = dict[str, Any](), list[str]()

    def stages(self, names: list[str], **_: Any) -> str:
        self.did += names
        self.made["pretrain"] = "new weights"
        return "scores of new weights"

    def beside(self, _: str, known: dict[str, Any], __: Any) -> str:
        """The scores of some weights."""
        return f"scores of {known['pretrain']}"

    def publish(self) -> None:
        self.did.append("pointed")

    def fine_tune(self, *_: Any) -> None:
        self.did.append("taught")


@pytest.mark.parametrize(
    ("after", "leads_to", "state", "is_pointed", "news"),
    [
        (0.5, "7-publish/old", "Completed", True, ["publish"]),
        (0.1, "7-publish/old", "Not published", False, ["score_drop"]),
        (0.5, "7-publish/newer", "Not published", False, []),
    ],
)
def test_only_what_was_compared_with_what_stands_now_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
    after: float,
    leads_to: str,
    state: str,
    is_pointed: bool,
    news: list[str],
) -> None:
    """Not a model that is worse, nor one whose forerunner `pretrain` has replaced meanwhile."""
    told: list[str] = []
    compared = Comparison({"BLiMP": 0.5}, {"BLiMP": after}, 0.01)
    asked: list[Any] = []

    def compare(*given: Any) -> Comparison:
        asked.append(given)
        return compared

    monkeypatch.setattr(refresh, "compare", compare)
    monkeypatch.setattr(refresh, "published_folder", lambda *_: leads_to)
    monkeypatch.setattr(refresh, "tell", lambda kind, *_: told.append(kind))
    run: Any = Run()
    published: Any = SimpleNamespace(folder="7-publish/old")
    before: Any = {"pretrain": "old weights"}
    ended = refresh._compared(run, published, before, CONFIG)
    margin = CONFIG.operations.refresh.margin
    assert asked == [("scores of old weights", "scores of new weights", margin)]
    assert (ended.name, "pointed" in run.did, told) == (state, is_pointed, news)
    # What is not published teaches nothing either.
    assert ("taught" in run.did) == is_pointed


def test_a_config_that_scores_nothing_is_refused_before_anything_runs() -> None:
    """And not after a night of training."""
    silent = CONFIG.model_copy(
        update={"evaluate": CONFIG.evaluate.model_copy(update={"held_out": None})}
    )
    with pytest.raises(UserError, match="nothing is scored"):
        refresh.refresh.fn(silent)
