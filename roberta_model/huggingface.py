"""Weights in and out of the Hugging Face format, under stock names, as safetensors only.

Stock keeps query, key and value apart; here they are one matrix. Otherwise names map one to
one: the encoder's by the table below, a head's by its own. So an encoder is read from the folder
of any RoBERTa, whatever head it was saved with.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from roberta_model.config import ModelConfig
from roberta_model.encoder import Encoder
from roberta_model.heads import Head, RobertaWithHead

_NAMES = {
    "embeddings.word.weight": "roberta.embeddings.word_embeddings.weight",
    "embeddings.position.weight": "roberta.embeddings.position_embeddings.weight",
    "embeddings.token_type": "roberta.embeddings.token_type_embeddings.weight",
    "embeddings.norm.": "roberta.embeddings.LayerNorm.",
}
_LAYER_NAMES = {
    "attention.out.": "attention.output.dense.",
    "attention_norm.": "attention.output.LayerNorm.",
    "inner.": "intermediate.dense.",
    "outer.": "output.dense.",
    "norm.": "output.LayerNorm.",
}
_QKV = ("query", "key", "value")

ModelT = TypeVar("ModelT", bound=Encoder)


def stock_names(model: Encoder, name: str) -> list[str]:
    """The stock name of one of a model's parameters; three for a fused query-key-value."""
    if isinstance(model, RobertaWithHead) and name.startswith(f"{model.head_name}."):
        return [model.head_module.stock_name(name.removeprefix(f"{model.head_name}."))]
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


def to_stock(model: Encoder, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's named parameters as a stock state dict, contiguous fp32 on the CPU."""
    stock = {}
    for name, value in parameters.items():
        names = stock_names(model, name)
        for part, tensor in zip(names, value.detach().chunk(len(names)), strict=True):
            stock[part] = tensor.to("cpu", torch.float32).contiguous()
    return stock


def save_weights(model: Encoder, parameters: Mapping[str, Tensor], folder: Path) -> None:
    """Write `model.safetensors` and `config.json`; the same weights give the same bytes.

    Args:
        model: Says what the weights are of.
        parameters: The weights by the names they have in the model, which may hold rounded ones.
        folder: Made if it is not there.

    Raises:
        ValueError: A weight is no finite number: such a model is never to be taken for sound.
    """
    for name, value in parameters.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"the weights {name} are no finite numbers; a model like that is not saved"
            )
    folder.mkdir(parents=True, exist_ok=True)
    stock = {name: value.clone() for name, value in sorted(to_stock(model, parameters).items())}
    save_file(stock, str(folder / "model.safetensors"), metadata={"format": "pt"})
    values = {"architectures": ["RobertaModel"], **model.config.to_huggingface()}
    if isinstance(model, RobertaWithHead):
        values |= model.head_module.to_huggingface()
    text = json.dumps(values, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def save_model(model: Encoder, folder: Path) -> None:
    """Write an encoder, with its head if it has one, as a folder that stock loads."""
    save_weights(model, dict(model.named_parameters()), folder)


def read_config(folder: Path) -> dict[str, Any]:
    """What a folder's `config.json` says.

    Raises:
        ValueError: There is none, or it is not JSON.
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
    return values


def load_config(folder: Path) -> ModelConfig:
    """The shape of the encoder in a folder.

    Raises:
        ValueError: There is no `config.json`, or it is not of a RoBERTa we can compute.
    """
    values = read_config(folder)
    try:
        return ModelConfig.from_huggingface(values)
    except ValueError as problem:
        raise ValueError(f"{folder / 'config.json'}: {problem}") from problem


def load_encoder(folder: Path) -> Encoder:
    """Read the encoder of any RoBERTa folder, in fp32, ready for inference.

    Raises:
        ValueError: Weights are missing, of other shapes, or not in safetensors.
    """
    with torch.device("meta"):
        model = Encoder(load_config(folder))
    return _filled(model, folder)


def load_shape(folder: Path, kind: type[Head]) -> RobertaWithHead:
    """The model that a folder's `config.json` describes with a head of a kind, without weights.

    Raises:
        ValueError: There is no `config.json`, or it is not of a model we can compute.
    """
    config, values = load_config(folder), read_config(folder)
    with torch.device("meta"):
        try:
            head = kind.from_huggingface(config, values)
        except ValueError as problem:
            raise ValueError(f"{folder / 'config.json'}: {problem}") from problem
        return head.on_encoder(config)


def load_with_head(folder: Path, kind: type[Head]) -> RobertaWithHead:
    """Read the encoder of a RoBERTa folder and its head of a kind, in fp32, for inference.

    Raises:
        ValueError: Weights are missing, the head's too, of other shapes, or not in safetensors.
    """
    return _filled(load_shape(folder, kind), folder)


def load_under_head(folder: Path, head: Head) -> RobertaWithHead:
    """Read the encoder of any RoBERTa folder, and put a head on it that keeps its weights.

    Raises:
        ValueError: The encoder's weights are missing, of other shapes, or not in safetensors.
    """
    with torch.device("meta"):
        model = head.on_encoder(load_config(folder))
    return _filled(model, folder, keep=f"{head.name}.")


def _filled(model: ModelT, folder: Path, keep: str | None = None) -> ModelT:
    """Give a model the weights of a folder, but for those whose names begin with `keep`."""
    stock = _read_safetensors(folder)
    loaded = {}
    for name, parameter in model.named_parameters():
        if keep is not None and name.startswith(keep):
            continue
        names = stock_names(model, name)
        value = torch.cat([_take(stock, part, model, folder) for part in names]).float()
        if value.shape != parameter.shape:
            raise ValueError(
                f"{folder}: {names[0]} has shape {tuple(value.shape)}; config.json "
                f"asks for {tuple(parameter.shape)}"
            )
        loaded[name] = value
    model.load_state_dict(loaded, strict=keep is None, assign=True)
    return model.eval().requires_grad_(False)


def _take(stock: Mapping[str, Tensor], name: str, model: Encoder, folder: Path) -> Tensor:
    """A weight under its stock name, with or without the `roberta.` prefix."""
    others: Mapping[str, str] = {}
    kind = "RobertaModel"
    if isinstance(model, RobertaWithHead):
        others, kind = model.head_module.other_names, model.head_module.architecture
    for alias in (name, name.removeprefix("roberta."), others.get(name, name)):
        if alias in stock:
            return stock[alias]
    raise ValueError(f"{folder}: the weights lack {name}, so this is no whole {kind}")


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
            "Convert them once with stock transformers: load the folder with its own class, then "
            "model.save_pretrained(new_folder)"
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
