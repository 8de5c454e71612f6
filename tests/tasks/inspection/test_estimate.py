"""What a plan says of costs: totals, and a word where nobody would wait so long."""

from pathlib import Path

import pytest

from tasks.config import Config
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.estimate import check_before_run, lacks_device, remarks_on, total_of
from tasks.inspection.plan import StagePlan

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}]})
HOUR = {"seconds": 3600.0, "disk_bytes": 50, "kept_bytes": 20, "memory_bytes": 7}
BRIEF = {"seconds": 1.5, "disk_bytes": 5, "memory_bytes": 9}


def test_the_total_is_that_of_what_runs() -> None:
    """Disk and time add up; stages run one after the other, so memory is the largest's."""
    plans = [
        StagePlan("pack", "k", "cached", []),
        StagePlan("pretrain", None, "run", [], HOUR),
        StagePlan("publish", None, "run", [], BRIEF),
    ]
    assert total_of(plans) == {
        "seconds": 3601.5,
        "disk_bytes": 55,
        "kept_bytes": 25,
        "memory_bytes": 9,
    }
    assert total_of(plans[:1])["seconds"] == 0


def test_what_nobody_could_want_is_remarked_on(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    twenty_days = HOUR | {"seconds": 20 * 86_400.0}
    assert remarks_on([StagePlan("pretrain", None, "run", [], twenty_days)], CONFIG, store) == []
    absurd = {"seconds": 3e8, "disk_bytes": 10**18, "memory_bytes": 10**15}
    told = " ".join(remarks_on([StagePlan("pretrain", None, "run", [], absurd)], CONFIG, store))
    for word in ("9.5 years", "pretrain.steps", "free", "of memory"):
        assert word in told


def test_a_device_is_asked_for_only_where_something_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that was trained on a GPU elsewhere is scored and published here."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    config = CONFIG.model_validate(
        {"corpus": [{"type": "docs"}], "engine": {"launch": {"device": "gpu"}}}
    )
    trained = [StagePlan("pretrain", "k", "cached", []), StagePlan("evaluate", None, "run", [])]
    assert lacks_device(trained, config) is None
    told = lacks_device([StagePlan("pretrain", None, "resume", [])], config)
    assert told is not None
    assert "no GPU" in told
    assert lacks_device([StagePlan("pretrain", None, "run", [])], CONFIG) is None


def test_a_field_that_a_file_has_not_is_told_before_anything_runs(tmp_path: Path) -> None:
    """Of the last source too: those before it may take an hour."""
    (tmp_path / "a.txt").write_text("The captain sailed.\n")
    (tmp_path / "b.jsonl").write_text('{"body": "The captain sailed."}\n')
    corpus = [{"type": "files", "paths": [str(tmp_path / name)]} for name in ("a.txt", "b.jsonl")]
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(UserError, match=r"b\.jsonl, line 1: there is no 'text'.* mean 'body'"):
        check_before_run(Config.model_validate({"corpus": corpus}), store)
    corpus[1]["text_field"] = "body"
    check_before_run(Config.model_validate({"corpus": corpus}), store)
