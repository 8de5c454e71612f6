"""All weights as one vector: which group each belongs to, and where it lies."""

import torch
from small_models import our_model, small_config

from roberta_model.training.flat import GROUPS, FlatWeights, group_of

CONFIG = small_config(num_layers=1)


def test_every_parameter_belongs_to_one_group() -> None:
    """Norms and biases are vectors wherever they stand, the type row is an embedding."""
    named = our_model(CONFIG).named_parameters()
    layer = "layers.0."
    assert {name: group_of(name, value) for name, value in named} == {
        "embeddings.token_type": "embeddings",
        "embeddings.word.weight": "embeddings",
        "embeddings.position.weight": "embeddings",
        "embeddings.norm.weight": "vectors",
        "embeddings.norm.bias": "vectors",
        f"{layer}attention.qkv.weight": "matrices",
        f"{layer}attention.qkv.bias": "vectors",
        f"{layer}attention.out.weight": "matrices",
        f"{layer}attention.out.bias": "vectors",
        f"{layer}attention_norm.weight": "vectors",
        f"{layer}attention_norm.bias": "vectors",
        f"{layer}inner.weight": "matrices",
        f"{layer}inner.bias": "vectors",
        f"{layer}outer.weight": "matrices",
        f"{layer}outer.bias": "vectors",
        f"{layer}norm.weight": "vectors",
        f"{layer}norm.bias": "vectors",
        "lm_head.bias": "vectors",
        "lm_head.dense.weight": "head",
        "lm_head.dense.bias": "vectors",
        "lm_head.norm.weight": "vectors",
        "lm_head.norm.bias": "vectors",
    }


def test_groups_lie_one_behind_the_other() -> None:
    """A checkpoint's moments are read by this order: it never changes."""
    flat = FlatWeights(our_model(CONFIG), torch.float32)
    assert [span.name for span in flat.spans] == list(GROUPS)
    assert GROUPS == ("embeddings", "matrices", "head", "vectors")
    embeddings, matrices, head, vectors = flat.spans
    assert (embeddings.start, embeddings.stop) == (0, 32 * (1 + 160 + 26))
    assert matrices.stop - matrices.start == 4 * 32 * 32 + 2 * 32 * 48
    assert head.stop - head.start == 32 * 32
    assert (matrices.start, head.start) == (embeddings.stop, matrices.stop)
    assert (vectors.start, vectors.stop) == (head.stop, len(flat.master))
    assert [name for span in flat.spans for name, _ in span.parameters] == flat.names


def test_each_weight_is_a_view_of_its_own_place() -> None:
    """Values of the model, in the model's shapes; what is written into the vector is in it."""
    expected = {name: value.clone() for name, value in our_model(CONFIG).named_parameters()}
    model = our_model(CONFIG)
    flat = FlatWeights(model, torch.float32)
    assert flat.weights().keys() == expected.keys()
    for name, value in flat.weights().items():
        assert torch.equal(value, expected[name]), name
    flat.master.add_(1.0)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.data, expected[name] + 1.0), name


def test_rounded_weights_are_new_when_they_are_published() -> None:
    """The model computes with bf16 copies; the master is fp32."""
    model = our_model(CONFIG)
    flat = FlatWeights(model, torch.bfloat16)
    assert (flat.master.dtype, flat.compute.dtype) == (torch.float32, torch.bfloat16)
    before = model.lm_head.bias.detach().clone()
    flat.master.add_(1.0)
    assert torch.equal(model.lm_head.bias, before)
    flat.publish()
    assert torch.equal(model.lm_head.bias, flat.weights()["lm_head.bias"].bfloat16())
    flat.load({name: value * 0 + 3 for name, value in flat.weights().items()})
    assert (flat.master == 3).all()
    assert (model.lm_head.bias == 3).all()
