"""The stages, in the order the data passes through them.

download ──▶ clean ──▶ tokenizer ──▶ pack ──▶ pretrain ──▶ evaluate ──▶ publish
"""

from importlib import import_module
from typing import Any

from tasks.engine.stage import Stage
from tasks.errors import UserError

# Imported on demand: each brings the libraries of its own work with it.
_PLACES = {
    "download": ("download_corpus", "DOWNLOAD"),
    "clean": ("clean_text", "CLEAN"),
    "tokenizer": ("train_tokenizer", "TOKENIZER"),
    "pack": ("pack_rows", "PACK"),
    "pretrain": ("pretrain_model", "PRETRAIN"),
    "evaluate": ("evaluate_model", "EVALUATE"),
    "publish": ("publish_model", "PUBLISH"),
}

STAGE_NAMES = tuple(_PLACES)


def get_stage(name: str) -> Stage[Any]:
    """The stage of that name.

    Raises:
        UserError: there is no such stage.
    """
    if name not in _PLACES:
        raise UserError(f"{name}: there is no such stage. Stages: {', '.join(STAGE_NAMES)}.")
    module, constant = _PLACES[name]
    stage = getattr(import_module(f"tasks.stages.{module}"), constant)
    assert isinstance(stage, Stage)
    return stage


def all_stages(until: str | None = None) -> list[Stage[Any]]:
    """The stages in order, up to and with `until`."""
    last = STAGE_NAMES[-1] if until is None else get_stage(until).name
    return [get_stage(name) for name in STAGE_NAMES[: STAGE_NAMES.index(last) + 1]]
