"""publish: the model folder that stock `transformers` loads, its card, and the report.

    pretrain weights ┐
    tokenizer files  ┴──▶ model/  ──(stock agrees?)──▶ committed
    evidence ───────────▶ model/recipe.json
    evidence         ┐
    provenance       ┴──▶ model/README.md
    evidence, losses      ┐
    provenance, portrait  ├──▶ report.html
    models of before      ┘

The folder is checked by a separate process before it counts (`tasks.publishing.stock_check`).
Evidence is all of a stage that may be shown (`tasks.publishing.evidence`); it is in this
stage's key, so card and report have no figure that is out of date. The card also tells how long
the training took on what, and the report when and where each stage was computed, as their
manifests had it when the two were made: that is in no key. No other file of the model folder
tells any of it, and the card neither date nor host.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.artifacts import (
    CleanText,
    PackedText,
    TrainedModel,
    TrainedTokenizer,
    model_folder_files,
)
from tasks.config import Config, PublishConfig, Section
from tasks.costs import CorpusSize, Estimate
from tasks.engine.records import MANIFEST
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.inspection.models import earlier_models
from tasks.inspection.runs import states_under_way
from tasks.publishing.card import render_card
from tasks.publishing.circumstances import collect_circumstances, read_manifests
from tasks.publishing.evidence import evidence_digest, evidence_of
from tasks.publishing.export import CHECK_TEXTS
from tasks.publishing.figures import collect_figures, read_steps, recipe_record
from tasks.publishing.portrait import (
    look_at_documents,
    look_at_rejects,
    look_at_tokens,
    portrait_of,
    some_of,
)
from tasks.publishing.recipe import defaults_digest
from tasks.publishing.render import render_report
from tasks.publishing.spent import spent_on
from tasks.publishing.stock_check import check_against_stock
from tasks.tokenizing.specials import leave_out_specials
from tasks.training.costs import num_trained_parameters, planned_model

EVIDENCE = ("download", "clean", "tokenizer", "pack", "pretrain", "evaluate")


class PublishSlice(Section):
    """What of the config concerns this stage."""

    name: str
    publish: PublishConfig
    licences: tuple[str | None, ...]
    config_defaults: str


def publish_slice(config: Config) -> PublishSlice:
    """The name, what the card says, the licence note of every source, and the defaults."""
    return PublishSlice(
        name=config.name,
        publish=config.publish,
        licences=tuple(source.licence for source in config.corpus),
        config_defaults=defaults_digest(),
    )


def publish(context: StageContext[PublishSlice]) -> StageReport:
    """Make the model folder and the report.

    Raises:
        StageError: stock transformers does not load the folder or does not agree.
    """
    evidence = {name: evidence_of(context.input(name).manifest) for name in EVIDENCE}
    summary = evidence["pretrain"]["summary"]
    payload = {
        "files": model_folder_files(context),
        "special_tokens": evidence["pack"]["config"]["special_tokens"],
        "dropout": TrainedModel.of(context).dropout,
    }
    (model,) = context.map(publish_folder, [Unit("model", payload)], workers=1)
    told = {"facts": context.config, "evidence": evidence}
    manifests = {name: _manifest_file(context, name) for name in EVIDENCE}
    context.map(publish_recipe, [Unit("model/recipe", {"evidence": evidence})], workers=1)
    card = Unit("model/README", {**told, "manifests": manifests})
    context.map(publish_card, [card], workers=1)
    read = {
        "manifests": manifests,
        "losses": TrainedModel.of(context).losses,
        "portrait": _portrait(context),
        "earlier": _earlier(context),
        "states": _states(context),
    }
    context.map(publish_report, [Unit("report", {**told, **read})], workers=1)
    within = f"{model.summary['largest_difference']:.0e}"
    return StageReport(
        summary={**model.summary, "parameters": summary["parameters"]},
        headline=f"stock transformers agrees within {within}",
    )


def _portrait(context: StageContext[PublishSlice]) -> dict[str, Any]:
    """What the corpus and the vocabulary look like."""
    clean = CleanText.of(context)
    files = clean.files("train")
    looks = [
        Unit(f"portrait/{number:03}", {"documents": file})
        for number, file in enumerate(some_of(files))
    ]
    dropped = [
        Unit(f"portrait/dropped-{number:03}", {"rejects": file})
        for number, file in enumerate(some_of(clean.rejects))
    ]
    known = {
        "tokenizer": TrainedTokenizer.of(context).file,
        "counts": PackedText.of(context).token_counts,
    }
    documents = context.map(look_at_documents, looks, outputs=False)
    rejects = context.map(look_at_rejects, dropped, outputs=False)
    (tokens,) = context.map(look_at_tokens, [Unit("portrait/tokens", known)], outputs=False)
    return portrait_of(
        [unit.summary for unit in documents],
        [unit.summary for unit in rejects],
        tokens.summary,
        len(files),
    )


def _earlier(context: StageContext[PublishSlice]) -> list[dict[str, Any]]:
    """The scores of models of this name that were published before."""
    evaluated = context.input("evaluate")
    return earlier_models(evaluated.store, context.config.name, evaluated.key)


def _states(context: StageContext[PublishSlice]) -> dict[str, str]:
    """Which stages this run has made, and which it found."""
    keys = {name: context.input(name).key for name in EVIDENCE}
    return states_under_way(context.input("evaluate").store, keys)


def estimate(config: Config, _size: CorpusSize) -> Estimate:
    """A copy of the weights, and two libraries that load them."""
    parameters = num_trained_parameters(planned_model(config))
    return {
        "disk_bytes": 4 * parameters + 5_000_000,
        "memory_bytes": 1_200_000_000 + 8 * parameters,
        "seconds": 12.0,
    }


def _manifest_file(context: StageContext[PublishSlice], stage: str) -> StoredFile:
    artifact = context.input(stage)
    path = f"{artifact.folder}/{MANIFEST}"
    size, digest = artifact.store.size(path), artifact.store.digest(path)
    assert size is not None
    assert digest is not None
    return StoredFile(artifact.store.url(path), digest, size)


def _figures(facts: PublishSlice, evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return collect_figures(facts.name, facts.publish, facts.licences, evidence)


def publish_folder(
    work: UnitWork, *, files: Mapping[str, StoredFile], special_tokens: str, dropout: float | None
) -> UnitReport:
    """Write `model/`: weights, config and tokenizer; check it against stock."""
    folder = work.directory()
    for name, file in files.items():
        shutil.copyfile(file.local(), work.path(f"/{name}"))
    if dropout is not None:
        say_dropout(folder, dropout)
    _fit_tokenizer(folder)
    if special_tokens == "none":
        leave_out_specials(folder)
    return UnitReport(summary={"largest_difference": check_against_stock(folder, CHECK_TEXTS)})


def publish_recipe(work: UnitWork, *, evidence: Mapping[str, Mapping[str, Any]]) -> UnitReport:
    """Write `model/recipe.json`: every field that the model follows from."""
    text = json.dumps(recipe_record(evidence), indent=1, ensure_ascii=False, sort_keys=True)
    work.path(".json").write_text(text + "\n", encoding="utf-8")
    return UnitReport()


def publish_card(
    work: UnitWork,
    *,
    facts: PublishSlice,
    evidence: Mapping[str, Mapping[str, Any]],
    manifests: Mapping[str, StoredFile],
) -> UnitReport:
    """Write the model card: figures from the evidence, time and energy from the manifests."""
    read = read_manifests({name: file.local() for name, file in manifests.items()})
    card = render_card(_figures(facts, evidence), spent_on(read))
    work.path(".md").write_text(card, encoding="utf-8")
    return UnitReport()


def say_dropout(folder: Path, dropout: float) -> None:
    """Whoever trains on, stock too, goes by `config.json`: let it say what the weights are used to.

    Weights that have never met noise do poorly in it, and take long to learn what it hides.
    """
    path = folder / "config.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    known["hidden_dropout_prob"] = known["attention_probs_dropout_prob"] = dropout
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _fit_tokenizer(folder: Path) -> None:
    """Tell the tokenizer how long an input the model takes."""
    model = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model_max_length"] = model["max_position_embeddings"] - model["pad_token_id"] - 1
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def publish_report(
    work: UnitWork,
    *,
    facts: PublishSlice,
    evidence: Mapping[str, Mapping[str, Any]],
    manifests: Mapping[str, StoredFile],
    losses: StoredFile,
    portrait: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]],
    states: Mapping[str, str],
) -> UnitReport:
    """Write `report.html`: figures from the evidence, times and hosts from the manifests."""
    read = read_manifests({name: file.local() for name, file in manifests.items()})
    html = render_report(
        _figures(facts, evidence),
        read_steps(losses.local()),
        collect_circumstances(read, states),
        portrait,
        earlier,
    )
    work.path(".html").write_text(html, encoding="utf-8")
    return UnitReport()


PUBLISH = Stage(
    name="publish",
    number=7,
    version=18,
    needs=EVIDENCE,
    config=publish_slice,
    run=publish,
    estimate=estimate,
    input_digest=lambda artifact: evidence_digest(artifact.manifest),
)
