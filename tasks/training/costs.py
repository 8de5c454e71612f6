"""What a training costs: parameters, disk for its checkpoints, memory, and time."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.config import Config
from tasks.costs import CorpusSize, Estimate
from tasks.errors import UserError
from tasks.training.shape import check_fit

if TYPE_CHECKING:
    from roberta_model.config import ModelConfig

_BYTES_PER_TOKEN = 4.2
TRAINING_SHARE = 0.5  # of the measured speed of matrix products that a training step reaches


def planned_model(config: Config) -> "ModelConfig":
    """The shape of the configured encoder, or of the model to continue from.

    Raises:
        UserError: `model.from` holds no model that can be read, or the sizes do not fit.
    """
    from roberta_model.config import ModelConfig

    section = config.model
    try:
        if section.source_folder is not None:
            from roberta_model.huggingface import check_shape
            from roberta_model.masked_lm import MaskedLMHead

            return check_shape(Path(os.path.expanduser(section.source_folder)), MaskedLMHead)
        return ModelConfig(
            vocab_size=config.tokenizer.vocab_size,
            max_row_tokens=section.max_row_tokens or config.pack.row_tokens,
            **vars(section.shape),
        )
    except ValueError as problem:
        raise UserError(f"model: {problem}. Change model.num_heads or model.width.") from problem


def check_training(config: Config) -> None:
    """What is wrong with a training can be known before there is any text for it.

    Raises:
        UserError: the sizes do not fit each other, or a file of `accelerate` is missing.
    """
    model, section = planned_model(config), config.model
    if section.source_folder is None:
        check_fit(section, model, config.pack.row_tokens)
    settings = config.engine.launch.accelerate_config
    if settings is not None and not os.path.isfile(os.path.expanduser(settings)):
        raise UserError(f"engine.launch.accelerate_config: there is no file {settings}.")


def missing_device(config: Config) -> str | None:
    """Why this machine cannot train as the config asks, or None.

    No error by itself: where the model is made already, nothing is trained.
    """
    if config.engine.launch.device != "gpu":
        return None
    import torch

    from roberta_model.training.process import NO_GPU

    return None if torch.cuda.is_available() else f"engine.launch.device: {NO_GPU}"


def num_trained_parameters(model: "ModelConfig") -> int:
    """Weights of what is pretrained: the encoder and a masked-LM head, whose decoder is tied."""
    head = model.width**2 + 3 * model.width + model.vocab_size
    return model.num_parameters + head


def training_disk_bytes(config: Config, model: "ModelConfig", steps: int | None) -> dict[str, int]:
    """Bytes on the disk of a training: at its height, and of what stays in the end.

    A checkpoint holds the fp32 weights and the optimiser's moments: two for each weight, one
    where Muon is. While the next one is written, the newest `keep_checkpoints` are there; in
    the end the last two, and a copy of the weights for the stages that follow.
    """
    recipe = config.pretrain
    weights = 4 * num_trained_parameters(model)
    moments = 2 * weights
    if recipe.optimizer.kind == "muon":
        moments -= 4 * model.num_matrix_parameters
    every, checkpoint = recipe.checkpoint_steps, weights + moments
    # `minutes` are not measured yet: assume that there are as many as are kept.
    num_written = recipe.keep_checkpoints + 1 if steps is None else -(-steps // every)
    at_once = min(recipe.keep_checkpoints + 1, num_written) * checkpoint
    stays = min(2, num_written) * checkpoint + weights
    counted = config.model.source_folder is None and config.model.first_weights.embeddings == "svd"
    vectors = 4 * model.vocab_size * model.width if counted else 0
    return {"disk_bytes": max(at_once, stays) + vectors, "kept_bytes": stays + vectors}


def cost_of_training(config: Config, size: CorpusSize) -> Estimate:
    """The cost of the configured steps or epochs, by this machine's matrix products."""
    model = planned_model(config)
    parameters = num_trained_parameters(model)
    row_tokens = config.pack.row_tokens
    rows = max(1, int(size["bytes"] / _BYTES_PER_TOKEN / row_tokens))
    recipe = config.pretrain
    steps = recipe.num_steps(rows)
    tokens = (steps or 0) * recipe.batch_rows * row_tokens
    seconds = 6 * parameters * tokens / (matmul_flops(recipe.precision) * TRAINING_SHARE)
    if recipe.minutes is not None:
        seconds = recipe.minutes * 60
    return {
        "steps": steps,
        "tokens": tokens,
        "parameters": parameters,
        **training_disk_bytes(config, model, steps),
        "memory_bytes": 18 * parameters + 1_000_000_000,
        "seconds": round(5 + seconds, 1),
    }


def matmul_flops(precision: str, device: str = "cpu") -> float:
    """Floating-point operations a second of a device's matrix products, in half a second."""
    import torch

    from roberta_model.training.precision import compute_type

    place = torch.device(device)
    size, runs = (1024 if device == "cpu" else 8192), 0
    # In the type that training will use: where bf16 is emulated it is 200 times slower.
    kind = compute_type(precision, place)
    left, right = torch.randn(2, size, size, device=place).to(kind)
    float((left @ right)[0, 0])  # waits for it
    start = time.perf_counter()
    while time.perf_counter() - start < 0.3:
        float((left @ right)[0, 0])
        runs += 1
    return 2 * size**3 * runs / (time.perf_counter() - start)
