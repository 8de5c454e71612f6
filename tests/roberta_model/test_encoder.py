"""The encoder against stock `transformers`: same weights, same logits, both directions."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import (
    PAD,
    our_model,
    preset_config,
    random_ids,
    small_config,
    stock_model,
    stock_twin,
)
from torch import Tensor
from transformers import RobertaForMaskedLM

from roberta_model.config import ModelConfig
from roberta_model.encoder import Layer, position_ids
from roberta_model.huggingface import load_config, save_model, to_stock
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.training.start import initialise

TOLERANCE = 1e-4
ROWS = {"full": None, "padded": [24, 9, 1]}


@torch.inference_mode()
def worst_difference(
    ours: RobertaMaskedLM, stock: RobertaForMaskedLM, ids_BT: Tensor, mask_BT: Tensor
) -> float:
    """The largest difference of logits over the real tokens."""
    expected = stock(input_ids=ids_BT, attention_mask=mask_BT).logits
    assert expected.abs().max() > 0.05, "logits near zero would agree whatever is computed"
    found = ours(ids_BT, mask_BT)
    return float((found - expected).abs().amax(dim=-1)[mask_BT.bool()].max())


@pytest.mark.parametrize(
    ("shape", "rows"),
    [("small", "full"), ("small", "padded"), ("tiny", "full"), ("base", "padded")],
)
def test_a_folder_we_write_gives_the_same_logits_in_stock(
    shape: str, rows: str, tmp_path: Path
) -> None:
    """An exported model is the model that was trained, also for whoever pads."""
    config = small_config() if shape == "small" else preset_config(shape, 2000, 24)
    ours = our_model(config)
    stock = stock_twin(ours, tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()  # hundreds of MB for base
    ids_BT, mask_BT = random_ids((3, 24), config.vocab_size, ROWS[rows])

    assert worst_difference(ours, stock, ids_BT, mask_BT) < TOLERANCE


@pytest.mark.parametrize("shape", ["small", "tiny", "base"])
def test_a_folder_stock_writes_gives_the_same_logits_here(shape: str, tmp_path: Path) -> None:
    """A downloaded RoBERTa can be continued, scored and asked: it is read right."""
    config = small_config() if shape == "small" else preset_config(shape, 2000, 24)
    stock = stock_model(config, seed=3)
    stock.save_pretrained(tmp_path)
    ours = load_masked_lm(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    ids_BT, mask_BT = random_ids((3, 24), config.vocab_size, [24, 9, 1])

    assert ours.config == config
    assert worst_difference(ours, stock, ids_BT, mask_BT) < TOLERANCE


def test_stock_finds_every_weight_and_no_other(tmp_path: Path) -> None:
    """Nothing in an exported folder is missing, left over or newly drawn."""
    save_model(our_model(small_config()), tmp_path)
    loaded: Any = RobertaForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    _, told = loaded

    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_there_and_back_again_is_the_same_to_the_bit(tmp_path: Path) -> None:
    """Weights that go through a folder, ours or one of stock's, come back unchanged."""
    ours = our_model(small_config())
    stock_twin(ours, tmp_path / "ours").save_pretrained(tmp_path / "stock")
    for folder in ("ours", "stock"):
        back = dict(load_masked_lm(tmp_path / folder).named_parameters())
        assert back.keys() == dict(ours.named_parameters()).keys()
        for name, value in ours.named_parameters():
            assert torch.equal(back[name], value), (folder, name)


