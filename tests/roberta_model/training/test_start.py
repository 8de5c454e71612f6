"""The first weights: what a local start promises of its heads, and that stock reads them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import (
    byte_tables,
    random_ids,
    small_config,
    stock_twin,
    train_in_process,
)

from roberta_model.config import ModelConfig
from roberta_model.encoder import Layer, SelfAttention
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import OptimizerRecipe, StartRecipe
from roberta_model.training.spec import TrainingSpec
from roberta_model.training.start import (
    FIRST_LAYER_OFFSETS,
    LATER_LAYER_OFFSETS,
    initialise,
    position_width,
    read_all_alike,
)
from tasks.packing.layout import Rows
from tasks.packing.shards import write_rows

LOCAL = StartRecipe("local")


def started(config: ModelConfig, recipe: StartRecipe, seed: int = 0) -> RobertaMaskedLM:
    model = RobertaMaskedLM(config)
    initialise(model, seed, recipe)
    return model.eval()


def attention_of(model: RobertaMaskedLM, ids_BT: torch.Tensor, layer: int) -> torch.Tensor:
    """Attention weights BHTT of a layer, written out."""
    config = model.config
    K = config.width // config.num_heads
    x_BTD = model.embeddings(ids_BT)
    for earlier in model.layers[:layer]:
        x_BTD = earlier(x_BTD)
    of_layer = model.layers[layer]
    assert isinstance(of_layer, Layer)
    query, key, _ = of_layer.attention.qkv(x_BTD).chunk(3, dim=-1)
    split = [part.unflatten(-1, (config.num_heads, K)).transpose(1, 2) for part in (query, key)]
    attention_BHTT: torch.Tensor = split[0] @ split[1].transpose(-2, -1) / math.sqrt(K)
    return attention_BHTT.softmax(dim=-1)


@pytest.mark.parametrize(
    ("width", "num_heads", "T", "std"),
    [
        (128, 4, 128, 0.05),
        (128, 2, 64, 0.005),
        (256, 4, 128, 0.02),
        (512, 8, 256, 0.02),
    ],
)
def test_local_heads_read_the_neighbour_of_their_offset(
    width: int, num_heads: int, T: int, std: float
) -> None:
    """Each head puts most of its attention on the one token at its offset, in any layer."""
    config = ModelConfig(500, 2, width, num_heads, width, T, initializer_range=std)
    model = started(config, LOCAL)
    ids_BT, _ = random_ids((2, T), 500)
    for layer, offsets in ((0, FIRST_LAYER_OFFSETS), (1, LATER_LAYER_OFFSETS)):
        weights_BHTT = attention_of(model, ids_BT, layer)
        for head, offset in enumerate(offsets[:num_heads]):
            inside = torch.arange(max(0, -offset), T - max(0, offset))
            onto = weights_BHTT[:, head, inside, inside + offset]
            assert onto.mean() > 0.6, (layer, head)
            assert (
                weights_BHTT[:, head, inside].argmax(-1) == inside + offset
            ).float().mean() > 0.95


def test_other_heads_and_a_plain_start_look_everywhere() -> None:
    """The heads of later layers beyond the local two stay as drawn, as all heads of plain do."""
    ids_BT, _ = random_ids((2, 24), 160)
    heads = attention_of(started(small_config(), LOCAL), ids_BT, 1)[:, 2:]
    for weights in (heads, attention_of(started(small_config(), StartRecipe()), ids_BT, 0)):
        assert weights.max() < 0.2


def test_the_embeddings_enter_the_layers_with_words_and_positions_alike() -> None:
    """Both parts have unit variance behind the norm: neither drowns the other."""
    config = ModelConfig(500, 1, 128, 4, 128, 64)
    P = position_width(config)
    x_BTD = started(config, LOCAL).embeddings(random_ids((4, 64), 500)[0])
    assert P == 32
    assert x_BTD[..., -P:].square().mean().item() == pytest.approx(1, abs=0.1)
    assert x_BTD[..., :-P].square().mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("width", "num_heads"), [(32, 1), (36, 4), (40, 8)])
def test_odd_shapes_have_a_local_start_too(width: int, num_heads: int) -> None:
    """One head, an odd head width: words keep half of the width, and the weights are finite."""
    config = ModelConfig(160, 2, width, num_heads, 40, 24)
    assert position_width(config) <= width // 2
    model = started(config, LOCAL)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert torch.isfinite(model(random_ids((2, 24), 160)[0])).all()


def test_a_local_start_follows_from_the_seed() -> None:
    """Two nodes begin alike; another seed moves the frequencies too."""
    one, two, other = (started(small_config(), LOCAL, seed) for seed in (1, 1, 2))
    for (name, first), second in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second), name
    assert not torch.equal(one.embeddings.position.weight, other.embeddings.position.weight)


def test_stock_computes_the_same_logits_from_a_local_start(tmp_path: Path) -> None:
    """Only values differ, never the shape: stock loads it, with and without padding."""
    np.save(tmp_path / "counts.npy", np.arange(160))
    vectors = np.random.default_rng(0).normal(size=(160, 24)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    recipe = StartRecipe("local", str(tmp_path / "counts.npy"), str(tmp_path / "vectors.npy"))
    model = started(small_config(), recipe)
    stock = stock_twin(model, tmp_path / "model")
    ids_BT, mask_BT = random_ids((3, 24), 160, [24, 9, 3])
    with torch.no_grad():
        ours, theirs = model(ids_BT, mask_BT), stock(ids_BT, attention_mask=mask_BT).logits
    torch.testing.assert_close(ours[mask_BT.bool()], theirs[mask_BT.bool()], atol=1e-4, rtol=0)


def test_the_bias_says_how_often_tokens_are_the_answer(tmp_path: Path) -> None:
    """Probabilities that sum to one; what is never the answer or was never seen counts half."""
    counts = np.array([*[90] * 4, 6, 0, *[3] * 154])
    np.save(tmp_path / "counts.npy", counts)
    model = RobertaMaskedLM(small_config())
    recipe = StartRecipe("local", token_counts=str(tmp_path / "counts.npy"))
    initialise(model, 0, recipe, special_ids=np.arange(4))
    shares = model.lm_head.bias.detach().exp()
    total = 4 * 0.5 + 6 + 0.5 + 3 * 154
    assert shares.sum().item() == pytest.approx(1)
    assert shares[[0, 4, 5, 6]].tolist() == pytest.approx(
        [0.5 / total, 6 / total, 0.5 / total, 3 / total]
    )


def test_counts_and_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Broadcast or cut off, they would train, and mean nothing."""
    np.save(tmp_path / "one.npy", np.ones(1, dtype=np.int64))
    np.save(tmp_path / "wide.npy", np.ones((160, 40), dtype=np.float32))
    with pytest.raises(ValueError, match="1 token counts for a vocabulary of 160"):
        started(small_config(), replace(LOCAL, token_counts=str(tmp_path / "one.npy")))
    with pytest.raises(ValueError, match=r"of shape \(160, 40\)"):
        started(small_config(), replace(LOCAL, token_vectors=str(tmp_path / "wide.npy")))
    with pytest.raises(ValueError, match="at least 2 wide"):
        started(small_config(num_heads=32), LOCAL)
    with pytest.raises(ValueError, match="plain or local, not 'Local'"):
        StartRecipe("Local")  # type: ignore[arg-type]


