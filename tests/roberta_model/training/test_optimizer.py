"""The optimisers against torch's own AdamW and Muon, step by step."""

import copy
from typing import Literal, NamedTuple

import pytest
import torch
from small_models import our_model, small_config

from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import OptimizerRecipe
from roberta_model.training.flat import FlatWeights, Span, group_of
from roberta_model.training.optimizer import Optimizer
from roberta_model.training.step_sums import StepSums

DECAYING = ("embeddings.word.weight", "layers.0.inner.weight", "lm_head.dense.weight")
NOT_DECAYING = (
    "lm_head.bias",
    "layers.0.inner.bias",
    "layers.1.norm.weight",
    "embeddings.norm.bias",
)
FP32 = torch.float32
KINDS: tuple[Literal["adam", "muon"], ...] = ("adam", "muon")


class Trained(NamedTuple):
    """What the training loop holds of one model."""

    flat: FlatWeights
    sums: StepSums
    optimizer: Optimizer

    def step(self, num_tokens: int = 1, factor: float = 1.0) -> float:
        """What the loop does with a summed gradient; the norm of its mean over the tokens."""
        norm = self.sums.average(torch.zeros(()), num_tokens, stop=False).gradient_norm
        self.optimizer.step(norm, factor)
        self.sums.begin()
        return norm


def trained(
    model: RobertaMaskedLM, recipe: OptimizerRecipe, compute: torch.dtype = FP32
) -> Trained:
    flat = FlatWeights(model, compute)
    sums = StepSums(flat)
    return Trained(flat, sums, Optimizer(flat, sums.gradient, recipe))


def reference(model: RobertaMaskedLM, recipe: OptimizerRecipe) -> torch.optim.AdamW:
    """Torch's AdamW with the usual two groups: neither biases nor norms decay."""
    plain = {name for name, _ in model.named_parameters() if "norm" in name or "bias" in name}
    groups = [
        {
            "params": [p for name, p in model.named_parameters() if (name in plain) == is_plain],
            "weight_decay": 0.0 if is_plain else recipe.weight_decay,
        }
        for is_plain in (False, True)
    ]
    betas = (recipe.beta1, recipe.beta2)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=betas, eps=recipe.epsilon)


def random_gradients(model: RobertaMaskedLM, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.empty(p.shape).normal_(0, 1, generator=generator) for p in model.parameters()]


def give(model: RobertaMaskedLM, gradients: list[torch.Tensor], scale: float = 1.0) -> None:
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = (gradient * scale).to(parameter.dtype)


