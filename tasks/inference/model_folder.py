"""A model folder, opened: weights in our model, and the tokenizer beside them.

    config.json, model.safetensors ──▶ RobertaMaskedLM, or the model that it names
    tokenizer.json, or vocab.json with merges.txt ──▶ tokenizers.Tokenizer

Only data formats are read (JSON, text, safetensors): opening a stranger's folder never runs
code from it, so pickled weights (pytorch_model.bin) are refused with the way to convert them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tasks.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from roberta_model.heads import RobertaWithHead
    from roberta_model.masked_lm import RobertaMaskedLM

Model = TypeVar("Model", bound="RobertaWithHead")

MASK = "<mask>"
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")


def load_folder(folder: Path | str) -> tuple["RobertaMaskedLM", "Tokenizer"]:
    """Return (masked LM in evaluation mode, tokenizer) of a Hugging Face RoBERTa folder.

    Raises:
        UserError: The folder or a file is missing, is not a RoBERTa's, cannot be read, or the
            tokenizer does not fit the model.
    """
    from roberta_model.masked_lm import load_masked_lm

    return _open(Path(folder), load_masked_lm)


def load_folder_as_named(folder: Path | str) -> tuple["RobertaWithHead", "Tokenizer"]:
    """Return (model with the head that its `config.json` names, tokenizer), as load_folder does.

    Raises:
        UserError: As load_folder; or the head is none that we know.
    """
    from roberta_model.architectures import load_model

    return _open(Path(folder), load_model)


def _open(place: Path, load: Callable[[Path], "Model"]) -> tuple["Model", "Tokenizer"]:
    _require_files(place)
    tokenizer = load_tokenizer(place)
    try:
        model = load(place)
    except (ValueError, OSError) as problem:
        raise UserError(f"{place}: the model cannot be loaded: {problem}") from problem
    known, sized = tokenizer.get_vocab_size(with_added_tokens=True), model.config.vocab_size
    if known > sized:
        raise UserError(
            f"{place}: the tokenizer has {known} tokens but the model only {sized}, so they do "
            "not belong together. Put the tokenizer the model was trained with into the folder."
        )
    return model.eval(), tokenizer


def load_tokenizer(folder: Path | str) -> "Tokenizer":
    """Return the tokenizer of a folder as stock transformers has it, without truncation.

    Raises:
        UserError: There is none, it cannot be read, or it has no <mask>.
    """
    from tokenizers import Tokenizer

    place = Path(folder)
    whole = place / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(whole)) if whole.is_file() else _from_merges(place)
    except UserError:
        raise
    except Exception as problem:  # tokenizers raises bare Exception for whatever is wrong
        raise UserError(f"{place}: the tokenizer cannot be read: {problem}") from problem
    if tokenizer.token_to_id(MASK) is None:
        raise UserError(
            f"{place}: the tokenizer has no {MASK} token, so this is not a RoBERTa folder."
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _require_files(place: Path) -> None:
    if not place.is_dir():
        raise UserError(f"{place} is not a folder. Give a run's model folder or any RoBERTa's.")
    if not (place / "config.json").is_file():
        raise UserError(f"{place} has no config.json, so it is not a Hugging Face model folder.")
    if (place / "model.safetensors").is_file():
        return
    if (place / "pytorch_model.bin").is_file():
        raise UserError(
            f"{place} has only pytorch_model.bin, a pickle, which may run code when it is read. "
            "Save the model once with stock transformers (save_pretrained writes "
            "model.safetensors) and use that folder."
        )
    if (place / "model.safetensors.index.json").is_file():
        raise UserError(
            f"{place} holds its weights in several files. Save the model once with stock "
            "transformers (save_pretrained with a larger max_shard_size) and use that folder."
        )
    raise UserError(f"{place} has no model.safetensors, so there are no weights to load.")


def _from_merges(place: Path) -> "Tokenizer":
    """Build the tokenizer from vocab.json and merges.txt, as stock RobertaTokenizer does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = place / "vocab.json", place / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise UserError(
            f"{place} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt."
        )
    prefix = bool(_json_object(place / "tokenizer_config.json").get("add_prefix_space", False))
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    known = tokenizer.get_vocab()
    if missing := [token for token in (*SPECIAL_TOKENS, MASK) if token not in known]:
        raise UserError(f"{vocabulary} lacks {', '.join(missing)}; this is not a RoBERTa folder.")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_special_tokens([AddedToken(MASK, lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", known["</s>"]), ("<s>", known["<s>"]), add_prefix_space=prefix
    )
    return tokenizer


def _json_object(path: Path) -> dict[str, Any]:
    """Return a small JSON file's object; an absent file is an empty one."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise UserError(f"{path} is not JSON: {problem}") from problem
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object.")
    return value