def test_token_vectors_keep_to_the_words_part_and_unknown_tokens_stay_drawn(
    tmp_path: Path,
) -> None:
    """<mask> is in no row: a zero embedding would leave it without a direction."""
    vectors = np.ones((160, 24), dtype=np.float32)
    vectors[159] = 0
    np.save(tmp_path / "v.npy", vectors)
    drawn = started(small_config(), LOCAL).embeddings.word.weight
    word = started(
        small_config(), replace(LOCAL, token_vectors=str(tmp_path / "v.npy"))
    ).embeddings.word.weight
    assert torch.equal(word[:, 24:], torch.zeros(160, 8))
    assert torch.equal(word[159], drawn[159])
    assert word[159].any()
    torch.testing.assert_close(word[5, :24], torch.full((24,), 0.02))
    with pytest.raises(ValueError, match=r"of shape \(160, 24\) for embeddings of \(170, 32\)"):
        started(small_config(170), replace(LOCAL, token_vectors=str(tmp_path / "v.npy")))


def test_a_local_start_leaves_the_plateau_where_a_plain_one_does_not(tmp_path: Path) -> None:
    """The point of it all, in miniature: text in which neighbours tell, learnt in 200 steps."""
    rng, tables = np.random.default_rng(0), byte_tables()
    ids = np.arange(4, 44)
    after, tokens_RT = rng.permutation(ids), np.empty((400, 24), dtype=np.uint16)
    tokens_RT[:, 0] = rng.choice(ids, 400)
    for place in range(1, 24):
        tokens_RT[:, place] = after[tokens_RT[:, place - 1] - 4]
    lengths_R, offsets = np.full(400, 24, dtype=np.int32), np.arange(401, dtype=np.int32)
    documents, starts = np.zeros(400, dtype=np.int64), np.zeros(400, dtype=np.int32)
    write_rows(tmp_path / "rows.arrow", Rows(tokens_RT, lengths_R, offsets, documents, starts))
    tables.save(tmp_path / "tables.npz")
    ends = {}
    for kind in ("plain", "local"):
        spec = TrainingSpec(
            rows=[str(tmp_path / "rows.arrow")],
            tables=str(tmp_path / "tables.npz"),
            folder=str(tmp_path / kind),
            model=small_config(tables.vocab_size, initializer_range=0.05),
            steps=200,
            batch_rows=32,
            precision="fp32",
            optimizer=OptimizerRecipe("muon", 1e-2),
            start=StartRecipe(kind),
        )
        _, results = train_in_process(spec)
        ends[kind] = sum(result.loss for result in results[-10:]) / 10
    assert ends["local"] < ends["plain"] - 0.5, ends


def test_a_spec_with_a_start_comes_back_from_its_file(packed: Any, tmp_path: Path) -> None:
    """Kind and files reach the training process."""
    spec = packed.spec(
        tmp_path, start=StartRecipe("local", "c.npy"), optimizer=OptimizerRecipe("muon")
    )
    assert type(spec).from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_layer_reads_all_alike() -> None:
    """Whatever its keys are, every token gets the mean of all values; padding has no part in it."""
    config = small_config(dropout=0.0, attention_dropout=0.0)
    layer = Layer(config).eval()
    read_all_alike(layer)
    attention: SelfAttention = layer.attention
    x_BTD = torch.randn(2, 5, config.width)
    bias_B11T = torch.zeros(2, 1, 1, 5)
    bias_B11T[1, ..., 3:] = -math.inf
    values_BTD = attention.qkv(x_BTD)[..., 2 * config.width :]
    means_B1D = torch.stack([values_BTD[0].mean(0), values_BTD[1, :3].mean(0)])[:, None]
    expected_BTD = attention.out(means_B1D).expand(2, 5, config.width)
    torch.testing.assert_close(attention(x_BTD, bias_B11T), expected_BTD)
