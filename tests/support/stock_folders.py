"""Folders as stock `transformers` saves them, tiny: sharded, half precision, of any head.

Nothing of ours writes the weights or the config; the tokenizer is a byte-level BPE learnt from a
few sentences, saved as stock saves it.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from small_models import draw_weights

from tasks.tokenizing.bpe import save_tokenizer, train_bpe

SENTENCES = (
    "The capital of France is Paris, and that of Italy is Rome.",
    "A list of words is returned; nothing is raised, whatever the list holds.",
    "It was a joy from the first minute to the last, and then some more of it.",
    "Größe zwei, 世界, привет: three scripts beside each other in one line of text.",
)
POSITIONS = 34  # the longest row has two fewer: <s>, 30 tokens, </s>


def save_stock_tokenizer(folder: Path, vocab_size: int = 400) -> int:
    """A tokenizer as stock saves it; how many tokens it has."""
    tokenizer = train_bpe(SENTENCES * 4, vocab_size, 1, 16)
    save_tokenizer(tokenizer, folder)
    return int(tokenizer.get_vocab_size())


def stock_folder(
    folder: Path, kind: str = "RobertaForMaskedLM", *, shards: bool = False, **changes: Any
) -> Any:
    """Save a stock model of a class, with drawn weights, and its tokenizer; returns the model.

    Args:
        folder: Made if it is not there.
        kind: The class in `transformers`.
        shards: Weights in several files with an index, as those of large models are.
        changes: Further settings of its config; `dtype` is that of the weights.
    """
    dtype = changes.pop("dtype", torch.float32)
    vocab_size = save_stock_tokenizer(folder)
    config = transformers.RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        **changes,
    )
    model = getattr(transformers, kind)(config)
    draw_weights(model)
    model = model.to(dtype).eval()
    model.save_pretrained(folder, max_shard_size="30KB" if shards else "5GB")
    return model.float()
