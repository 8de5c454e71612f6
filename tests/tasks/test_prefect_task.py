"""What Prefect is handed of a stage: one object that it does not look into."""

from pathlib import Path
from typing import Any

from prefect.utilities.collections import visit_collection

from tasks.config import Config
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.prefect_task import _Order, _Result


def test_prefect_does_not_walk_through_artifacts(tmp_path: Path) -> None:
    """An artifact of 20,000 units took it 15 s a task, on the way in and on the way out."""
    store = open_store(str(tmp_path))
    artifact = Artifact(store, "1-download/0", {"units": [{"label": str(n)} for n in range(100)]})
    config = Config.model_validate({"corpus": [{"type": "docs"}]})
    seen: list[Any] = []
    for handed in (
        _Order(
            config,
            store,
            {"download": artifact},
            force=None,
            progress=Progress(),
            workforce=Workforce(config.engine),
        ),
        _Result(Outcome(artifact, "done", 0.0)),
    ):
        visit_collection(handed, visit_fn=seen.append, return_data=False)
    assert len(seen) == 2
