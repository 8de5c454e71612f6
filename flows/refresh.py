"""The refresh: what is new in the sources goes into the published model, if that does it good.

    download ──▶ nothing new? the published encoder is taught what `downstream` has new, if it
        │ new    has; else done in seconds
        ▼
    clean ──▶ pack (the published tokenizer) ──▶ pretrain, from the published weights
        ▼
    both models scored on the same held-out text ──▶ publish, unless a score fell

Only new text is cleaned and packed; units of what was there before are found. Where nothing is
published yet the whole pipeline runs once.
"""

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.coalescing import is_superseded
from flows.news import tell
from flows.running import Run, recorded
from tasks.config import Config, ModelSection
from tasks.engine.records import Artifact
from tasks.evaluation.comparison import check_scores, compare
from tasks.inspection.lineage import made_from
from tasks.publishing.latest import published_folder
from tasks.publishing.published_model import model_folder, published_artifact
from tasks.stages import FINE_TUNING, stage_names


@flow(name="refresh", flow_run_name="{config.name}: refresh", log_prints=False)
def refresh(config: Config) -> Any:
    """Continue from the published model on what is new; publish what is not worse.

    Args:
        config: The pipeline whose model is refreshed.

    Raises:
        UserError, StageError: as the pipeline's; what is published stays.
    """
    if is_superseded():
        return Completed(name="Skipped", message="a later refresh is due and takes this in")
    check_scores(config)
    with recorded(config) as run:
        published = published_artifact(run.store, config.name)
        return _first(run) if published is None else _again(run, published)


def _first(run: Run) -> Any:
    run.stages(stage_names(run.config, "publish"))
    run.publish()
    run.fine_tune()
    tell("publish", run.config.name, "the first model is published", run.record)
    return Completed(message="published the first model", data=run.record)


def _again(run: Run, published: Artifact) -> Any:
    before = made_from(run.store, published)
    if run.stages(["download"]).key == before["download"].key:
        return Completed(message=_taught_again(run, before), data=run.record)
    with model_folder(published) as folder:
        return _compared(run, published, before, continued(run.config, folder))


def _taught_again(run: Run, before: Mapping[str, Artifact]) -> str:
    """Teach the published encoder what labelled files or settings have new; what there was."""
    if not run.config.downstream:
        return "nothing new"
    taught = run.beside(FINE_TUNING, before, run.config)
    is_known = run.record["stages"][-1]["state"] == "cached"
    return "nothing new" if is_known else f"no new text; taught: {taught.manifest['headline']}"


def _compared(run: Run, published: Artifact, before: Mapping[str, Artifact], config: Config) -> Any:
    after = run.stages(stage_names(config, "evaluate")[1:], config=config)
    # The published weights on today's held-out text, which has grown with the corpus.
    known = {**run.made, "pretrain": before["pretrain"]}
    found = compare(run.beside("evaluate", known, config), after, config.operations.refresh.margin)
    run.record["comparison"] = found.to_json()
    if not found.is_good:
        message = f"not published: {found.told()}"
        tell("score_drop", config.name, message, run.record)
        return Completed(name="Not published", message=message, data=run.record)
    run.stages(["publish"], config=config)
    if published_folder(run.store, config.name) != published.folder:
        message = "not published: another run has meanwhile; the next refresh begins from that"
        return Completed(name="Not published", message=message, data=run.record)
    run.publish()
    run.fine_tune(config)
    tell("publish", config.name, f"published: {found.told()}", run.record)
    return Completed(message=f"published: {found.told()}", data=run.record)


def continued(config: Config, folder: str) -> Config:
    """The config that goes on from a published model folder, with its tokenizer."""
    length: Mapping[str, Any] = {}
    wanted = config.operations.refresh
    if wanted.steps is not None or wanted.minutes is not None:
        length = {"steps": wanted.steps, "minutes": wanted.minutes, "epochs": None}
    return config.model_copy(
        update={
            "model": ModelSection.model_validate({"from": folder}),
            "tokenizer": config.tokenizer.model_copy(update={"source_folder": folder}),
            "pretrain": config.pretrain.model_copy(update=dict(length)),
        }
    )
