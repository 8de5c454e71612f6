"""The encoder's shape, from the preset and the sizes that the config gives."""

from typing import TYPE_CHECKING, Any

from tasks.artifacts import PackedText, TrainedTokenizer
from tasks.config import ModelSection
from tasks.engine.stage import StageContext
from tasks.errors import UserError

if TYPE_CHECKING:
    from roberta_model.config import ModelConfig


def model_config(context: StageContext[Any]) -> "ModelConfig | None":
    """The encoder to train from its first weights on; None with `model.from`.

    Raises:
        UserError: the sizes do not fit each other, or the packed rows.
    """
    section: ModelSection = context.config.model
    if section.source_folder is not None:
        return None
    from roberta_model.config import ModelConfig

    row_tokens = PackedText.of(context).row_tokens
    try:
        config = ModelConfig(
            vocab_size=TrainedTokenizer.of(context).vocab_size,
            max_row_tokens=section.max_row_tokens or row_tokens,
            initializer_range=section.first_weights.initializer_range,
            **vars(section.shape),
        )
    except ValueError as problem:
        raise UserError(f"model: {problem}. Change model.num_heads or model.width.") from problem
    check_fit(section, config, row_tokens)
    return config


def check_fit(section: ModelSection, config: "ModelConfig", row_tokens: int) -> None:
    """Refuse a shape that cannot begin as asked, or cannot read the rows.

    Raises:
        UserError: names the field.
    """
    if section.first_weights.start == "local" and config.width // config.num_heads < 2:
        raise UserError(
            "model.start: local needs heads at least 2 wide. Lower model.num_heads, or set "
            "model.start: plain."
        )
    if config.max_row_tokens < row_tokens:
        raise UserError(
            f"model.max_row_tokens is {config.max_row_tokens}, but the packed rows have "
            f"{row_tokens} tokens. Raise it, or lower pack.row_tokens."
        )