def test_the_same_weights_give_the_same_file(tmp_path: Path) -> None:
    """A digest of an exported model says whether it is the same model."""
    for name in ("one", "two"):
        save_model(our_model(small_config()), tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    """A large model from elsewhere lies in shards; none of them may be forgotten."""
    stock = stock_model(small_config())
    stock.save_pretrained(tmp_path, max_shard_size="30KB")
    assert not (tmp_path / "model.safetensors").exists()
    ids_BT, mask_BT = random_ids((2, 24), 160)

    assert worst_difference(load_masked_lm(tmp_path), stock, ids_BT, mask_BT) < TOLERANCE


def test_half_precision_weights_are_read_as_fp32(tmp_path: Path) -> None:
    """A checkpoint published in bf16 computes in fp32 here, from the very same numbers."""
    stock: Any = stock_model(small_config())
    stock.to(torch.bfloat16)
    stock.save_pretrained(tmp_path)
    ours = load_masked_lm(tmp_path)

    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    weight = stock.get_input_embeddings().weight.float()
    assert torch.equal(ours.embeddings.word.weight, weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type: 'bert'"),
        ({"model_type": None}, "model_type: None"),
        ({"hidden_act": "relu"}, "hidden_act: 'relu'"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings: False"),
        ({"hidden_size": 64}, "has shape .* config.json asks for"),
        ({"num_hidden_layers": 3}, "the weights lack roberta.encoder.layer.2."),
    ],
)
def test_a_model_we_cannot_compute_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    """A near-RoBERTa is named and refused; it never gives plausible, wrong numbers."""
    save_model(our_model(small_config()), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=message):
        load_masked_lm(tmp_path)


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
        ("lm_head.bias", "lm_head.decoder.bias"),
    ],
)
def test_a_decoder_of_its_own_is_refused_though_nothing_says_so(
    name: str, copy: str, tmp_path: Path
) -> None:
    """Stock computes with what lies there; a copy of what it should be is what old folders have."""
    model = our_model(small_config())
    save_model(model, tmp_path)
    path = tmp_path / "model.safetensors"
    stored = load_file(path)
    save_file({**stored, copy: stored[name].clone()}, path, metadata={"format": "pt"})
    assert torch.equal(load_masked_lm(tmp_path).lm_head.bias, model.lm_head.bias)
    save_file({**stored, copy: stored[name] + 1}, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"{copy} differs from {name}"):
        load_masked_lm(tmp_path)


def test_an_encoder_without_its_head_is_refused(tmp_path: Path) -> None:
    """A folder of a bare encoder would fill masks with a head of random numbers."""
    stock_model(small_config()).roberta.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lack lm_head\..*no whole RobertaForMaskedLM"):
        load_masked_lm(tmp_path)


def test_positions_begin_behind_padding_and_skip_it() -> None:
    """Positions are 2, 3, 4, ... over the real tokens; padding keeps position 1."""
    ids_BT = torch.tensor([[0, 9, 9, 2], [0, 9, PAD, PAD], [PAD, PAD, 0, 9]])
    expected = [[2, 3, 4, 5], [2, 3, 1, 1], [1, 1, 2, 3]]
    assert position_ids(ids_BT, PAD).tolist() == expected


def test_the_position_table_has_room_for_exactly_the_longest_row(tmp_path: Path) -> None:
    """512 tokens need 514 positions, as in roberta-base, and reading 514 back gives 512."""
    config = preset_config("tiny", 300, 512)
    assert config.to_huggingface()["max_position_embeddings"] == 514
    assert ModelConfig.from_huggingface(config.to_huggingface()) == config
    model = our_model(small_config(), seed=1)
    save_model(model, tmp_path)
    assert load_config(tmp_path).max_row_tokens == 24
    model(torch.full((1, 24), 9))
    with pytest.raises(ValueError, match="rows of 25 tokens; the model reads at most 24"):
        model(torch.full((1, 25), 9))


def test_the_constants_are_robertas() -> None:
    """Epsilon, special ids and the row length are those of the published models."""
    config = preset_config("base", 50_265, 512)
    assert config.norm_eps == 1e-5
    assert (config.bos_id, config.pad_id, config.eos_id) == (0, 1, 2)
    epsilons = {m.eps for m in our_model(small_config()).modules() if hasattr(m, "eps")}
    assert epsilons == {1e-5}


