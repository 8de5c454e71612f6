"""The stages, in the order the data passes through them.

download ──▶ clean ──▶ tokenizer ──▶ pack ──▶ pretrain ──▶ evaluate ──▶ publish
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
}

STAGE_NAMES = tuple(_PLACES)


def _check(name: str) -> None:
    if name not in _PLACES:
        raise UserError(f"{name}: there is no such stage. Stages: {', '.join(STAGE_NAMES)}.")


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


def stage_names(until: str | None = None) -> tuple[str, ...]:
    """The stages' names in order, up to and with `until`.

    Raises:
        UserError: there is no such stage.
    """
    if until is None:
        return STAGE_NAMES
    _check(until)
    return STAGE_NAMES[: STAGE_NAMES.index(until) + 1]


def stage_folder(name: str) -> str:
    """Where a stage's artifacts lie in a store, such as `4-pack`; imports nothing.

    Raises:
        UserError: there is no such stage.
    """
    _check(name)
    return f"{_PLACES[name][0]}-{name}"


def check_outside(config: Config, until: str | None = None) -> None:
    """Look for what would fail in any stage, before the first one runs for hours.

    The sources' own files are left to the first stage, which looks for them at once.

    Raises:
        UserError: something that the config names is missing or cannot be read, or what it asks
            of a stage cannot be done.
    """
    for stage in all_stages(until):
        stage.check(config)
        if stage.needs:
            stage.externals(stage.config(config))


def all_stages(until: str | None = None) -> list[Stage[Any]]:
    """The stages in order, up to and with `until`."""
    return [get_stage(name) for name in stage_names(until)]