@pytest.mark.parametrize("num_micro", [1, 3])
@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_every_step_is_torchs_adamw(
    weight_decay: float, clip_norm: float | None, num_micro: int
) -> None:
    """Decay groups, clipping, accumulation and a moving rate: the weights agree throughout."""
    recipe = OptimizerRecipe(learning_rate=1e-2, weight_decay=weight_decay, clip_norm=clip_norm)
    theirs = our_model(small_config()).requires_grad_(True)
    ours = copy.deepcopy(theirs)
    torchs, mine = reference(theirs, recipe), trained(ours, recipe)
    for step in range(8):
        factor = (step + 1) / 8
        total = [torch.zeros_like(p) for p in theirs.parameters()]
        for micro in range(num_micro):
            gradients = random_gradients(theirs, 10 * step + micro)
            give(ours, gradients)
            mine.sums.collect()
            total = [whole + part for whole, part in zip(total, gradients, strict=True)]
        give(theirs, total, 0.01)
        limit = float("inf") if clip_norm is None else clip_norm
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        assert (expected > limit) == (clip_norm is not None), "clipping must matter in this test"
        for group in torchs.param_groups:
            group["lr"] = recipe.learning_rate * factor
        torchs.step()

        assert mine.step(100, factor) == pytest.approx(expected.item(), rel=1e-5)
        for (name, value), parameter in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        ):
            torch.testing.assert_close(value, parameter, atol=2e-6, rtol=0, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_decay_and_nothing_else(kind: Literal["adam", "muon"]) -> None:
    """Biases and norms that decay are a well-known way to a worse model."""
    named = dict(our_model(small_config()).named_parameters())
    assert "vectors" not in {group_of(name, named[name]) for name in DECAYING}
    assert {group_of(name, named[name]) for name in NOT_DECAYING} == {"vectors"}
    model = our_model(small_config())
    recipe = OptimizerRecipe(kind, 0.1, matrix_learning_rate=0.1, weight_decay=0.5)
    flat, sums, _ = parts = trained(model, recipe)
    before = {name: value.clone() for name, value in flat.weights().items()}
    give(model, [torch.zeros_like(p) for p in model.parameters()])
    sums.collect()
    parts.step()
    for name, value in flat.weights().items():
        shrinks = 1.0 if group_of(name, value) == "vectors" else 0.95
        torch.testing.assert_close(value, before[name] * shrinks, atol=1e-6, rtol=0, msg=name)


def test_bf16_weights_follow_an_fp32_master() -> None:
    """Updates too small for bf16 add up in the master copy instead of getting lost."""
    recipe = OptimizerRecipe(learning_rate=1e-6, weight_decay=0.0)
    exact, rough = our_model(small_config()), our_model(small_config())
    both = trained(exact, recipe), trained(rough, recipe, torch.bfloat16)
    flats = both[0].flat, both[1].flat
    start = flats[1].master.clone()
    assert {p.dtype for p in rough.parameters()} == {torch.bfloat16}
    for _ in range(20):
        for model, parts in zip((exact, rough), both, strict=True):
            give(model, [torch.ones_like(p) for p in model.parameters()])
            parts.sums.collect()
            parts.step()
    torch.testing.assert_close(flats[1].master, flats[0].master, atol=1e-7, rtol=0)
    assert (start - flats[1].master).min() > 1e-5
    for name, parameter in rough.named_parameters():
        assert torch.equal(parameter.data, flats[1].weights()[name].bfloat16()), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_goes_on_to_the_bit(kind: Literal["adam", "muon"]) -> None:
    """Saved moments and step count, loaded elsewhere, give the same next steps."""
    recipe = OptimizerRecipe(kind, learning_rate=1e-2)
    one, other = our_model(small_config()), our_model(small_config(), seed=9)
    first, follower = trained(one, recipe), trained(other, recipe)
    for step in range(6):
        if step == 3:
            follower.flat.load({n: value.clone() for n, value in first.flat.weights().items()})
            state = first.optimizer.state()
            follower.optimizer.load({name: value.clone() for name, value in state.items()})
        for model, parts in ((one, first), (other, follower)):
            give(model, random_gradients(model, step))
            parts.sums.collect()
            parts.step(10)
    assert torch.equal(first.flat.master, follower.flat.master)
    state = first.optimizer.state()
    assert float(state["vectors.step"]) == 6
    assert ("matrices.momentum" in state) == (kind == "muon")
    for name, value in state.items():
        assert torch.equal(value, follower.optimizer.state()[name]), name


def test_the_state_of_another_kind_is_refused() -> None:
    """Adam's moments are no momentum of Muon's: going on from them would train on noise."""
    adam, muon = (
        trained(our_model(small_config()), OptimizerRecipe(kind)).optimizer for kind in KINDS
    )
    with pytest.raises(ValueError, match=r"another kind: matrices\.exp_avg.*matrices\.momentum"):
        muon.load(adam.state())


def test_a_step_forgets_the_gradients_of_the_step_before() -> None:
    """The sum begins anew; a process without rows adds zeros, not its last gradients."""
    model = our_model(small_config())
    parts = trained(model, OptimizerRecipe())
    gradients = random_gradients(model, 0)
    for _ in range(2):
        give(model, gradients)
        parts.sums.collect()
        squares = sum(float(gradient.square().sum()) for gradient in gradients)
        assert parts.step(factor=0.0) == pytest.approx(squares**0.5, rel=1e-4)
    assert parts.step(factor=0.0) == 0.0


def test_loss_tokens_and_stop_leave_the_gradient_alone() -> None:
    """They travel in its vector, behind it: large figures move no weight, nor the norm."""
    model = our_model(small_config())
    parts = trained(model, OptimizerRecipe())
    for loss_sum, stop in ((0.0, False), (3e9, True)):
        give(model, random_gradients(model, 0))
        parts.sums.collect()
        means = parts.sums.average(torch.tensor(loss_sum), 50, stop)
        assert (means.loss, means.num_tokens, means.must_stop) == (loss_sum / 50, 50, stop)
        assert means.gradient_norm == parts.sums.gradient.norm()
        parts.sums.begin()
    assert len(parts.sums.gradient) == len(parts.flat.master)


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_of_parts_is_the_update_of_the_whole(kind: Literal["adam", "muon"]) -> None:
    """Each half of a group alone: processes may share the updates out, an average looks on."""
    recipe = OptimizerRecipe(kind, 1e-2)
    flat, _, whole = trained(our_model(small_config()), recipe)
    halved, _, _ = trained(our_model(small_config()), recipe)
    gradient = torch.randn(len(flat.master), generator=torch.Generator().manual_seed(2))
    whole.gradient.copy_(gradient)
    maker = Optimizer(halved, gradient.clone(), recipe)
    updates = [maker.make(half) for span in halved.spans for half in halves(span)]
    assert len(updates) == 2 * len(flat.spans)
    for _ in range(3):
        whole.step(1.0, 1.0)
        for update in updates:
            update.step(1.0)
    torch.testing.assert_close(halved.master, flat.master, atol=1e-5, rtol=0)


def halves(span: Span) -> list[Span]:
    """The first parameters of a group, and the others."""
    first = span.parameters[: len(span.parameters) // 2]
    middle = span.start + sum(shape.numel() for _, shape in first)
    return [
        Span(span.name, span.start, middle, first),
        Span(span.name, middle, span.stop, span.parameters[len(first) :]),
    ]


def parts_of(parameter: torch.Tensor, name: str) -> list[torch.Tensor]:
    """A layer's matrix as Muon sees it: query, key and value apart."""
    return list(parameter.detach().chunk(3 if "qkv" in name else 1))


def test_every_step_of_the_layers_matrices_is_torchs_muon() -> None:
    """Momentum, Nesterov, orthogonalisation, decay and the scale of tall matrices agree.

    Torch's computes in bf16, so its change of each matrix is compared within bf16's precision.
    """
    recipe = OptimizerRecipe("muon", matrix_learning_rate=0.02, weight_decay=0.1)
    model = our_model(small_config()).requires_grad_(True)
    flat, sums, _ = parts = trained(model, recipe)
    names = [n for n, p in model.named_parameters() if group_of(n, p) == "matrices"]
    assert len(names) == 8, "qkv, out, inner and outer of two layers"
    twins = [
        torch.nn.Parameter(part.clone())
        for name in names
        for part in parts_of(flat.weights()[name], name)
    ]
    torchs = torch.optim.Muon(twins, lr=0.02, weight_decay=0.1, momentum=0.95)
    for step in range(4):
        gradients = dict(
            zip(dict(model.named_parameters()), random_gradients(model, step), strict=True)
        )
        give(model, list(gradients.values()))
        sums.collect()
        given = [part for name in names for part in parts_of(gradients[name], name)]
        before = [twin.detach().clone() for twin in twins]
        for twin, gradient in zip(twins, given, strict=True):
            twin.grad = gradient.clone()
        ours = [p.clone() for n in names for p in parts_of(flat.weights()[n], n)]
        torchs.step()
        parts.step()
        mine = [part for name in names for part in parts_of(flat.weights()[name], name)]
        for was, now, old, twin in zip(ours, mine, before, twins, strict=True):
            expected = twin.detach() - old
            assert (now - was - expected).norm() < 0.03 * expected.norm()


def test_muon_leaves_everything_else_to_adam() -> None:
    """Embeddings, head, biases and norms move as with kind: adam, at their own rates."""
    ends = {}
    for kind in KINDS:
        model = our_model(small_config())
        recipe = OptimizerRecipe(kind, 1e-2, embedding_learning_rate=5e-2)
        flat, sums, _ = parts = trained(model, recipe)
        for step in range(3):
            give(model, random_gradients(model, step))
            sums.collect()
            parts.step()
        ends[kind] = {name: value.clone() for name, value in flat.weights().items()}
    start = our_model(small_config())
    for name, parameter in start.named_parameters():
        same = torch.equal(ends["adam"][name], ends["muon"][name])
        group = group_of(name, parameter)
        assert same == (group != "matrices"), name
        moved = (ends["adam"][name] - parameter.detach()).abs().mean().item()
        assert moved == pytest.approx(0.1 if group == "embeddings" else 0.02, rel=0.4), name
