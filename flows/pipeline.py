"""The pipeline: from sources to a published encoder.

    download ──▶ clean ──▶ tokenizer ──▶ pack ──▶ pretrain ──▶ evaluate ──▶ publish

Each stage is one task. Where a stage finds its artifact in the store it reports `Cached`;
so starting the flow again, with the same or a changed config, does only what is missing.
"""

import contextlib
import logging
import time
from typing import Any

from prefect import flow, runtime

from flows.ending import ending
from flows.watching import Watch, watching
from tasks.config import Config
from tasks.engine.lease import this_process
from tasks.engine.progress import default_progress
from tasks.engine.provenance import now
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.errors import RobertaError
from tasks.inspection.runs import write_run
from tasks.prefect_task import run_stage_as_task
from tasks.publishing.latest import point_latest
from tasks.stages import check_outside, stage_names

log = logging.getLogger(__name__)


@flow(name="pipeline", flow_run_name="{config.name}", validate_parameters=True, log_prints=False)
def pipeline(config: Config, until: str | None = None, force: str | None = None) -> dict[str, Any]:
    """Run the stages in order; returns the run's record.

    Raises:
        UserError: something that a stage would read is missing; nothing has run.
        UserError, StageError: the first stage that cannot finish ends the run. The record is
            saved first, so `status` shows how far it got.
    """
    check_outside(config, until)
    store = open_store(config.store)
    record = _new_record(config)
    write_run(store, record)
    with ending(record), watching(config, store) as watch:
        _run_to_record(config, store, record, watch, until, force)
    return record


def _run_to_record(
    config: Config,
    store: Store,
    record: dict[str, Any],
    watch: Watch,
    until: str | None,
    force: str | None,
) -> None:
    """Run the stages and write down how that ended, before the server is told and whether or not.

    Raises:
        UserError, StageError: as `pipeline`.
    """
    start = time.monotonic()
    made: dict[str, Artifact] = {}
    try:
        with Workforce(config.engine) as workforce:
            _run_stages(config, store, record, made, workforce, watch, until, force)
    except BaseException as problem:
        state = "failed" if isinstance(problem, Exception) else "stopped"
        record |= {"state": state, "seconds": round(time.monotonic() - start, 3)}
        with contextlib.suppress(RobertaError, OSError):
            write_run(store, record)
        watch.run_ended(record, made)
        raise
    record |= {"state": "done", "seconds": round(time.monotonic() - start, 3)}
    if "publish" in made:
        folder = made["publish"].folder
        point_latest(store, folder)
        record["model"] = store.url(f"{folder}/model")
        record["report"] = store.url(f"{folder}/report.html")
    write_run(store, record)
    watch.run_ended(record, made)


def _run_stages(
    config: Config,
    store: Store,
    record: dict[str, Any],
    made: dict[str, Artifact],
    workforce: Workforce,
    watch: Watch,
    until: str | None,
    force: str | None,
) -> None:
    """The stages one after the other; the record on the disk grows with them."""
    progress = default_progress(*watch.sinks)
    state = None
    for name in stage_names(until):
        began = time.monotonic()
        try:
            outcome, state = run_stage_as_task(
                name,
                config,
                store,
                made,
                after=state,
                force=name == force,
                progress=progress,
                workforce=workforce,
            )
        except BaseException as problem:
            record["stages"].append(_failed_entry(name, problem, began))
            raise
        made[name] = outcome.artifact
        record["stages"].append(
            {
                "name": name,
                "key": outcome.artifact.key,
                "state": outcome.state,
                "seconds": round(outcome.seconds, 3),
                "path": store.url(outcome.artifact.folder),
            }
        )
        record["seconds"] = round(sum(entry["seconds"] for entry in record["stages"]), 3)
        write_run(store, record)
        watch.stage_ended(name, outcome.state, made, state.state_details.task_run_id)


def _new_record(config: Config) -> dict[str, Any]:
    return {
        "run": str(runtime.flow_run.id),
        "name": config.name,
        "state": "running",
        "started": now(),
        "seconds": 0.0,
        "process": this_process(),
        "stages": [],
        "model": None,
        "report": None,
        "config": config.model_dump(mode="json", by_alias=True),
    }


def _failed_entry(name: str, problem: BaseException, began: float) -> dict[str, Any]:
    """The record of the stage that ended a run, and one line about it."""
    seconds = time.monotonic() - began
    how = "failed" if isinstance(problem, Exception) else "stopped"
    log.info("%-10s %-8s %9.1f s", name, how, seconds)
    return {
        "name": name,
        "key": None,
        "state": "failed",
        "seconds": round(seconds, 3),
        "path": None,
        "problem": str(problem) or type(problem).__name__,
    }
