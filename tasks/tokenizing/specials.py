"""Model folders whose tokenizer puts no `<s>` and `</s>` around a text.

Rows packed with `special_tokens: none` never hold them, so their embeddings are untrained and
a text must be read without them. What adds them is the post-processor in `tokenizer.json`.
Stock's RobertaTokenizer ignores that file's and builds one of its own, which adds them always;
the class PreTrainedTokenizerFast takes the file as it is, so the folder names that one.
"""

import json
from pathlib import Path
from typing import Any


def leave_out_specials(folder: Path) -> None:
    """Make a folder's tokenizer add no special tokens, in stock transformers and for us.

    The two files that say so are replaced, never written into: they may be links.
    """
    tokenizer = _read(folder / "tokenizer.json")
    tokenizer["post_processor"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    _replace(folder / "tokenizer.json", json.dumps(tokenizer, ensure_ascii=False))
    settings = _read(folder / "tokenizer_config.json")
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    # In transformers 4 this class gives token types too; the model has none for a second text.
    settings["model_input_names"] = ["input_ids", "attention_mask"]
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    _replace(folder / "tokenizer_config.json", text)


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _replace(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text, encoding="utf-8")
