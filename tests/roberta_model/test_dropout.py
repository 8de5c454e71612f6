"""Where noise falls, and that none falls in evaluation: with all dropped, by hand.

Dropping everything makes a branch zero, so what is left shows where the noise was.
"""

from typing import Any, cast

import pytest
import torch
from small_models import our_model, random_ids, small_config
from torch import Tensor

from roberta_model.encoder import Encoder, Layer
from roberta_model.heads import SequenceClassificationHead, TokenClassificationHead
from roberta_model.ragged import Ragged, encode_ragged
from roberta_model.short_rows import attend_short_rows

IDS_BT, _ = random_ids((2, 6), 160)


def layer_of(share: float) -> Layer:
    model = our_model(small_config(dropout=share, attention_dropout=0.0))
    return cast(Layer, model.layers[0])


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_a_layer_drops_what_attention_and_mlp_add_and_not_what_they_are_added_to() -> None:
    layer, x, attended = layer_of(1.0).train(), drawn(5, 32), drawn(5, 32).flip(0)
    expected = layer.norm(layer.attention_norm(x))
    torch.testing.assert_close(layer.finish(x, attended), expected)
    layer.eval()
    inner = layer.attention_norm(x + attended)
    whole = layer.norm(inner + layer.outer(torch.nn.functional.gelu(layer.inner(inner))))
    torch.testing.assert_close(layer.finish(x, attended), whole)


def test_the_embeddings_drop_behind_their_norm() -> None:
    embeddings = our_model(small_config(dropout=1.0)).embeddings
    assert embeddings(IDS_BT).any()
    assert not embeddings.train()(IDS_BT).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_drops_what_is_read_while_training_alone(dtype: torch.dtype) -> None:
    """Both ways of computing it: nothing is read at all, in evaluation everything."""
    attention = layer_of(0.0).attention.to(dtype)
    q = k = v = drawn(2, 4, 6, 8).to(dtype)
    before = attention.eval().attend(q, k, v, None)
    attention.attention_dropout = 1.0
    assert torch.equal(attention.attend(q, k, v, None), before)
    assert not attention.train().attend(q, k, v, None).any()
    attention.attention_dropout = 0.0
    assert torch.equal(attention.attend(q, k, v, None), before)


def test_of_short_rows_the_same() -> None:
    rows = [[torch.tensor([4, 5, 6], dtype=torch.int32).numpy()]]
    ragged = Ragged.of(rows, 1)
    qkv = drawn(3, 3 * 8)
    kept = [attend_short_rows(qkv, ragged.groups, 2, 0.5, 0.0) for _ in range(2)]
    assert torch.equal(*kept)
    torch.manual_seed(0)
    half = torch.stack([attend_short_rows(qkv, ragged.groups, 2, 0.5, 0.5) for _ in range(600)])
    torch.testing.assert_close(half.mean(0), kept[0], atol=0.15, rtol=0)
    assert half.std(0).min() > 0.05


@pytest.mark.parametrize("firsts_only", [False, True])
def test_rows_without_padding_have_the_noise_of_attention_while_training_alone(
    firsts_only: bool,
) -> None:
    model = our_model(small_config(dropout=0.0, attention_dropout=0.5, num_layers=1))
    ragged = Ragged.of([[torch.arange(4, 16, dtype=torch.int32).numpy()]], 1)
    kept = [encode_ragged(model, ragged, firsts_only=firsts_only) for _ in range(2)]
    assert torch.equal(*kept)
    noisy = [encode_ragged(model.train(), ragged, firsts_only=firsts_only) for _ in range(2)]
    assert not torch.equal(*noisy)


def test_the_scale_of_scores_is_the_root_of_a_heads_width() -> None:
    for heads, width in ((2, 16), (4, 8), (8, 4)):
        layer = cast(Layer, our_model(small_config(num_heads=heads)).layers[0])
        assert layer.attention.scale == pytest.approx(width**-0.5)


def test_dropout_of_a_model_is_its_configs() -> None:
    """Of rows and of attention apart; evaluation mode changes neither number."""
    model = Encoder(small_config(dropout=0.3, attention_dropout=0.2))
    noise = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert noise == {0.3}
    assert {cast(Layer, layer).attention.attention_dropout for layer in model.layers} == {0.2}


@pytest.mark.parametrize("kind", [SequenceClassificationHead, TokenClassificationHead])
def test_a_head_drops_its_own_share_or_the_encoders(kind: Any) -> None:
    """Before its last product: with all dropped, only the bias is left."""
    config = small_config(dropout=0.3)
    assert kind(config, ("a", "b")).dropout.p == 0.3
    assert kind(config, ("a", "b"), 0.0).dropout.p == 0.0
    head = kind(config, ("a", "b"), 1.0)
    torch.nn.init.constant_(head.out.bias, 0.5)
    hidden_BTD = drawn(2, 3, 32)
    assert (head.train()(hidden_BTD) == 0.5).all()
    assert (head.eval()(hidden_BTD) != 0.5).all()


def test_a_classifier_reads_the_first_token_alone() -> None:
    """As stock: dense, tanh, product."""
    head = SequenceClassificationHead(small_config(), ("a", "b", "c")).eval()
    hidden_BTD = drawn(2, 3, 32)
    expected = head.out(torch.tanh(head.dense(hidden_BTD[:, 0])))
    torch.testing.assert_close(head(hidden_BTD), expected)
    other = hidden_BTD.clone()
    other[:, 1:] += 1
    torch.testing.assert_close(head(other), expected)
