"""The tokenizer of a model folder, as stock `transformers` has it.

tokenizer.json, or vocab.json with merges.txt ──▶ tokenizers.Tokenizer
"""

from pathlib import Path
from typing import TYPE_CHECKING

from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS
from roberta_model.inference.unusable import UnusableError
from roberta_model.weight_files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TRIAL = f"A {MASK} is filled."


def load_tokenizer(folder: Path) -> "Tokenizer":
    """Return the tokenizer of a folder as stock transformers has it, without truncation.

    Raises:
        UnusableError: There is none, it cannot be read, or it has no <mask>.
    """
    from tokenizers import Tokenizer

    whole = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(whole)) if whole.is_file() else _from_merges(folder)
        tokenizer.no_truncation()
        tokenizer.no_padding()  # before anything is encoded: it may ask for any length
        tokenizer.encode(TRIAL)
    except (UnusableError, KeyboardInterrupt):
        raise
    # tokenizers raises bare Exception for whatever is wrong, and lets its own panics through.
    except BaseException as problem:
        raise UnusableError(f"{folder}: the tokenizer cannot be read: {problem}") from problem
    ids = tokenizer.get_vocab()
    if MASK not in ids:
        raise UnusableError(
            f"{folder}: the tokenizer has no {MASK} token, so this is not a RoBERTa folder."
        )
    if len(set(ids.values())) < len(ids):
        raise UnusableError(
            f"{folder}: the tokenizer gives one id to several tokens, so what an id means cannot "
            "be told. Put the tokenizer the model was trained with into the folder."
        )
    return tokenizer


def _from_merges(folder: Path) -> "Tokenizer":
    """Build the tokenizer from vocab.json and merges.txt, as stock RobertaTokenizer does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (vocabulary.is_file() and merges.is_file()):
        raise UnusableError(
            f"{folder} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt."
        )
    settings = folder / "tokenizer_config.json"
    told = read_json(settings) if settings.is_file() else {}
    prefix = bool(told.get("add_prefix_space", False))
    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    known = tokenizer.get_vocab()
    if missing := [token for token in (*SPECIAL_TOKENS, MASK) if token not in known]:
        raise UnusableError(
            f"{vocabulary} lacks {', '.join(missing)}; this is not a RoBERTa folder."
        )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_special_tokens([AddedToken(MASK, lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", known["</s>"]), ("<s>", known["<s>"]), add_prefix_space=prefix
    )
    return tokenizer
