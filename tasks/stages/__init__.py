"""The stages, in the order the data passes through them.

download ──▶ clean ──▶ tokenizer ──▶ pack ──▶ pretrain ──▶ evaluate ──▶ publish ──▶ finetune

The last one is there only where a config has something in `downstream`.
"""

from importlib import import_module
from typing import Any

from tasks.config import Config
from tasks.engine.stage import Stage
from tasks.errors import UserError

# Each stage's number in the store, which it keeps wherever it stands, and where it is. They are
# imported on demand: each brings the libraries of its own work with it.
_PLACES = {
    "download": (1, "download_corpus", "DOWNLOAD"),
    "clean": (2, "clean_text", "CLEAN"),
    "tokenizer": (3, "train_tokenizer", "TOKENIZER"),
    "pack": (4, "pack_rows", "PACK"),
    "pretrain": (5, "pretrain_model", "PRETRAIN"),
    "evaluate": (6, "evaluate_model", "EVALUATE"),
    "publish": (7, "publish_model", "PUBLISH"),
    "finetune": (8, "finetune_model", "FINETUNE"),
}
_SUITE_NUMBER = 6  # beside `evaluate`

FINE_TUNING = "finetune"
"""The last stage, which not every config asks for."""

KNOWN_STAGES = tuple(_PLACES)
STAGE_NAMES = tuple(name for name in KNOWN_STAGES if name != FINE_TUNING)
"""The stages of every config."""

SUITE = "suite"
"""A suite asked of a model folder, which no pipeline does: `evaluate_suite`."""

STORED = (*KNOWN_STAGES, SUITE)
"""All that makes artifacts."""


def _check(name: str) -> None:
    if name not in _PLACES:
        raise UserError(f"{name}: there is no such stage. Stages: {', '.join(KNOWN_STAGES)}.")


def get_stage(name: str) -> Stage[Any]:
    """The stage of that name.

    Raises:
        UserError: there is no such stage.
    """
    _check(name)
    _, module, constant = _PLACES[name]
    stage = getattr(import_module(f"tasks.stages.{module}"), constant)
    assert isinstance(stage, Stage)
    return stage


def stage_names(config: Config, until: str | None = None) -> tuple[str, ...]:
    """The names of the stages that a config asks for, in order, up to and with `until`.

    Raises:
        UserError: there is no such stage, or the config does not ask for it.
    """
    names = KNOWN_STAGES if config.downstream else STAGE_NAMES
    if until is None:
        return names
    _check(until)
    if until not in names:
        raise UserError(f"{until}: this config has nothing in `downstream`, so there is none.")
    return names[: names.index(until) + 1]


def stage_folder(name: str) -> str:
    """Where a stage's artifacts lie in a store, such as `4-pack`; imports nothing.

    Raises:
        UserError: there is no such stage.
    """
    if name == SUITE:
        return f"{_SUITE_NUMBER}-{name}"
    _check(name)
    return f"{_PLACES[name][0]}-{name}"


def check_outside(config: Config, until: str | None = None) -> None:
    """Look for what would fail in any stage, before the first one runs for hours.

    That the sources' files are there is looked at; reading them is left to the first stage.

    Raises:
        UserError: something that the config names is missing or cannot be read, or what it asks
            of a stage cannot be done.
    """
    for stage in all_stages(config, until):
        stage.check(config)
        if stage.needs:
            stage.externals(stage.config(config))


def all_stages(config: Config, until: str | None = None) -> list[Stage[Any]]:
    """The stages that a config asks for, in order, up to and with `until`."""
    return [get_stage(name) for name in stage_names(config, until)]
