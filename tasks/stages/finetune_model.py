"""finetune: the pretrained encoder, taught each task of `downstream`.

    encoder, labelled data ──▶ a training for each choice ──▶ the best ──▶ <name>/model, its scores

The same stage does one fine-tuning alone, of any RoBERTa folder: that is `roberta finetune`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tasks.artifacts import model_folder_files
from tasks.config import Config, EngineConfig, Section
from tasks.config.downstream import FineTuningConfig
from tasks.costs import CorpusSize, Estimate
from tasks.engine.outside import outside_file
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.finetuning.folders import is_of_encoder, is_of_tokenizer
from tasks.finetuning.items import find_columns, first_row
from tasks.finetuning.job import choices_of, fine_tune
from tasks.finetuning.plan import Job
from tasks.training.costs import (
    TRAINING_SHARE,
    matmul_flops,
    num_trained_parameters,
    planned_model,
)

_BYTES_A_TOKEN = 4.2
_MODEL = "model"  # the label of a model folder's files in the stage that stands alone


class DownstreamSlice(Section):
    """What of the config concerns this stage."""

    downstream: tuple[FineTuningConfig, ...]


class AloneConfig(Section):
    """One fine-tuning of a folder, without a pipeline."""

    model: str
    settings: FineTuningConfig
    engine: EngineConfig = EngineConfig()


class AloneSlice(Section):
    """Its identity: the settings; the folder's files are outside files."""

    settings: FineTuningConfig


def data_files(settings: FineTuningConfig, field: str) -> dict[str, Path]:
    """The files that a fine-tuning reads, by what they are for.

    Raises:
        UserError: one is not there.
    """
    named = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    named |= {f"predict/{number}": path for number, path in enumerate(settings.predict)}
    found = {}
    for part, name in named.items():
        if name is None:
            continue
        path = Path(os.path.expanduser(name))
        if not path.is_file():
            key = part.split("/")[0]
            raise UserError(f"{field}{key}: there is no file {path}. Correct the path.")
        found[part] = path
    return found


def downstream_files(slice_: DownstreamSlice) -> dict[str, StoredFile]:
    """The labelled data by task and part: they are part of this stage's identity."""
    return {
        f"{settings.name}/{part}": outside_file(path)
        for number, settings in enumerate(slice_.downstream)
        for part, path in data_files(settings, f"downstream.{number}.").items()
    }


def check_data(config: Config) -> None:
    """Refuse what could not be learnt, as far as the first rows tell.

    Raises:
        UserError: a file or a column is not there, or two tasks have one name.
    """
    names = [settings.name for settings in config.downstream]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"downstream: two tasks are called {name!r}. Give each its own name.")
    for number, settings in enumerate(config.downstream):
        check_columns(settings, f"downstream.{number}.")


def check_columns(settings: FineTuningConfig, field: str = "") -> None:
    """Refuse files whose first rows lack what the task needs.

    Raises:
        UserError: names the file and the columns it has.
    """
    for part, path in data_files(settings, field).items():
        where, row = first_row(path, settings.format)
        labelled = not part.startswith("predict")
        find_columns(settings.task, row, settings.columns, where, labelled=labelled)


def finetune(context: StageContext[DownstreamSlice]) -> StageReport:
    """Do every task of the config.

    Raises:
        UserError: data are not what a task needs.
        StageError: a training failed; its last checkpoint is kept.
    """
    model = model_folder_files(context)
    summary = {}
    for settings in context.config.downstream:
        prefix = f"{settings.name}/"
        files = {
            label.removeprefix(prefix): file
            for label, file in context.externals.items()
            if label.startswith(prefix)
        }
        summary[settings.name] = fine_tune(context, _job(settings, files, model, prefix))
    told = [f"{name} {_told(found)}" for name, found in summary.items()]
    figures = {f"{name}, {found['metric']}": _value(found) for name, found in summary.items()}
    return StageReport(summary={"tasks": summary}, headline=", ".join(told), figures=figures)


def finetune_alone(context: StageContext[AloneSlice]) -> StageReport:
    """Do one task on a folder of somebody's."""
    model = {
        label.removeprefix(f"{_MODEL}/"): file
        for label, file in context.externals.items()
        if label.startswith(f"{_MODEL}/")
    }
    files = {n: file for n, file in context.externals.items() if not n.startswith(f"{_MODEL}/")}
    found = fine_tune(context, _job(context.config.settings, files, model, ""))
    return StageReport(summary=found, headline=_told(found))


def _job(
    settings: FineTuningConfig,
    files: Mapping[str, StoredFile],
    model: Mapping[str, StoredFile],
    prefix: str,
) -> Job:
    return Job(settings, files, {part: file.url for part, file in files.items()}, model, prefix)


def _told(found: Mapping[str, object]) -> str:
    return f"{found['metric']} {_value(found)}"


def _value(found: Mapping[str, object]) -> str:
    """The deciding metric with its interval; on test where there is one."""
    scores = found["scores"]
    assert isinstance(scores, dict)
    part = "test" if "test" in scores else "dev"
    score = scores[part]["metrics"][found["metric"]]
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f} on {part})"


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model folder that a fine-tuning reads.

    Raises:
        UserError: it is no model folder.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: this is no model folder, there is no config.json in it. Give the `model` "
            "folder of a run (see `roberta status`) or any Hugging Face RoBERTa folder."
        )
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if is_of_encoder(path.name) or is_of_tokenizer(path.name)
    }


def _alone_files(folder: str, settings: FineTuningConfig) -> dict[str, StoredFile]:
    outside = {f"{_MODEL}/{name}": path for name, path in model_files(Path(folder)).items()}
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
    """By the bytes to learn from and this machine's speed; every epoch of every choice."""
    model = planned_model(config)
    parameters = num_trained_parameters(model)
    tokens = 0.0
    for number, settings in enumerate(config.downstream):
        num_bytes = data_files(settings, f"downstream.{number}.")["train"].stat().st_size
        tries = len(choices_of(settings, model.width)) + settings.seeds - 1
        tokens += tries * settings.epochs * num_bytes / _BYTES_A_TOKEN
    flops = 6 * model.num_matrix_parameters * tokens
    return {
        "tokens": int(tokens),
        "disk_bytes": 3 * 12 * parameters,
        "kept_bytes": 4 * parameters * len(config.downstream),
        "memory_bytes": 18 * parameters + 1_000_000_000,
        "seconds": round(10 + flops / (matmul_flops("auto") * TRAINING_SHARE), 1),
    }


FINETUNE = Stage(
    name="finetune",
    number=8,
    version=1,
    needs=("pretrain", "tokenizer"),
    config=lambda config: DownstreamSlice(downstream=config.downstream),
    run=finetune,
    externals=downstream_files,
    check=check_data,
    estimate=estimate,
)
