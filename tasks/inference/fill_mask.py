"""The most likely tokens in place of each <mask>, for stages and commands."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.inference.model_folder import load_for_use, refusals

if TYPE_CHECKING:
    from roberta_model.inference.masks import Guess


def fill_mask(
    folder: Path | str, text: str, top: int = 5, device: str | None = "cpu"
) -> list[list["Guess"]]:
    """Return the `top` guesses for each mask of a text, the likeliest first.

    Args:
        folder: Any Hugging Face RoBERTa folder.
        text: Holds one or more <mask>; [MASK], as BERT spells it, is read as the same.
        top: How many guesses for each mask; at most the whole vocabulary.
        device: As torch names it; None is the GPU where there is one.

    Raises:
        UserError: No mask in the text, the text is longer than the model's positions, top is
            not positive, or the folder cannot be loaded.
    """
    with refusals():
        return load_for_use(folder, device=device).fill_mask(text, top)
