"""Folders that strangers made: each is used, or refused in a paragraph before anything is made."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import our_model, small_config
from tokenizers import Tokenizer

from roberta_model.huggingface import save_model
from tasks.config import Config
from tasks.errors import UserError
from tasks.inference.fill_mask import fill_mask
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer
from tasks.training.costs import planned_model

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WORDS = ("<s>", "<pad>", "</s>", "<unk>", "A", "Ġ", ".", "a", "b", "c", "<mask>")
TEXT = "A <mask>."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model folder, tiny."""
    save_model(our_model(small_config(vocab_size=len(WORDS))), tmp_path / "model")
    tokenizer = build_tokenizer({word: number for number, word in enumerate(WORDS)}, [])
    save_tokenizer(tokenizer, tmp_path / "model")
    return tmp_path / "model"


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder / "config.json", lambda values: values.update(changes))


def tokenizer(change: Callable[[Any], object]) -> Callable[[Path], object]:
    return lambda folder: rewrite(folder / "tokenizer.json", change)


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        values = load_file(folder / WEIGHTS)
        change(values)
        save_file(values, folder / WEIGHTS, metadata={"format": "pt"})

    return apply


def header(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Rewrite what a file of weights says of itself."""

    def apply(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        values = json.loads(content[8 : 8 + size])
        change(values)
        text = json.dumps(values).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])

    return apply


def shard(folder: Path, weight_map: Any) -> None:
    (folder / WEIGHTS).rename(folder / "part-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


WORD = "roberta.embeddings.word_embeddings.weight"
NAN, HUGE = float("nan"), 10**9

REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no heads": (config(num_attention_heads=0), "num_heads is 0"),
    "heads that do not divide": (config(num_attention_heads=5), "5 attention heads do not divide"),
    "layers as text": (config(num_hidden_layers="2"), "num_hidden_layers: '2'; a whole number"),
    "layers as a list": (config(num_hidden_layers=[2]), "num_hidden_layers"),
    "true layers": (config(num_hidden_layers=True), "num_hidden_layers"),
    "negative layers": (config(num_hidden_layers=-1), "num_hidden_layers: -1"),
    "1e8 layers": (config(num_hidden_layers=10**8), "100000000 layers"),
    "9999 layers": (config(num_hidden_layers=9999), r"lack roberta\.encoder\.layer\.9998\."),
    "1e40 layers": (config(num_hidden_layers=10**40), "a huge number"),
    "a width of 1e9": (config(hidden_size=HUGE, num_attention_heads=1), "asks for .*1000000000"),
    "a vocabulary of 1e9": (config(vocab_size=HUGE), "asks for .*1000000000"),
    "1e9 positions": (config(max_position_embeddings=HUGE), "asks for .*1000000000"),
    "1e9 inside": (config(intermediate_size=HUGE), "asks for .*1000000000"),
    "no room for a token": (config(max_position_embeddings=2), "max_row_tokens is 0"),
    "padding beyond": (config(pad_token_id=12), "not all in a vocabulary"),
    "dropout as text": (config(hidden_dropout_prob="a"), "hidden_dropout_prob: 'a'"),
    "an epsilon that is no number": (config(layer_norm_eps=NAN), "layer_norm_eps: nan"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 10**5), "this is not JSON"),
    "a large config": (lambda f: (f / "config.json").write_text(" " * (17 << 20)), "larger than"),
    "NaN": (weights(lambda w: w[WORD].fill_(NAN)), "not finite"),
    "infinity": (weights(lambda w: w[WORD][0].fill_(float("inf"))), "not finite"),
    "integers": (weights(lambda w: w.update({WORD: w[WORD].int()})), "are I32"),
    "a transposed weight": (
        weights(lambda w: w.update({WORD: w[WORD].T.contiguous()})),
        "has shape .* asks for",
    ),
    "offsets beyond the file": (
        header(lambda h: h[WORD].update(data_offsets=[0, 1 << 40])),
        "this file is damaged",
    ),
    "a shape that is not its bytes": (
        header(lambda h: h[WORD].update(shape=[1 << 30, 32])),
        "this file is damaged",
    ),
    "a header longer than the file": (
        lambda f: (f / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 60) + b"{}"),
        "this file is damaged",
    ),
    "a shard elsewhere": (
        lambda f: shard(f, {"a": "../part-1.safetensors"}),
        "no safetensors file",
    ),
    "a shard by root": (lambda f: shard(f, {"a": "/etc/passwd"}), "no safetensors file"),
    "a shard that is a pickle": (lambda f: shard(f, {"a": "a.bin"}), "no safetensors file"),
    "a shard that is missing": (lambda f: shard(f, {"a": "b.safetensors"}), "which is not there"),
    "an index of nothing": (lambda f: shard(f, []), "no weight_map"),
    "sparse ids": (
        tokenizer(lambda t: t["model"]["vocab"].update(c=4 * HUGE)),
        "ids up to 4000000000",
    ),
    "doubled ids": (tokenizer(lambda t: t["model"]["vocab"].update(c=7)), "one id to several"),
    "ids put around": (
        tokenizer(lambda t: t["post_processor"].update(cls=["<s>", 4 * HUGE])),
        "ids up to 4000000000",
    ),
    "a template of nothing": (
        tokenizer(
            lambda t: t.update(
                post_processor={
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
                    "pair": [],
                    "special_tokens": {},
                }
            )
        ),
        "tokenizer cannot be read",
    ),
    "a deep tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("[" * 10**5),
        "tokenizer cannot be read",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_a_paragraph(case: str, folder: Path) -> None:
    """What is wrong and where, and nothing of the size that it asks for is made."""
    damage, message = REFUSED[case]
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        fill_mask(folder, TEXT)
    told = str(caught.value)
    assert str(folder) in told
    assert "\n" not in told
    assert len(told) < 800


@pytest.mark.parametrize(
    "case", ["9999 layers", "a width of 1e9", "deep JSON", "a shard elsewhere"]
)
def test_a_training_that_would_go_on_from_it_is_refused_by_its_plan(
    case: str, folder: Path
) -> None:
    """`model.from` has the same rules."""
    damage, message = REFUSED[case]
    damage(folder)
    values = {"corpus": [{"type": "docstrings"}], "model": {"from": str(folder)}}
    with pytest.raises(UserError, match=message):
        planned_model(Config.model_validate(values))


def test_weights_in_several_files_are_read_everywhere(folder: Path) -> None:
    """As one file gives them."""
    expected = fill_mask(folder, TEXT)
    whole = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names, places = sorted(whole), dict[str, str]()
    for number in (0, 1):
        part = {name: whole[name] for name in names[number::2]}
        save_file(part, folder / f"part-{number}.safetensors", metadata={"format": "pt"})
        places |= dict.fromkeys(part, f"part-{number}.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    assert fill_mask(folder, TEXT) == expected
    values = {"corpus": [{"type": "docstrings"}], "model": {"from": str(folder)}}
    assert planned_model(Config.model_validate(values)).width == 32


def test_padding_that_a_tokenizer_asks_for_is_not_made(folder: Path) -> None:
    """A text of any length it would be padded to does not fit into memory."""
    expected = fill_mask(folder, TEXT)
    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    loaded.enable_padding(length=HUGE)
    loaded.save(str(folder / "tokenizer.json"))
    assert fill_mask(folder, TEXT) == expected
