"""The files of a model folder by what they hold, and a fine-tuned folder written from them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tasks.engine.units import StoredFile
from tasks.finetuning.encoding import ItemEncoder
from tasks.inference.model_folder import load_tokenizer

_WEIGHTS = (".safetensors", ".safetensors.index.json")
_OF_TEXT = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt"),
)


def is_of_encoder(name: str) -> bool:
    """Whether a file of a model folder holds weights or their shape."""
    return name == "config.json" or name.endswith(_WEIGHTS)


def is_of_tokenizer(name: str) -> bool:
    """Whether a file of a model folder says how text is read."""
    return name in _OF_TEXT


def write_folder(
    target: Path, tuned: Mapping[str, StoredFile], tokenizer: Mapping[str, StoredFile], of: Path
) -> None:
    """Copy weights, config and tokenizer into a folder that stock loads.

    Its tokenizer puts <s> and </s> around a text, as the model has learnt it.

    Args:
        target: The folder; it exists.
        tuned: `config.json` and weights.
        tokenizer: The files of the pretrained folder that say how text is read.
        of: The pretrained folder itself.
    """
    for name, file in {**tokenizer, **tuned}.items():
        shutil.copyfile(file.local(), target / name)
    encoder = ItemEncoder(load_tokenizer(of), 8, 1)
    encoder.tokenizer.no_truncation()
    (target / "tokenizer.json").unlink(missing_ok=True)
    encoder.tokenizer.save(str(target / "tokenizer.json"))
    settings = target / "tokenizer_config.json"
    known = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    # Stock's own class builds its tokenizer anew, which comes to the same.
    known.setdefault("tokenizer_class", "RobertaTokenizer")
    text = json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    settings.write_text(text, encoding="utf-8")