def test_the_decoder_is_the_word_embedding() -> None:
    """Head and embedding are one matrix: both uses give it gradients, and it is written once."""
    model = our_model(small_config())
    names = {name for name, _ in model.named_parameters()}
    assert not any(
        "decoder" in name for name in names | to_stock(model, dict(model.named_parameters())).keys()
    )
    hidden_ND = torch.randn(3, 32)
    with torch.no_grad():
        before = model.decode(hidden_ND)
        model.embeddings.word.weight[17] += 1.0
        change = model.decode(hidden_ND) - before
    torch.testing.assert_close(change[:, 17], hidden_ND.sum(dim=1), atol=1e-5, rtol=0)
    assert torch.equal(change[:, :17], torch.zeros(3, 17))
    model.requires_grad_(True).head(torch.randn(3, 32)).sum().backward()
    assert model.embeddings.word.weight.grad is not None


@pytest.mark.parametrize("lengths", [None, [24, 9, 1]])
@pytest.mark.parametrize("most_in_row", [None, 9])
def test_the_last_layer_at_some_positions_equals_the_full_one(
    lengths: list[int] | None, most_in_row: int | None
) -> None:
    """The short cut of training and scoring changes no number, in value or gradient."""
    model = our_model(small_config()).requires_grad_(True)
    ids_BT, mask_BT = random_ids((3, 24), 160, lengths)
    positions_M = torch.tensor([0, 3, 8, 15, 23, 24, 31, 32, 48])
    positions_M = positions_M[mask_BT.flatten()[positions_M] > 0]
    lengths_B = None if lengths is None else torch.tensor(lengths)
    gradients = []
    results = []
    for shortcut in (True, False):
        if shortcut:
            hidden_MD = model.encode_at(ids_BT, positions_M, lengths_B, most_in_row)
        else:
            hidden_MD = model.encode(ids_BT, lengths_B).flatten(0, 1)[positions_M]
        results.append(hidden_MD)
        loss = hidden_MD.square().sum() + hidden_MD[:, 0].sum()
        gradients.append(torch.autograd.grad(loss, list(model.layers.parameters())))

    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)
    for mine, full in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, full, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_changes_no_row(dtype: torch.dtype) -> None:
    """A row scores the same alone and padded to a longer neighbour, in both compute types."""
    model = our_model(small_config()).to(dtype)
    ids_BT, mask_BT = random_ids((2, 24), 160, [24, 7])
    padded = model(ids_BT, mask_BT)[1, :7]
    by_length = model.head(model.encode(ids_BT, torch.tensor([24, 7])))[1, :7]
    alone = model(ids_BT[1:, :7])[0]

    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(padded, alone, atol=tolerance, rtol=0)
    torch.testing.assert_close(by_length, alone, atol=tolerance, rtol=0)
    unmasked = model(ids_BT)[1, :7]
    assert (unmasked - alone).abs().max() > 5 * tolerance, "padding must matter in this test"


@torch.inference_mode()
def test_bf16_computes_the_same_model() -> None:
    """The attention written out for bf16 on CPUs is the fused one, to bf16's precision."""
    model = our_model(small_config())
    ids_BT, mask_BT = random_ids((3, 24), 160, [24, 9, 3])
    exact = model(ids_BT, mask_BT)[mask_BT.bool()]
    rough = model.to(torch.bfloat16)(ids_BT, mask_BT)[mask_BT.bool()].float()

    assert (rough - exact).abs().max() < 0.02 * exact.abs().max()


def test_initial_weights_follow_from_the_seed() -> None:
    """Two nodes that draw the same seed begin with the same model, as RoBERTa draws it."""
    one, two, other = (RobertaMaskedLM(preset_config("tiny", 500, 24)) for _ in range(3))
    for model, seed in ((one, 1), (two, 1), (other, 2)):
        initialise(model, seed)
    for (name, first), second in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second), name
    word = one.embeddings.word.weight
    assert not torch.equal(word, other.embeddings.word.weight)
    assert word.std().item() == pytest.approx(0.02, rel=0.05)
    assert word[PAD].abs().max() == 0
    assert one.lm_head.bias.abs().max() == 0
    assert torch.equal(cast("Layer", one.layers[0]).norm.weight, torch.ones(256))
