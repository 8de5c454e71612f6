"""The weights in a model folder: one file or several, seen by their headers and read one by one.

A folder may be a stranger's. Its headers say how large everything is, and the reader of
safetensors holds them against the files' own sizes; so what a `config.json` asks for is compared
with them before anything of that size is made.
"""

import errno
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# RoBERTa's own is below a kilobyte, and the index of a thousand shards below a megabyte.
_MOST_JSON_BYTES = 16 << 20
_NUMBERS = {"F64", "F32", "F16", "BF16"}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small JSON file.

    Raises:
        ValueError: It is not JSON, no object, or far too large.
        OSError: It cannot be read.
    """
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise ValueError(f"{path}: this is larger than any such file should be")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: this is not JSON: {problem}") from problem
    if not isinstance(values, dict):
        raise ValueError(f"{path}: this is not a JSON object")
    return values


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: `model.safetensors`, or those of its index.

    Raises:
        ValueError: There are none, or the index names what is no file of the folder.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = folder / INDEX
    if not index.is_file():
        if any(folder.glob("*.bin")):
            raise ValueError(
                f"{folder}: the weights are a pickle (.bin), which can run code when it is read. "
                "Convert them once with stock transformers: load the folder with its own class, "
                "then model.save_pretrained(new_folder)"
            )
        raise ValueError(f"{folder}: there is no {SINGLE}")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ValueError(f"{index}: there is no weight_map that says where the weights are")
    names = {name for name in places.values() if isinstance(name, str)}
    for name in sorted(names):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index}: {name!r} is no safetensors file of this folder")
        if not (folder / name).is_file():
            raise ValueError(f"{index}: it names {name}, which is not there")
    return [folder / name for name in sorted(names)]


class WeightFiles:
    """The tensors of a model folder by name; a context manager.

    Raises:
        ValueError: There are none, or a file is damaged or says something untrue of itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened = ExitStack()
        self._by_name: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for path in weight_files(self.folder):
                try:
                    file = opening.enter_context(safe_open(str(path), framework="pt"))
                    self._by_name.update(dict.fromkeys(file.keys(), file))
                except Exception as problem:
                    if os.strerror(errno.ENOMEM) in str(problem):  # a sound file, for all we know
                        told = "there is too little memory to read this file"
                        raise OSError(errno.ENOMEM, told, str(path)) from problem
                    # SafetensorError is no ValueError, and is importable by no public name.
                    raise ValueError(f"{path}: this file is damaged: {problem}") from problem
            self._opened = opening.pop_all()
        return self

    def __exit__(self, *problem: object) -> None:
        self._opened.close()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, from the header."""
        return tuple(self._by_name[name].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        """A tensor in fp32.

        Raises:
            ValueError: It holds other things than numbers, or numbers that are not finite.
        """
        kind = self._by_name[name].get_slice(name).get_dtype()
        if kind not in _NUMBERS:
            raise ValueError(
                f"{self.folder}: the weights {name} are {kind}; {', '.join(sorted(_NUMBERS))} are "
                "read. Save the model once more in one of these"
            )
        value: Tensor = self._by_name[name].get_tensor(name).float()
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{self.folder}: the weights {name} hold numbers that are not finite (NaN or "
                "infinity), so whatever they compute is none either. Get the model again, or an "
                "earlier checkpoint of it"
            )
        return value
