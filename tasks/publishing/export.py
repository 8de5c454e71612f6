"""Copying a model folder so that what arrives is known to load in stock `transformers`."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from tasks.errors import RobertaError, UserError
from tasks.publishing.stock_check import check_against_stock

CHECK_TEXTS = (
    "The capital of France is<mask>.",
    "A longer sentence, with punctuation; numbers such as 1,024 and a second clause.",
    "Grüße, 世界! Привет, мир.",
)


def export_folder(model: Path, target: Path) -> dict[str, Any]:
    """Copy a model folder to a new place and check the copy against stock transformers.

    Returns `{"path", "files", "largest_difference"}`.

    Raises:
        UserError: there is no model folder, or the target holds something already.
        StageError: stock transformers does not agree; the target is not created.
    """
    if not (model / "config.json").is_file():
        raise UserError(
            f"{model}: this is no model folder, there is no config.json in it. Give the `model` "
            "folder of a run (see `roberta status`) or any Hugging Face RoBERTa folder."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: something is there already. Give a new or empty folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        files = sorted(path for path in model.iterdir() if path.is_file())
        for path in files:
            shutil.copyfile(path, staging / path.name)
        difference = check_against_stock(staging, CHECK_TEXTS)
        if target.exists():
            target.rmdir()
        staging.chmod(0o755)
        staging.rename(target)
    except RobertaError as problem:
        raise type(problem)(str(problem).replace(str(staging), str(model))) from problem
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {
        "path": str(target),
        "files": [path.name for path in files],
        "largest_difference": difference,
    }
