"""finetune: the pretrained encoder, taught each task of `downstream`.

    encoder, labelled data ──▶ a training for each choice ──▶ the best ──▶ <name>/model, its scores
    pretraining text ──▶ which of dev and test it holds                ──▶ report.html

The same stage does one fine-tuning alone, of any RoBERTa folder: that is `roberta finetune`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.artifacts import CleanText, TrainedModel, model_folder_files
from tasks.config import Config, EngineConfig, Section
from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import ContaminationConfig
from tasks.costs import CorpusSize, Estimate
from tasks.engine.outside import outside_file
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.finetuning.downstream import (
    check_downstream,
    data_files,
    downstream_files,
    job_of,
    score_rows,
    teach,
    told_score,
)
from tasks.finetuning.estimate import work_of
from tasks.finetuning.folders import is_of_encoder, is_of_tokenizer
from tasks.finetuning.job import fine_tune
from tasks.inference.model_folder import check_folder
from tasks.publishing.taught import render_taught
from tasks.training.costs import matmul_flops, num_trained_parameters, planned_model

_SHARE = 0.75  # of the measured speed of matrix products
# What each step takes besides: processes meet, and every weight is updated from all gradients.
_STEP_SECONDS, _WEIGHT_SECONDS = 0.03, 5e-9
_MODEL = "model"  # the label of a model folder's files in the stage that stands alone


class DownstreamSlice(Section):
    """What of the config concerns this stage."""

    downstream: tuple[FineTuningConfig, ...]
    contamination: ContaminationConfig | None


class AloneConfig(Section):
    """One fine-tuning of a folder, without a pipeline."""

    model: str
    settings: FineTuningConfig
    engine: EngineConfig = EngineConfig()


class AloneSlice(Section):
    """Its identity: the settings; the folder's files are outside files."""

    settings: FineTuningConfig


def finetune(context: StageContext[DownstreamSlice]) -> StageReport:
    """Do every task of the config.

    Raises:
        UserError: data are not what a task needs.
        StageError: a training failed; its last checkpoint is kept.
    """
    how, used_to = context.config.contamination, TrainedModel.of(context).dropout
    asked = [with_dropout(settings, used_to) for settings in context.config.downstream]
    documents = CleanText.of(context).files("train")
    tasks = teach(context, asked, model_folder_files(context), documents, how)
    summary: dict[str, Any] = {
        "tasks": tasks,
        "scores": [score for name, each in tasks.items() for score in score_rows(name, each)],
        "contamination": how and {**dict(how), "documents_files": len(documents)},
    }
    predicted = sorted(label for label in context.externals if "/predict/" in label)
    report = Unit("report", {"summary": summary, "predicted": predicted})
    context.map(write_report, [report], workers=1)
    told = [f"{name} {each['metric']} {told_score(each)}" for name, each in tasks.items()]
    figures = {f"{name}, {each['metric']}": told_score(each) for name, each in tasks.items()}
    return StageReport(summary=summary, headline=", ".join(told), figures=figures)


def with_dropout(settings: FineTuningConfig, used_to: float | None) -> FineTuningConfig:
    """A task as it would be for the published folder, whose `config.json` says the same."""
    if settings.dropout is not None or used_to is None:
        return settings
    return settings.model_copy(update={"dropout": used_to})


def write_report(
    work: UnitWork, *, summary: Mapping[str, Any], predicted: Sequence[str]
) -> UnitReport:
    """Write `report.html`: what the encoder was taught, and how well it does it."""
    work.path(".html").write_text(render_taught(summary, predicted), encoding="utf-8")
    return UnitReport()


def finetune_alone(context: StageContext[AloneSlice]) -> StageReport:
    """Do one task on a folder of somebody's."""
    model = {
        label.removeprefix(f"{_MODEL}/"): file
        for label, file in context.externals.items()
        if label.startswith(f"{_MODEL}/")
    }
    files = {n: file for n, file in context.externals.items() if not n.startswith(f"{_MODEL}/")}
    found = fine_tune(context, job_of(context.config.settings, files, model)).summary
    return StageReport(summary=found, headline=f"{found['metric']} {told_score(found)}")


def encoder_and_tokenizer(folder: Path) -> dict[str, Path]:
    """The files of a model folder that a fine-tuning reads.

    Raises:
        UserError: it is no model folder.
    """
    check_folder(folder)
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if is_of_encoder(path.name) or is_of_tokenizer(path.name)
    }


def _alone_files(folder: str, settings: FineTuningConfig) -> dict[str, StoredFile]:
    read = encoder_and_tokenizer(Path(folder))
    outside = {f"{_MODEL}/{name}": path for name, path in read.items()}
    outside |= data_files(settings, "--")
    return {label: outside_file(path) for label, path in outside.items()}


def alone(config: AloneConfig) -> Stage[AloneSlice]:
    """The stage that does one fine-tuning of a folder."""
    return Stage(
        name="finetune",
        number=FINETUNE.number,
        version=FINETUNE.version,
        needs=(),
        config=lambda _: AloneSlice(settings=config.settings),
        run=finetune_alone,
        externals=lambda _: _alone_files(config.model, config.settings),
    )


def estimate(config: Config, _size: CorpusSize) -> Estimate:
    """By the data, counted, and this machine's speed; every epoch of every choice."""
    model = planned_model(config)
    parameters = num_trained_parameters(model)
    works = [
        work_of(settings, data_files(settings, f"downstream.{number}."), model)
        for number, settings in enumerate(config.downstream)
    ]
    speeds = {kind: matmul_flops(kind) * _SHARE for kind in {work.precision for work in works}}
    step_seconds = _STEP_SECONDS + _WEIGHT_SECONDS * parameters
    seconds = sum(
        work.seconds + work.steps * step_seconds + work.operations / speeds[work.precision]
        for work in works
    )
    return {
        "examples": sum(work.examples for work in works),
        "tokens": sum(work.tokens for work in works),
        "disk_bytes": 3 * 12 * parameters,
        "kept_bytes": 4 * parameters * len(config.downstream),
        "memory_bytes": 18 * parameters + 1_000_000_000,
        "seconds": round(seconds, 1),
    }


FINETUNE = Stage(
    name="finetune",
    number=8,
    version=11,
    needs=("pretrain", "tokenizer", "clean"),
    config=lambda config: DownstreamSlice(
        downstream=config.downstream, contamination=config.evaluate.contamination
    ),
    run=finetune,
    externals=lambda slice_: downstream_files(slice_.downstream),
    check=lambda config: check_downstream(config.downstream),
    estimate=estimate,
)
