"""How likely a model finds each line of a text, for stages and commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.inference.model_folder import load_for_use, refusals

if TYPE_CHECKING:
    from roberta_model.inference.likelihood import LineScore


def score_lines(
    folder: Path | str, lines: Sequence[str], device: str | None = "cpu"
) -> list["LineScore"]:
    """Return the score of each line, in order; see `LoadedModel.score`.

    Args:
        folder: Any Hugging Face RoBERTa folder.
        lines: The texts, without line ends.
        device: As torch names it; None is the GPU where there is one.

    Raises:
        UserError: A line is longer than the model's positions (names it), or the folder cannot
            be loaded.
    """
    with refusals():
        return load_for_use(folder, device=device).score(lines)
