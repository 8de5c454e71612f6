"""A model folder, opened: weights in our model, and the tokenizer beside them.

    config.json, model.safetensors (or its shards) ──▶ the encoder, with the head that is wanted
    tokenizer.json, or vocab.json with merges.txt  ──▶ tokenizers.Tokenizer

Only data formats are read (JSON, text, safetensors): opening a stranger's folder never runs
code from it, so pickled weights (pytorch_model.bin) are refused with the way to convert them.
"""

import difflib
import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from roberta_model.architectures import HEADS
from roberta_model.encoder import Encoder
from roberta_model.huggingface import load_encoder, load_with_head, read_config
from roberta_model.inference.one_state import read_in_one_state
from roberta_model.inference.tokenizer import TRIAL, load_tokenizer
from roberta_model.inference.unusable import UnusableError
from roberta_model.masked_lm import MaskedLMHead, RobertaMaskedLM, load_masked_lm
from roberta_model.weight_files import WeightFiles, weight_files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Model = TypeVar("Model", bound=Encoder)

_DECODER_BIAS = ("lm_head.bias", "lm_head.decoder.bias")


def open_folder(folder: Path, load: Callable[[Path], Model]) -> "tuple[Model, Tokenizer]":
    """Return (model in evaluation mode, tokenizer) of a Hugging Face RoBERTa folder.

    Both are of one state of it, should a newer one get its name meanwhile.

    Args:
        folder: The place.
        load: What reads the weights of it, and whatever else goes with them; it may be called
            again.

    Raises:
        UnusableError: The folder or a file is missing, is not a RoBERTa's, cannot be read, or the
            tokenizer does not fit the model.
    """
    return read_in_one_state(folder, lambda: _opened(folder, load))


def _opened(folder: Path, load: Callable[[Path], Model]) -> "tuple[Model, Tokenizer]":
    require_folder(folder)
    tokenizer = load_tokenizer(folder)
    try:
        model = load(folder)
    except UnusableError:
        raise
    except (ValueError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno == errno.ENOMEM:
            raise  # of the machine, not of the folder
        raise UnusableError(f"{folder}: the model cannot be loaded: {problem}") from problem
    # What it puts around a text need not be in its vocabulary.
    ids = {*tokenizer.get_vocab().values(), *tokenizer.encode(TRIAL).ids}
    known, sized = max(ids) + 1, model.config.vocab_size
    if known > sized:
        raise UnusableError(
            f"{folder}: the tokenizer has ids up to {known - 1} but the model only {sized} tokens, "
            "so they do not belong together. Put the tokenizer the model was trained with into the "
            "folder."
        )
    return model.eval(), tokenizer


def move_to_device(model: Encoder, device: str | None = None) -> None:
    """Move a model to a device as torch names it; without one to the GPU where there is one.

    Raises:
        UnusableError: There is no such device.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        model.to(name)
    except RuntimeError as problem:
        told = str(problem).strip().split("\n")[0]
        raise UnusableError(f"There is no device {name!r} here: {told}") from problem


def require_folder(folder: Path) -> None:
    """Refuse what is no model folder, by the names of its files.

    Raises:
        UnusableError: There is no folder, no `config.json` in it, or no weights in safetensors.
    """
    is_folder = folder.is_dir()
    if not is_folder or not (folder / "config.json").is_file():
        raise UnusableError(
            f"{folder}: this is no model folder, "
            f"{'there is no config.json in it' if is_folder else 'it is not a folder'}. Give the "
            f"`model` folder of a run or any Hugging Face RoBERTa folder.{_meant(folder)}"
        )
    try:
        weight_files(folder)
    except (ValueError, OSError) as problem:
        raise UnusableError(f"{problem}.") from problem


def masked_lm_of(folder: Path) -> RobertaMaskedLM:
    """Read a folder as a masked LM, whatever head its `config.json` names, if it has the weights.

    Raises:
        UnusableError: It has another head and not this one.
        ValueError: As `load_masked_lm`.
    """
    require_masked_lm(folder)
    return load_masked_lm(folder)


def require_masked_lm(folder: Path) -> None:
    """Refuse a folder that has no masked LM's head, by its `config.json` and the weights' names.

    Raises:
        UnusableError: It has another head and not this one.
        ValueError: Either cannot be read.
    """
    named = named_head(folder)
    if named != MaskedLMHead.architecture and not has_masked_lm(folder):
        raise UnusableError(wrong_head(folder, named, MaskedLMHead.architecture))


def model_of(folder: Path) -> tuple[Encoder, str]:
    """Read a folder with the head that it names, or as an encoder where we have no such head.

    Returns the model, and what its head is called; old folders that name none are masked LMs if
    they have the weights of one.

    Raises:
        ValueError: Weights are missing, of other shapes, or not in safetensors.
    """
    named = named_head(folder)
    if named is None and has_masked_lm(folder):
        named = MaskedLMHead.architecture
    if named is not None and named in HEADS:
        return load_with_head(folder, HEADS[named]), named
    return load_encoder(folder), named or "RobertaModel"


def named_head(folder: Path) -> str | None:
    """The one architecture that a folder's `config.json` names, if it does."""
    named = read_config(folder).get("architectures")
    return str(named[0]) if isinstance(named, list) and len(named) == 1 else None


def has_masked_lm(folder: Path) -> bool:
    """Whether a folder has the weights of a masked LM's head."""
    with WeightFiles(folder) as files:
        return any(name in files for name in _DECODER_BIAS)


def wrong_head(folder: Path, named: str | None, wanted: str) -> str:
    """What to say of a folder whose head is of another kind than what is asked needs."""
    use = {
        MaskedLMHead.architecture: "the folder of the pretrained model, which fills masks and "
        "scores",
        "RobertaForSequenceClassification": "the folder of a model fine-tuned to classify texts",
        "RobertaForTokenClassification": "the folder of a model fine-tuned to tag words",
        "RobertaForQuestionAnswering": "the folder of a model fine-tuned to answer questions",
    }
    kind = "encoder without a head" if named in (None, "RobertaModel") else str(named)
    is_tuned = named in HEADS and named != MaskedLMHead.architecture
    as_it_is = "`roberta predict` uses this one; " if is_tuned else ""
    return (
        f"{folder}: this is a {kind}, and a {wanted} is needed. Give {use[wanted]}; {as_it_is}"
        "texts can be embedded with any."
    )


def _meant(folder: Path) -> str:
    """The model folder within it, or beside it and called most like it, as a question; or ""."""
    if (folder / "model" / "config.json").is_file():
        return f" Did you mean {folder / 'model'}?"
    with suppress(OSError):
        beside = [each.name for each in folder.parent.iterdir() if (each / "config.json").is_file()]
        for close in difflib.get_close_matches(folder.name, sorted(beside), n=1):
            return f" Did you mean {folder.with_name(close)}?"
    return ""
