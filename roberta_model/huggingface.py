"""Weights in and out of the Hugging Face format, under stock names, as safetensors only.

Stock keeps query, key and value apart; here they are one matrix. Otherwise names map one to
one. The decoder is the word embedding, so it is not written a second time.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from roberta_model.config import ModelConfig
from roberta_model.masked_lm import RobertaMaskedLM

_NAMES = {
    "embeddings.word.weight": "roberta.embeddings.word_embeddings.weight",
    "embeddings.position.weight": "roberta.embeddings.position_embeddings.weight",
    "embeddings.token_type": "roberta.embeddings.token_type_embeddings.weight",
    "embeddings.norm.": "roberta.embeddings.LayerNorm.",
    "lm_head.dense.": "lm_head.dense.",
    "lm_head.norm.": "lm_head.layer_norm.",
    "lm_head.bias": "lm_head.bias",
}
_LAYER_NAMES = {
    "attention.out.": "attention.output.dense.",
    "attention_norm.": "attention.output.LayerNorm.",
    "inner.": "intermediate.dense.",
    "outer.": "output.dense.",
    "norm.": "output.LayerNorm.",
}
_QKV = ("query", "key", "value")


def stock_names(name: str) -> list[str]:
    """The stock name of one of our parameters; three for a fused query-key-value."""
    if name.startswith("layers."):
        _, number, rest = name.split(".", 2)
        stem = f"roberta.encoder.layer.{number}."
        if rest.startswith("attention.qkv."):
            kind = rest.removeprefix("attention.qkv.")
            return [f"{stem}attention.self.{part}.{kind}" for part in _QKV]
        for ours, theirs in _LAYER_NAMES.items():
            if rest.startswith(ours):
                return [stem + theirs + rest.removeprefix(ours)]
    for ours, theirs in _NAMES.items():
        if name == ours or (ours.endswith(".") and name.startswith(ours)):
            return [theirs + name.removeprefix(ours)]
    raise AssertionError(f"{name} has no stock name")


def to_stock(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our named parameters as a stock state dict, contiguous fp32 on the CPU."""
    stock = {}
    for name, value in parameters.items():
        names = stock_names(name)
        for part, tensor in zip(names, value.detach().chunk(len(names)), strict=True):
            stock[part] = tensor.to("cpu", torch.float32).contiguous()
    return stock


def save_weights(parameters: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`; the same weights give the same bytes.

    Raises:
        ValueError: A weight is no finite number: such a model is never to be taken for sound.
    """
    for name, value in parameters.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"the weights {name} are no finite numbers; a model like that is not saved"
            )
    folder.mkdir(parents=True, exist_ok=True)
    stock = {name: value.clone() for name, value in sorted(to_stock(parameters).items())}
    save_file(stock, str(folder / "model.safetensors"), metadata={"format": "pt"})
    text = json.dumps(config.to_huggingface(), indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def save_model(model: RobertaMaskedLM, folder: Path) -> None:
    """Write a model as a folder that stock `RobertaForMaskedLM` loads."""
    save_weights(dict(model.named_parameters()), model.config, folder)


def load_config(folder: Path) -> ModelConfig:
    """The shape of the model in a folder.

    Raises:
        ValueError: There is no `config.json`, or it is not of a RoBERTa we can compute.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder}: there is no config.json, so this is no model") from None
    except (ValueError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: this is not JSON: {problem}") from problem
    if not isinstance(values, dict):
        raise ValueError(f"{path}: this is not a JSON object")
    try:
        return ModelConfig.from_huggingface(values)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from problem


def load_model(folder: Path) -> RobertaMaskedLM:
    """Read a Hugging Face RoBERTa folder, in fp32, ready for inference.

    Raises:
        ValueError: Weights are missing, of other shapes, or not in safetensors.
    """
    folder = Path(folder)
    config = load_config(folder)
    with torch.device("meta"):
        model = RobertaMaskedLM(config)
    stock = _read_safetensors(folder)
    loaded = {}
    for name, parameter in model.named_parameters():
        parts = [_take(stock, part, folder) for part in stock_names(name)]
        value = torch.cat(parts).float()
        if value.shape != parameter.shape:
            raise ValueError(
                f"{folder}: {stock_names(name)[0]} has shape {tuple(value.shape)}; config.json "
                f"asks for {tuple(parameter.shape)}"
            )
        loaded[name] = value
    model.load_state_dict(loaded, assign=True)
    return model.eval().requires_grad_(False)


def _take(stock: Mapping[str, Tensor], name: str, folder: Path) -> Tensor:
    """A weight under its stock name, with or without the `roberta.` prefix."""
    aliases = [name, name.removeprefix("roberta.")]
    if name == "lm_head.bias":
        aliases.append("lm_head.decoder.bias")
    for alias in aliases:
        if alias in stock:
            return stock[alias]
    raise ValueError(f"{folder}: the weights lack {name}, so this is no whole masked LM")


def _read_safetensors(folder: Path) -> dict[str, Tensor]:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        files = [single]
    elif index.is_file():
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if any(os.path.basename(name) != name for name in shards):
            raise ValueError(f"{index}: a shard's name leads out of the folder")
        files = [folder / name for name in shards]
    elif any(folder.glob("*.bin")):
        raise ValueError(
            f"{folder}: the weights are a pickle (.bin), which can run code when it is read. "
            "Convert them once with stock transformers: "
            "RobertaForMaskedLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    else:
        raise ValueError(f"{folder}: there is no model.safetensors")
    tensors = {}
    for path in files:
        try:
            with safe_open(str(path), framework="pt") as opened:
                tensors.update({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
        except (OSError, RuntimeError, ValueError) as problem:
            raise ValueError(f"{path}: cannot be read as safetensors: {problem}") from problem
        except Exception as problem:
            if type(problem).__name__ != "SafetensorError":
                raise
            raise ValueError(f"{path}: this file is damaged: {problem}") from problem
    return tensors
