"""What is trained: the encoder, its masking, its loss and its training loop; and its use.

    from roberta_model import load

    model = load("artifacts/latest/model")
    model.fill_mask("The capital of France is <mask>.")

`docs/using-the-model.md` shows the rest. Importing this package imports nothing else.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roberta_model.inference.loaded import LoadedModel

__all__ = ["load"]


def load(folder: Path | str, device: str | None = None) -> "LoadedModel":
    """Open any Hugging Face RoBERTa folder, to fill masks, score, embed, classify, tag or answer.

    Args:
        folder: Ours or anybody's: `config.json`, safetensors in one file or several, a tokenizer.
        device: As torch names it, such as `cpu` or `cuda:1`; None is the GPU where there is one.

    Raises:
        UnusableError: A ValueError. The folder or a file is missing, is not a RoBERTa's, or cannot
            be read; the message says which and what to do.
    """
    from roberta_model.inference.loaded import open_model

    return open_model(Path(folder), device)
