"""publish: the model folder that stock `transformers` loads, its card, and the report.

    pretrain weights ┐
    tokenizer files  ├──▶ model/  ──(stock agrees?)──▶ committed
    all manifests    ┘
    all manifests ──────▶ report.html

The folder is checked by a separate process before it counts (`tasks.publishing.stock_check`);
card and report are functions of the manifests, so they can be made again byte for byte.
"""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from tasks.config import Config, PublishConfig, Section
from tasks.engine.records import MANIFEST
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.publishing.export import CHECK_TEXTS
from tasks.publishing.figures import collect_figures, read_losses, read_manifests, read_throughput
from tasks.publishing.render import render_card, render_report
from tasks.publishing.stock_check import check_against_stock
from tasks.tokenizing.specials import leave_out_specials

EVIDENCE = ("download", "clean", "tokenizer", "pack", "pretrain", "evaluate")


class PublishSlice(Section):
    """What of the config concerns this stage."""

    name: str
    publish: PublishConfig
    licences: tuple[str | None, ...]


def publish_slice(config: Config) -> PublishSlice:
    """The name, what the card says, and the licence note of every source in its order."""
    licences = tuple(source.licence for source in config.corpus)
    return PublishSlice(name=config.name, publish=config.publish, licences=licences)


def publish(context: StageContext[PublishSlice]) -> StageReport:
    """Make the model folder and the report.

    Raises:
        StageError: stock transformers does not load the folder or does not agree.
    """
    manifests = {name: _manifest_file(context, name) for name in EVIDENCE}
    shared = {"facts": context.config, "manifests": manifests}
    tokenizer = {
        file.url.rsplit("/", 1)[-1]: file for file in context.input("tokenizer").files("tokenizer/")
    }
    weights = {
        file.url.rsplit("/", 1)[-1]: file for file in context.input("pretrain").files("model/")
    }
    folder = Unit("model", {**shared, "files": {**tokenizer, **weights}})
    (model,) = context.map(publish_folder, [folder], workers=1)
    losses = context.input("pretrain").file("losses.jsonl")
    context.map(publish_report, [Unit("report", {**shared, "losses": losses})], workers=1)
    return StageReport(summary=model.summary)


def _manifest_file(context: StageContext[PublishSlice], stage: str) -> StoredFile:
    artifact = context.input(stage)
    path = f"{artifact.folder}/{MANIFEST}"
    size, digest = artifact.store.size(path), artifact.store.digest(path)
    assert size is not None
    assert digest is not None
    return StoredFile(artifact.store.url(path), digest, size)


def _figures(facts: PublishSlice, manifests: Mapping[str, StoredFile]) -> dict[str, Any]:
    read = read_manifests({name: file.local() for name, file in manifests.items()})
    return {**collect_figures(facts.name, facts.publish, facts.licences, read), "read": read}


def publish_folder(
    work: UnitWork,
    *,
    facts: PublishSlice,
    manifests: Mapping[str, StoredFile],
    files: Mapping[str, StoredFile],
) -> UnitReport:
    """Write `model/`: weights, config, tokenizer and card; check it against stock."""
    figures = _figures(facts, manifests)
    figures.pop("read")
    folder = work.directory()
    for name, file in files.items():
        shutil.copyfile(file.local(), work.path(f"/{name}"))
    _fit_tokenizer(folder)
    if figures["special_tokens"] == "none":
        leave_out_specials(folder)
    work.path("/README.md").write_text(render_card(figures), encoding="utf-8")
    difference = check_against_stock(folder, CHECK_TEXTS)
    return UnitReport(
        summary={"largest_difference": difference, "parameters": figures["parameters"]}
    )


def _fit_tokenizer(folder: Any) -> None:
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
    manifests: Mapping[str, StoredFile],
    losses: StoredFile,
) -> UnitReport:
    """Write `report.html` from the manifests and the losses."""
    figures = _figures(facts, manifests)
    throughput = read_throughput(figures.pop("read")["pretrain"]["units"])
    html = render_report(figures, read_losses(losses.local()), throughput)
    work.path(".html").write_text(html, encoding="utf-8")
    return UnitReport()


PUBLISH = Stage(
    name="publish",
    number=7,
    version=2,
    needs=EVIDENCE,
    config=publish_slice,
    run=publish,
)
