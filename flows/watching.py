"""What whoever watches a run sees of it: progress, artifacts, log lines, all told on the side.

<name>-<stage>-progress   how far a stage is, how fast, how long still
<name>-corpus   <name>-tokenizer   <name>-ledger     what became of the text
<name>-loss     drawn again while it is trained
<name>-scores   <name>-fills       beside the model that was published before
<name>-leaderboard   all models of the store by score
<name>-run      the stages, and where model and report are
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext, TaskRunContext

from flows import artifacts
from flows.ending import note_missed
from flows.plain_markdown import plain
from flows.run_logs import lines_of_run
from flows.telling import Shown, Teller
from tasks.config import Config
from tasks.engine.progress import Count, Sink
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.store import Store
from tasks.inspection.leaderboard import leaderboard
from tasks.inspection.runs import read_runs
from tasks.prefect_task import deployment_id
from tasks.publishing.charts import thinned
from tasks.publishing.svg import Point
from tasks.stages import stage_folder
from tasks.training.running import HELD_OUT_LOSS

PROGRESS_SECONDS = 4.0
PICTURE_SECONDS = 30.0
_MOST_LIVE_POINTS = 2000
_TAGS = "tags"
_PRETRAINING = "pretrain"


def artifact_name(name: str) -> str:
    """A pipeline's name as artifact keys can hold it.

    >>> artifact_name("Team_A's letters (2024)")
    'team-a-s-letters-2024'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "pipeline"


class Watch:
    """Shows one run; every method returns at once, and none of them can fail the run."""

    def __init__(self, config: Config, store: Store, teller: Teller) -> None:
        self.config, self.store, self.teller = config, store, teller
        self.prefix = artifact_name(config.name)
        self.sinks: tuple[Sink, ...] = (StageProgress(self), LiveLoss(self))

    def key(self, what: str) -> str:
        """The key of one of this pipeline's artifacts."""
        return f"{self.prefix}-{what}"

    def page(
        self, what: str, title: str, make: Callable[[], str], task_run: UUID | None = None
    ) -> None:
        """Show Markdown, made when it is sent, at the run and, where it is given, at a task."""
        told = f"{plain(self.config.name)}: {title}"
        self.teller.show(self.key(what), Shown("markdown", make, told), task_run)

    def progress(self, stage: str, percent: float, text: str, task_run: UUID | None) -> None:
        """Show how far a stage is."""
        shown = Shown("progress", percent, f"{plain(self.config.name)}, {stage}: {plain(text)}")
        self.teller.show(self.key(f"{stage}-progress"), shown, task_run)

    def stage_ended(
        self, stage: str, state: str, made: Mapping[str, Artifact], task_run: UUID | None
    ) -> None:
        """Show what a finished stage adds to the picture."""
        known = dict(made)
        artifact = known[stage]
        self.progress(stage, 100.0, f"{state}, {artifact.manifest['headline']}", task_run)
        for what, title, make in self._pages(stage, artifact, known):
            self.page(what, title, make, task_run)

    def _pages(
        self, stage: str, artifact: Artifact, known: dict[str, Artifact]
    ) -> Iterator[tuple[str, str, Callable[[], str]]]:
        if artifact.ledger.balances:
            yield "ledger", "the text's way", partial(artifacts.ledger_page, known)
        if stage in ("download", "clean"):
            yield "corpus", "the corpus", partial(artifacts.corpus_page, known)
        elif stage == "tokenizer":
            yield "tokenizer", "the tokenizer", partial(artifacts.tokenizer_page, artifact)
        elif stage == "pretrain":
            yield "loss", "the training loss", partial(artifacts.loss_page, artifact)
        elif stage == "finetune":
            yield (
                "tasks",
                "the tasks it was taught",
                partial(artifacts.tasks_page, artifact.summary),
            )
        elif stage == "evaluate":
            yield "fills", "filled masks", partial(artifacts.fills_page, artifact.summary)
            yield "scores", "scores", partial(self._scores_page, artifact.summary)

    def published(self) -> None:
        """Show all models, once the pipeline's name points to the new one."""
        self.page("leaderboard", "the leaderboard", self._leaderboard_page)

    def run_ended(self, record: Mapping[str, Any], made: Mapping[str, Artifact]) -> None:
        """Show how the run ended."""
        # `roberta serve` shows the reports of what it has started, at its own address.
        served = f"/roberta/reports/{record['run']}" if deployment_id() else None
        page = partial(artifacts.run_page, dict(record), dict(made), served)
        self.page("run", f"the run, {record['state']}", page)

    def _scores_page(self, summary: Mapping[str, Any]) -> str:
        return artifacts.scores_page(summary, self._published_before())

    def _leaderboard_page(self) -> str:
        return artifacts.leaderboard_page(leaderboard(self.store))

    def _published_before(self) -> Mapping[str, Any] | None:
        """The scores of the newest other run of this name that published a model."""
        for record in read_runs(self.store, self.config.name):
            keys = {entry["name"]: entry.get("key") for entry in record["stages"]}
            if record["run"] != str(self.teller.run) and keys.get("publish"):
                found = read_manifest(self.store, f"{stage_folder('evaluate')}/{keys['evaluate']}")
                if found is not None:
                    return found.summary
        return None


