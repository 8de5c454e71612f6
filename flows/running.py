"""A run at work: its record in the store, its workers, and its stages one after the other.

Every flow that runs stages does so in here, so all leave the same trace: a record that grows
with each stage and says at the end how it went, whatever ended it.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prefect import runtime

from flows.artifacts import show_run, show_stage
from flows.news import tell
from tasks.config import Config
from tasks.config.places import allowed_roots, check_places
from tasks.engine.lease import this_process
from tasks.engine.progress import Progress, default_progress
from tasks.engine.provenance import now
from tasks.engine.records import Artifact
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.errors import RobertaError
from tasks.inspection.runs import read_runs, state_of, write_run
from tasks.prefect_task import run_stage_as_task
from tasks.publishing.latest import point_latest
from tasks.stages import check_outside

log = logging.getLogger(__name__)


class Run:
    """One flow run; made by `recorded`.

    Attributes:
        config: What it was started with.
        store: Where its artifacts lie.
        record: What is known of it so far; see docs/artifacts.md.
    """

    def __init__(self, config: Config, workforce: Workforce) -> None:
        self.config, self.workforce = config, workforce
        self.store = open_store(config.store)
        self.progress: Progress = default_progress()
        self.record = _new_record(config)

    @property
    def id(self) -> str:
        """The flow run's id; it stays when the run is tried again."""
        return str(self.record["run"])

    def was_failing(self) -> bool:
        """Whether the last run of this name, an earlier try of this one included, did not end."""
        before = next(iter(read_runs(self.store, self.config.name)), None)
        return before is not None and state_of(before) in ("failed", "stopped", "killed")

    def save(self) -> None:
        """Write the record as it now is."""
        write_run(self.store, self.record)

    def stages(
        self,
        names: Sequence[str],
        made: dict[str, Artifact] | None = None,
        *,
        config: Config | None = None,
        is_forced: Callable[[str], bool] = lambda _: False,
    ) -> dict[str, Artifact]:
        """Run stages one after the other, with another config if one is given.

        `made` holds the artifacts of stages before them; those of these are added to it.
        """
        made = {} if made is None else made
        for name in names:
            made[name] = self._stage(name, config or self.config, made, is_forced(name))
        return made

    def _stage(
        self, name: str, config: Config, made: Mapping[str, Artifact], force: bool
    ) -> Artifact:
        began = time.monotonic()
        try:
            outcome = run_stage_as_task(
                name,
                config,
                self.store,
                made,
                force=self.id if force else None,
                progress=self.progress,
                workforce=self.workforce,
            )
        except BaseException as problem:
            self.record["stages"].append(_failed_entry(name, problem, began))
            raise
        entry = {
            "name": name,
            "key": outcome.artifact.key,
            "state": outcome.state,
            "seconds": round(outcome.seconds, 3),
            "path": self.store.url(outcome.artifact.folder),
        }
        self.record["stages"].append(entry)
        self.record["seconds"] = round(sum(e["seconds"] for e in self.record["stages"]), 3)
        self.save()
        show_stage(name, outcome)
        return outcome.artifact

    def publish(self, artifact: Artifact) -> None:
        """Let the names of the newest model point to a published artifact."""
        point_latest(self.store, artifact.folder, self.config.name)
        self.record["model"] = self.store.url(f"{artifact.folder}/model")
        self.record["report"] = self.store.url(f"{artifact.folder}/report.html")


@contextlib.contextmanager
def recorded(config: Config, until: str | None = None) -> Iterator[Run]:
    """A run with its record: `running` in the block, then `done`, `failed` or `stopped`.

    Raises:
        UserError: the config names a place that it may not, or something that a stage would
            read is missing; nothing has run.
    """
    check_places(config, allowed_roots())
    check_outside(config, until)
    start = time.monotonic()
    with Workforce(config.engine) as workforce:
        run = Run(config, workforce)
        recovers = run.was_failing()
        run.save()
        try:
            yield run
        except BaseException as problem:
            state = "failed" if isinstance(problem, Exception) else "stopped"
            run.record |= {"state": state, "seconds": round(time.monotonic() - start, 3)}
            with contextlib.suppress(RobertaError, OSError):
                run.save()
            raise
    run.record |= {"state": "done", "seconds": round(time.monotonic() - start, 3)}
    run.save()
    show_run(run.record)
    if recovers:
        tell("recovery", config.name, "the last run failed, this one ended well", run.record)


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
