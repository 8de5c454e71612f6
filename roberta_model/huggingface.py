"""Weights in and out of the Hugging Face format, under stock names, as safetensors only.

Stock keeps query, key and value apart; here they are one matrix. Otherwise names map one to
one: the encoder's by the table below, a head's by its own. So an encoder is read from the folder
of any RoBERTa, whatever head it was saved with.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor

from roberta_model.config import ModelConfig
from roberta_model.encoder import Encoder
from roberta_model.heads import Head, RobertaWithHead
from roberta_model.weight_files import SINGLE, WeightFiles, read_json

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
    save_file(stock, str(folder / SINGLE), metadata={"format": "pt"})
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
    try:
        return read_json(folder / "config.json")
    except FileNotFoundError:
        raise ValueError(f"{folder}: there is no config.json, so this is no model") from None


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
    config = load_config(folder)
    with WeightFiles(folder) as files:
        _check_sizes(config, files)
        with torch.device("meta"):
            model = Encoder(config)
        return _filled(model, files)


def check_shape(folder: Path, kind: type[Head]) -> ModelConfig:
    """The shape of the encoder in a folder that has a head of a kind, and weights of that shape.

    Raises:
        ValueError: There is no `config.json`, it is not of a model we can compute, or the weights
            are of another shape.
    """
    config = load_config(folder)
    _head(folder, kind, config)
    with WeightFiles(folder) as files:
        _check_sizes(config, files)
    return config


def load_with_head(folder: Path, kind: type[Head]) -> RobertaWithHead:
    """Read the encoder of a RoBERTa folder and its head of a kind, in fp32, for inference.

    Raises:
        ValueError: Weights are missing, the head's too, of other shapes, or not in safetensors.
    """
    config = load_config(folder)
    head = _head(folder, kind, config)
    with WeightFiles(folder) as files:
        _check_sizes(config, files)
        with torch.device("meta"):
            model = head.on_encoder(config)
        return _filled(model, files)


def load_under_head(folder: Path, head: Head) -> RobertaWithHead:
    """Read the encoder of any RoBERTa folder, and put a head on it that keeps its weights.

    Raises:
        ValueError: The encoder's weights are missing, of other shapes, or not in safetensors.
    """
    config = load_config(folder)
    with WeightFiles(folder) as files:
        _check_sizes(config, files)
        with torch.device("meta"):
            model = head.on_encoder(config)
        return _filled(model, files, keep=f"{head.name}.")


def _head(folder: Path, kind: type[Head], config: ModelConfig) -> Head:
    """The head that a folder's `config.json` describes, without weights."""
    with torch.device("meta"):
        try:
            return kind.from_huggingface(config, read_config(folder))
        except ValueError as problem:
            raise ValueError(f"{folder / 'config.json'}: {problem}") from problem


def _check_sizes(config: ModelConfig, files: WeightFiles) -> None:
    """Compare what `config.json` asks for with what is there, before anything is made of it."""
    D, last = config.width, f"roberta.encoder.layer.{config.num_layers - 1}."
    asked = {
        "roberta.embeddings.word_embeddings.weight": (config.vocab_size, D),
        "roberta.embeddings.position_embeddings.weight": (config.num_positions, D),
        "roberta.encoder.layer.0.intermediate.dense.weight": (config.feedforward_width, D),
        f"{last}intermediate.dense.weight": (config.feedforward_width, D),
    }
    for name, shape in asked.items():
        _check_shape(files, _alias(files, name, (), "RobertaModel"), shape)


def _filled(model: ModelT, files: WeightFiles, keep: str | None = None) -> ModelT:
    """Give a model the weights of a folder, but for those whose names begin with `keep`."""
    others: Mapping[str, str] = {}
    kind = "RobertaModel"
    if isinstance(model, RobertaWithHead):
        others, kind = model.head_module.other_names, model.head_module.architecture
        _check_copies(files, model.head_module.copies)
    wanted: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if keep is not None and name.startswith(keep):
            continue
        names = stock_names(model, name)
        shape = (parameter.shape[0] // len(names), *parameter.shape[1:])
        wanted[name] = [
            _alias(files, part, (others[part],) if part in others else (), kind) for part in names
        ]
        for part in wanted[name]:
            _check_shape(files, part, shape)
    loaded = {name: torch.cat([files.read(part) for part in wanted[name]]) for name in wanted}
    model.load_state_dict(loaded, strict=keep is None, assign=True)
    return model.eval().requires_grad_(False)


def _alias(files: WeightFiles, name: str, others: tuple[str, ...], kind: str) -> str:
    """A weight's name in a folder, which may lack the `roberta.` prefix."""
    for alias in (name, name.removeprefix("roberta."), *others):
        if alias in files:
            return alias
    raise ValueError(f"{files.folder}: the weights lack {name}, so this is no whole {kind}")


def _check_copies(files: WeightFiles, copies: Mapping[str, str]) -> None:
    """Refuse weights that should be one and are two: stock computes with both, whatever is said."""
    for name, copy in copies.items():
        first = name if name in files else name.removeprefix("roberta.")
        if (
            first in files
            and copy in files
            and not torch.equal(files.read(first), files.read(copy))
        ):
            raise ValueError(
                f"{files.folder}: {copy} differs from {first}, and only models in which they are "
                "the same are supported. Its encoder can still be embedded with and fine-tuned"
            )


def _check_shape(files: WeightFiles, name: str, asked: tuple[int, ...]) -> None:
    if files.shape(name) != asked:
        raise ValueError(
            f"{files.folder}: {name} has shape {files.shape(name)}; config.json asks for {asked}. "
            "The two are not of one model"
        )
