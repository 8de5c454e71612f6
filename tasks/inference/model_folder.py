"""A model folder, opened: weights in our model, and the tokenizer beside them.

    config.json, model.safetensors ──▶ RobertaMaskedLM, or the model that it names
    tokenizer.json, or vocab.json with merges.txt ──▶ tokenizers.Tokenizer

Only data formats are read (JSON, text, safetensors): opening a stranger's folder never runs
code from it, so pickled weights (pytorch_model.bin) are refused with the way to convert them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from roberta_model.heads import RobertaWithHead
    from roberta_model.masked_lm import RobertaMaskedLM

Model = TypeVar("Model", bound="RobertaWithHead")

MASK = "<mask>"
_TRIAL = f"A {MASK} is filled."
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
    # What it puts around a text need not be in its vocabulary.
    ids = {*tokenizer.get_vocab().values(), *tokenizer.encode(_TRIAL).ids}
    known, sized = max(ids) + 1, model.config.vocab_size
    if known > sized:
        raise UserError(
            f"{place}: the tokenizer has ids up to {known - 1} but the model only {sized} tokens, "
            "so they do not belong together. Put the tokenizer the model was trained with into the "
            "folder."
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
        tokenizer.no_truncation()
        tokenizer.no_padding()  # before anything is encoded: it may ask for any length
        tokenizer.encode(_TRIAL)
    except (UserError, KeyboardInterrupt):
        raise
    # tokenizers raises bare Exception for whatever is wrong, and lets its own panics through.
    except BaseException as problem:
        raise UserError(f"{place}: the tokenizer cannot be read: {problem}") from problem
    ids = tokenizer.get_vocab()
    if MASK not in ids:
        raise UserError(
            f"{place}: the tokenizer has no {MASK} token, so this is not a RoBERTa folder."
        )
    if len(set(ids.values())) < len(ids):
        raise UserError(
            f"{place}: the tokenizer gives one id to several tokens, so what an id means cannot be "
            "told. Put the tokenizer the model was trained with into the folder."
        )
    return tokenizer


def _require_files(place: Path) -> None:
    if not place.is_dir():
        raise UserError(f"{place} is not a folder. Give a run's model folder or any RoBERTa's.")
    if not (place / "config.json").is_file():
        raise UserError(f"{place} has no config.json, so it is not a Hugging Face model folder.")
    from roberta_model.weight_files import weight_files

    try:
        weight_files(place)
    except (ValueError, OSError) as problem:
        raise UserError(f"{problem}.") from problem


def _from_merges(place: Path) -> "Tokenizer":
    """Build the tokenizer from vocab.json and merges.txt, as stock RobertaTokenizer does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = place / "vocab.json", place / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise UserError(
            f"{place} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt."
        )
    from roberta_model.weight_files import read_json

    settings = place / "tokenizer_config.json"
    told = read_json(settings) if settings.is_file() else {}
    prefix = bool(told.get("add_prefix_space", False))
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