class StageProgress(Sink):
    """A progress artifact for each stage, told at most every few seconds."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._due = 0.0

    def begin(self, count: Count) -> None:
        """See `Sink`."""
        self._show(count)

    def update(self, count: Count) -> None:
        """See `Sink`."""
        if time.monotonic() >= self._due:
            self._show(count)

    def end(self, count: Count) -> None:
        """See `Sink`."""
        self._show(count)

    def _show(self, count: Count) -> None:
        self._due = time.monotonic() + PROGRESS_SECONDS
        self.watch.progress(count.stage, count.percent, count.describe(), _task_run())


class LiveLoss(Sink):
    """The picture of the pretraining's loss, drawn again every half minute.

    Fine-tunings have a loss as well: it would take the place of the pretraining's finished page.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._points: list[Point] = []
        self._held_out: list[Point] = []
        self._due = 0.0

    def begin(self, count: Count) -> None:
        """See `Sink`."""
        if count.stage != _PRETRAINING:
            return
        self._points = [(done, told["loss"]) for done, told in count.before]
        self._held_out = [
            (done, told[HELD_OUT_LOSS]) for done, told in count.before if HELD_OUT_LOSS in told
        ]
        self._due = time.monotonic() + PROGRESS_SECONDS

    def update(self, count: Count) -> None:
        """See `Sink`."""
        loss = count.figures.get("loss")
        if count.stage != _PRETRAINING or loss is None:
            return
        self._points.append((count.done, loss))
        held_out = count.figures.get(HELD_OUT_LOSS)
        # Told with every step until it is measured again.
        is_told = bool(self._held_out) and self._held_out[-1][1] == held_out
        if held_out is not None and not is_told:
            self._held_out.append((count.done, held_out))
        if len(self._points) > _MOST_LIVE_POINTS:
            self._points = thinned(self._points, _MOST_LIVE_POINTS // 2)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PICTURE_SECONDS
            page = partial(
                artifacts.live_loss_page,
                list(self._points),
                list(self._held_out),
                count.total,
                count.describe(),
            )
            self.watch.page("loss", "the training loss", page, _task_run())


def _task_run() -> UUID | None:
    """The task run under way in this thread."""
    context = TaskRunContext.get()
    return None if context is None else context.task_run.id


def _tag(names: list[str], client: SyncPrefectClient) -> None:
    """Name the pipeline among the flow run's tags, beside those of its deployment."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    tags = sorted({*context.flow_run.tags, *names})
    client.update_flow_run(context.flow_run.id, tags=tags)


@contextlib.contextmanager
def watching(config: Config, store: Store) -> Iterator[Watch]:
    """Show the flow run that is under way while the block runs."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    run = context.flow_run.id
    teller = Teller(run)
    try:
        with lines_of_run(run), teller:
            teller.tell(_TAGS, partial(_tag, [config.name]))
            yield Watch(config, store, teller)
    finally:
        note_missed([key for key in teller.missed() if key != _TAGS])
