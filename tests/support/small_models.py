"""Random models in both codebases, random rows, and trainings small enough for a test.

Weights are drawn for every parameter, biases and norms too: with stock's zero biases and unit
norms, code that forgets one of them would look right.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import RobertaConfig, RobertaForMaskedLM

from roberta_model.config import PRESETS, ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.training.loop import StepResult, Training
from roberta_model.training.spec import TrainingSpec
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows

PAD = 1
SPECIAL_IDS = (0, 1, 2, 3)


def small_config(vocab_size: int = 160, **changes: Any) -> ModelConfig:
    """A 2-layer encoder of width 32 for rows of at most 24 tokens."""
    sizes = {"num_layers": 2, "width": 32, "num_heads": 4, "feedforward_width": 48}
    return ModelConfig(vocab_size=vocab_size, **{**sizes, "max_row_tokens": 24, **changes})


def preset_config(preset: str, vocab_size: int, max_row_tokens: int) -> ModelConfig:
    """A named preset with a small vocabulary."""
    return ModelConfig(vocab_size, max_row_tokens=max_row_tokens, **vars(PRESETS[preset]))


def draw_weights(model: torch.nn.Module, seed: int = 0) -> None:
    """Fill every parameter, biases and norms too, with numbers that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.empty(parameter.shape).normal_(0, 1, generator=generator)
            is_norm = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.06 * noise)


def our_model(config: ModelConfig, seed: int = 0) -> RobertaMaskedLM:
    """One of our models with drawn weights, in evaluation mode."""
    model = RobertaMaskedLM(config)
    draw_weights(model, seed)
    return model.eval()


def stock_model(config: ModelConfig, seed: int = 0) -> RobertaForMaskedLM:
    """A stock model, from nothing but the public config, with drawn weights."""
    model = RobertaForMaskedLM(RobertaConfig(**config.to_huggingface()))
    draw_weights(model, seed)
    model.eval()
    return model


def stock_twin(model: RobertaMaskedLM, folder: Path) -> RobertaForMaskedLM:
    """The same weights as stock reads them from a folder that we wrote."""
    from roberta_model.huggingface import save_model

    save_model(model, folder)
    twin = RobertaForMaskedLM.from_pretrained(folder)
    twin.eval()
    return twin


def random_ids(
    shape: tuple[int, int], vocab_size: int, lengths: Sequence[int] | None = None, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Token ids from the fourth on, padded beyond each row's length; and the attention mask."""
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(4, vocab_size, shape, generator=generator)
    lengths_B = torch.tensor([shape[1]] * shape[0] if lengths is None else lengths)
    mask_BT = torch.arange(shape[1]) < lengths_B[:, None]
    return ids_BT.masked_fill(~mask_BT, PAD), mask_BT.long()


def byte_tables(num_words: int = 100) -> MaskingTables:
    """Tables of a vocabulary: 4 special tokens, all bytes, some words, <mask> last."""
    letters = sorted(ByteLevel.alphabet())
    words = [f"{'Ġ' if n % 2 else ''}w{n}" for n in range(num_words)]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *letters, *words, "<mask>"]
    return MaskingTables.from_vocabulary(vocabulary)


def write_random_rows(
    path: Path, num_rows: int, row_tokens: int, vocab_size: int, shortest: int | None = None
) -> PackedRows:
    """A packed shard of random rows, opened; rows of `shortest` tokens and more if given."""
    rng = np.random.default_rng(7)
    tokens_RT = rng.integers(4, vocab_size - 1, (num_rows, row_tokens)).astype(np.uint16)
    lengths_R = np.full(num_rows, row_tokens, dtype=np.int32)
    offsets = np.arange(num_rows + 1, dtype=np.int32)
    if shortest is not None:
        lengths_R = rng.integers(shortest, row_tokens + 1, num_rows).astype(np.int32)
    tokens_RT[:, 0] = 0
    tokens_RT[np.arange(row_tokens) >= lengths_R[:, None]] = PAD
    documents, starts = np.zeros(num_rows, dtype=np.int64), np.zeros(num_rows, dtype=np.int32)
    write_rows(path, Rows(tokens_RT, lengths_R, offsets, documents, starts))
    return PackedRows([path])


def train_in_process(
    spec: TrainingSpec, last: int | None = None, must_stop: Callable[[], bool] = lambda: False
) -> tuple[Training, list[StepResult]]:
    """Run a training here and now; it and its steps."""
    training = Training(spec, Accelerator(cpu=True))
    last = last or spec.steps
    assert last is not None, "a training by epochs or minutes: say how many steps"
    return training, list(training.run(last, must_stop))


def stock_loss_sum(stock: RobertaForMaskedLM, batch: Any) -> Tensor:
    """Stock's own summed masked-LM loss of one of our batches."""
    ids_BT = batch.input_ids_BT
    labels_BT = torch.full_like(ids_BT, -100)
    labels_BT.view(-1)[batch.positions_M] = batch.targets_M
    mask_BT = torch.ones_like(ids_BT)
    if batch.lengths_B is not None:
        mask_BT = (torch.arange(ids_BT.shape[1]) < batch.lengths_B[:, None]).long()
    loss = stock(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT).loss
    loss_sum: Tensor = loss * batch.num_masked
    return loss_sum
