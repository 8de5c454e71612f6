"""What a run shows in the Prefect UI: one table a stage, one a run."""

import logging
from collections.abc import Mapping
from typing import Any

from prefect.artifacts import create_table_artifact

from tasks.engine.identity import flatten
from tasks.engine.runner import Outcome

log = logging.getLogger(__name__)

_LONGEST_VALUE = 200


def show_stage(name: str, outcome: Outcome) -> None:
    """A stage's ledger and figures as a searchable table."""
    manifest = outcome.artifact.manifest
    rows = [{"figure": "state", "value": outcome.state}]
    rows += [{"figure": "artifact", "value": outcome.artifact.folder}]
    for part in ("ledger", "summary"):
        for field, value in flatten(manifest[part], part).items():
            if len(rows) < _LONGEST_VALUE:
                rows.append({"figure": field, "value": str(value)[:_LONGEST_VALUE]})
    _create(f"stage-{name}", rows, f"{name}: {outcome.state}")


def show_run(record: Mapping[str, Any]) -> None:
    """The run's stages with their states, times and places."""
    columns = ("name", "state", "seconds", "path")
    rows = [{column: entry[column] for column in columns} for entry in record["stages"]]
    _create(f"run-{record['name'].lower().replace('.', '-').replace('_', '-')}", rows, "The run")


def _create(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Show a table; what is shown is a courtesy and never fails a run."""
    try:
        create_table_artifact(table=rows, key=key, description=description)
    except Exception as problem:
        log.warning("the UI table %s could not be written: %s", key, problem)
