"""Model folders for stages and commands: `roberta_model.inference`, its refusals the user's.

What a library says as a ValueError is here a UserError, which ends a command with exit code 2.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.engine.units import StoredFile, UnitWork
from tasks.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from roberta_model.heads import RobertaWithHead
    from roberta_model.inference.loaded import LoadedModel
    from roberta_model.inference.reading import Reading
    from roberta_model.masked_lm import RobertaMaskedLM


def load_folder(folder: Path | str) -> tuple["RobertaMaskedLM", "Tokenizer"]:
    """Return (masked LM in evaluation mode, tokenizer) of a Hugging Face RoBERTa folder.

    Raises:
        UserError: The folder or a file is missing, is not a RoBERTa's, cannot be read, has another
            head, or the tokenizer does not fit the model.
    """
    from roberta_model.inference.folder import masked_lm_of, open_folder

    with refusals():
        return open_folder(Path(folder), masked_lm_of)


def check_folder(folder: Path) -> None:
    """Refuse what is no model folder, by the names of its files, before any work.

    Raises:
        UserError: There is no folder, no `config.json` in it, or no weights in safetensors.
    """
    from roberta_model.inference.folder import require_folder

    with refusals():
        require_folder(folder)


def check_fills_masks(folder: Path) -> None:
    """Refuse a folder that cannot be scored as a masked LM, before any work.

    Raises:
        UserError: It has another head, or what says so cannot be read.
    """
    from roberta_model.inference.folder import require_masked_lm

    try:
        with refusals():
            require_masked_lm(folder)
    except (ValueError, OSError) as problem:
        raise UserError(f"{problem}.") from problem


def load_folder_as_named(folder: Path | str) -> tuple["RobertaWithHead", "Tokenizer"]:
    """Return (model with the head that its `config.json` names, tokenizer), as load_folder does.

    Raises:
        UserError: As load_folder; or the head is none that we know.
    """
    from roberta_model.architectures import load_model
    from roberta_model.inference.folder import open_folder

    with refusals():
        return open_folder(Path(folder), load_model)


def load_tuned_folder(folder: Path) -> tuple["RobertaWithHead", "Tokenizer", "Reading"]:
    """Return (model with the head that its `config.json` names, tokenizer, what it reads).

    Raises:
        UserError: As `load_folder_as_named`; or no fine-tuning gives that head.
    """
    from roberta_model.architectures import load_model
    from roberta_model.inference.folder import open_folder
    from roberta_model.inference.reading import reading_of

    readings = []

    def load(place: Path) -> "RobertaWithHead":
        model = load_model(place)
        readings.append(reading_of(place, model.head_module, model.config.max_row_tokens))
        return model

    with refusals():
        model, tokenizer = open_folder(folder, load)
    return model, tokenizer, readings[-1]


def load_for_use(
    folder: Path | str, *, device: str | None = None, head: bool = True
) -> "LoadedModel":
    """Open a folder as `roberta_model.load` does; without `head` for its encoder alone.

    Raises:
        UserError: As load_folder.
    """
    from roberta_model.inference.loaded import open_model

    with refusals():
        return open_model(Path(folder), device, head=head)


def load_tokenizer(folder: Path | str) -> "Tokenizer":
    """Return the tokenizer of a folder as stock transformers has it, without truncation.

    Raises:
        UserError: There is none, it cannot be read, or it has no <mask>.
    """
    from roberta_model.inference.tokenizer import load_tokenizer as load

    with refusals():
        return load(Path(folder))


def linked_folder(work: UnitWork, files: Mapping[str, StoredFile], part: str = "model") -> Path:
    """A folder of links to stored files, beside a unit's own: for code that wants one folder."""
    folder = work.folder.with_name(f"{work.folder.name}-{part}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(file.local().resolve())
    return folder


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a model cannot be used for into a user's mistake."""
    from roberta_model.inference.unusable import UnusableError

    try:
        yield
    except UnusableError as problem:
        raise UserError(str(problem)) from problem
