"""Tiny models that read any text: a token a byte, in a Hugging Face folder."""

from pathlib import Path
from typing import Any

import torch
from small_models import our_model, small_config
from tokenizers.pre_tokenizers import ByteLevel

from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

TOKENS = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]


def byte_model(folder: Path, *, seed: int = 0, row_tokens: int = 96, **changes: Any) -> Path:
    """A folder with drawn weights; the same seed draws the same."""
    config = small_config(len(TOKENS), max_row_tokens=row_tokens, **changes)
    return save_folder(our_model(config, seed), folder)


def constant_model(folder: Path) -> Path:
    """A folder whose model gives every token the same logit everywhere."""
    model = our_model(small_config(len(TOKENS), max_row_tokens=96))
    with torch.no_grad():
        model.embeddings.word.weight.zero_()
        model.lm_head.bias.fill_(0.5)
    return save_folder(model, folder)


def save_folder(model: RobertaMaskedLM, folder: Path) -> Path:
    """Weights, config and tokenizer."""
    save_model(model, folder)
    save_tokenizer(build_tokenizer({token: n for n, token in enumerate(TOKENS)}, []), folder)
    return folder
