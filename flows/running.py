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
from prefect.client.schemas import State

from flows.ending import ending
from flows.news import tell
from flows.watching import Watch, watching
from tasks.config import Config
from tasks.config.places import ROOTS, allowed_roots, check_places
from tasks.engine.lease import this_process
from tasks.engine.progress import Count, Sink, default_progress
from tasks.engine.provenance import now
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.errors import RobertaError, UserError
from tasks.inspection.estimate import check_before_run
from tasks.inspection.runs import read_runs, state_of, write_run
from tasks.prefect_task import deployment_id, run_stage_as_task
from tasks.publishing.latest import point_latest, published_folder
from tasks.stages import FINE_TUNING

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 10.0
_RECOVERIES = {
    **dict.fromkeys(("failed", "killed"), "the last run did not end well, this one did"),
    "stopped": "this run has finished what the last one was stopped in",
}


class RecordedProgress(Sink):
    """How far the stage under way is, in the run's record: what `roberta status` shows.

    Only on a local disk: a server that does not answer would hold up the stage, and in the
    background an old record could be written over a new one.
    """

    def __init__(self, store: Store, record: dict[str, Any]) -> None:
        self.store, self.record = store, record
        self._due = time.monotonic() + _PROGRESS_SECONDS

    def update(self, count: Count) -> None:
        """See `Sink`."""
        if time.monotonic() < self._due or not self.store.is_local:
            return
        self._due = time.monotonic() + _PROGRESS_SECONDS
        told = {"stage": count.stage, "percent": count.percent, "text": count.describe()}
        self.record["progress"] = told
        with contextlib.suppress(RobertaError, OSError):  # the next stage's end says it louder
            write_run(self.store, self.record)

    def end(self, count: Count) -> None:
        """See `Sink`."""
        self.record["progress"] = None


class Run:
    """One flow run; made by `recorded`.

    Attributes:
        config: What it was started with.
        store: Where its artifacts lie.
        record: What is known of it so far; see docs/artifacts.md.
        made: The artifacts of its stages, by name.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        record: dict[str, Any],
        workforce: Workforce,
        watch: Watch,
    ) -> None:
        self.config, self.store, self.record = config, store, record
        self.workforce, self.watch = workforce, watch
        self.made: dict[str, Artifact] = {}
        self.progress = default_progress(*watch.sinks, RecordedProgress(store, record))
        self._before: State[Any] | None = None

    @property
    def id(self) -> str:
        """The flow run's id; it stays when the run is tried again."""
        return str(self.record["run"])

    def stages(
        self,
        names: Sequence[str],
        *,
        config: Config | None = None,
        is_forced: Callable[[str], bool] = lambda _: False,
    ) -> Artifact:
        """Run stages one after the other, with another config if one is given; the last one's."""
        for name in names:
            self.made[name] = self._stage(name, config or self.config, self.made, is_forced(name))
            self._show(name)
        return self.made[names[-1]]

    def fine_tune(
        self, config: Config | None = None, is_forced: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Teach the encoder what the config's `downstream` asks for, if it does.

        What is published before stays so, whatever becomes of this.
        """
        if self.config.downstream:
            self.stages([FINE_TUNING], config=config, is_forced=is_forced)

    def beside(self, name: str, inputs: Mapping[str, Artifact], config: Config) -> Artifact:
        """Run a stage on other inputs, of which whoever watches the run sees the task alone."""
        return self._stage(name, config, inputs, force=False)

    def _stage(
        self, name: str, config: Config, inputs: Mapping[str, Artifact], force: bool
    ) -> Artifact:
        began = time.monotonic()
        try:
            outcome, self._before = run_stage_as_task(
                name,
                config,
                self.store,
                inputs,
                after=self._before,
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
        write_run(self.store, self.record)
        return outcome.artifact

    def _show(self, name: str) -> None:
        assert self._before is not None
        state = str(self.record["stages"][-1]["state"])
        self.watch.stage_ended(name, state, self.made, self._before.state_details.task_run_id)

    def publish(self) -> None:
        """Let the names of the newest model point to what this run has published."""
        folder = self.made["publish"].folder
        before = published_folder(self.store, self.config.name)
        self.record["replaces"] = before if before != folder else None
        point_latest(self.store, folder, self.config.name)
        self.watch.published()
        self.record["model"] = self.store.url(f"{folder}/model")
        self.record["report"] = self.store.url(f"{folder}/report.html")


def check_allowed(config: Config) -> None:
    """Refuse a config that names a place which this run may not touch.

    What a person starts in a terminal may what he may. What a deployment starts, anybody with its
    form has, so a worker that was not told of its roots runs nothing.

    Raises:
        UserError: names the place, or what the worker lacks.
    """
    roots = allowed_roots()
    if roots is None and deployment_id() is not None:
        raise UserError(
            f"this worker does not know what its runs may touch. Start it with {ROOTS} in its "
            "environment, a folder or URL a line; `roberta serve --root` does that by itself."
        )
    check_places(config, roots)


@contextlib.contextmanager
def recorded(config: Config, until: str | None = None) -> Iterator[Run]:
    """A run with its record: `running` in the block, then `done`, `failed` or `stopped`.

    How it ended is written down before the server is told of it, and whether or not it hears.

    Raises:
        UserError: the config names a place that it may not, or something that a stage would
            read is missing; nothing has run.
    """
    check_allowed(config)
    store = open_store(config.store)
    record = _new_record(config)
    before = _end_of_last(store, config.name)
    try:
        check_before_run(config, store, until)
    except UserError:
        if deployment_id() is not None:  # nobody has seen it: `status` shows it, the next recovers
            with contextlib.suppress(RobertaError, OSError):
                write_run(store, record | {"state": "failed"})
        raise
    write_run(store, record)
    with ending(record), watching(config, store) as watch:
        yield from _at_work(config, store, record, watch)
        if before in _RECOVERIES:
            tell("recovery", config.name, _RECOVERIES[before], record)


def _at_work(config: Config, store: Store, record: dict[str, Any], watch: Watch) -> Iterator[Run]:
    start = time.monotonic()
    made: Mapping[str, Artifact] = {}
    try:
        with Workforce(config.engine) as workforce:
            run = Run(config, store, record, workforce, watch)
            made = run.made
            yield run
    except BaseException as problem:
        state = "failed" if isinstance(problem, Exception) else "stopped"
        record |= {"state": state, "seconds": round(time.monotonic() - start, 3)}
        with contextlib.suppress(RobertaError, OSError):
            write_run(store, record)
        watch.run_ended(record, made)
        raise
    record |= {"state": "done", "seconds": round(time.monotonic() - start, 3)}
    write_run(store, record)
    watch.run_ended(record, made)


def _end_of_last(store: Store, name: str) -> str | None:
    """How the last run of this name ended, an earlier try of this one included."""
    before = next(iter(read_runs(store, name)), None)
    return None if before is None else state_of(before)


def _new_record(config: Config) -> dict[str, Any]:
    return {
        "run": str(runtime.flow_run.id),
        "name": config.name,
        "flow": runtime.flow_run.flow_name,
        "until": runtime.flow_run.parameters.get("until"),
        "state": "running",
        "started": now(),
        "seconds": 0.0,
        "process": this_process(),
        "stages": [],
        "progress": None,
        "model": None,
        "report": None,
        "replaces": None,
        "comparison": None,
        "config": config.model_dump(mode="json", by_alias=True),
    }


_NAMELESS: dict[type[BaseException], str] = {KeyboardInterrupt: "stopped by Ctrl-C"}


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
        "problem": str(problem) or _NAMELESS.get(type(problem), type(problem).__name__),
    }
