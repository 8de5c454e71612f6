"""The flat optimiser against torch's own AdamW, step by step; and the learning rate."""

import copy

import pytest
import torch
from small_models import our_model, small_config

from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.optimizer import AdamRecipe, FlatAdam, has_weight_decay
from roberta_model.schedule import Schedule

DECAYING = ("embeddings.word.weight", "layers.0.inner.weight", "lm_head.dense.weight")
NOT_DECAYING = (
    "lm_head.bias",
    "layers.0.inner.bias",
    "layers.1.norm.weight",
    "embeddings.norm.bias",
)
FP32 = torch.float32


def reference(model: RobertaMaskedLM, recipe: AdamRecipe) -> torch.optim.AdamW:
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
    recipe = AdamRecipe(learning_rate=1e-2, weight_decay=weight_decay, clip_norm=clip_norm)
    theirs = our_model(small_config()).requires_grad_(True)
    ours = copy.deepcopy(theirs)
    torchs, flat = reference(theirs, recipe), FlatAdam(ours, recipe, FP32)
    for step in range(8):
        factor = (step + 1) / 8
        total = [torch.zeros_like(p) for p in theirs.parameters()]
        for micro in range(num_micro):
            gradients = random_gradients(theirs, 10 * step + micro)
            give(ours, gradients)
            flat.collect()
            total = [whole + part for whole, part in zip(total, gradients, strict=True)]
        give(theirs, total, 0.01)
        limit = float("inf") if clip_norm is None else clip_norm
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit)
        assert (expected > limit) == (clip_norm is not None), "clipping must matter in this test"
        for group in torchs.param_groups:
            group["lr"] = recipe.learning_rate * factor
        torchs.step()
        norm = flat.step(0.01, factor)

        assert norm == pytest.approx(expected.item(), rel=1e-5)
        for (name, mine), parameter in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        ):
            torch.testing.assert_close(mine, parameter, atol=2e-6, rtol=0, msg=name)


def test_matrices_decay_and_nothing_else() -> None:
    """Biases and norms that decay are a well-known way to a worse model."""
    named = dict(our_model(small_config()).named_parameters())
    assert all(has_weight_decay(name, named[name]) for name in DECAYING)
    assert not any(has_weight_decay(name, named[name]) for name in NOT_DECAYING)
    model = our_model(small_config())
    flat = FlatAdam(model, AdamRecipe(learning_rate=0.1, weight_decay=0.5), FP32)
    before = {name: value.clone() for name, value in flat.weights().items()}
    give(model, [torch.zeros_like(p) for p in model.parameters()])
    flat.collect()
    flat.step(1.0, 1.0)
    for name, value in flat.weights().items():
        shrinks = 0.95 if has_weight_decay(name, value) else 1.0
        torch.testing.assert_close(value, before[name] * shrinks, atol=1e-6, rtol=0, msg=name)


def test_bf16_weights_follow_an_fp32_master() -> None:
    """Updates too small for bf16 add up in the master copy instead of getting lost."""
    recipe = AdamRecipe(learning_rate=1e-6, weight_decay=0.0)
    exact, rough = our_model(small_config()), our_model(small_config())
    flats = FlatAdam(exact, recipe, FP32), FlatAdam(rough, recipe, torch.bfloat16)
    start = flats[1].master.clone()
    assert {p.dtype for p in rough.parameters()} == {torch.bfloat16}
    for _ in range(20):
        for model, flat in zip((exact, rough), flats, strict=True):
            give(model, [torch.ones_like(p) for p in model.parameters()])
            flat.collect()
            flat.step(1.0, 1.0)
    torch.testing.assert_close(flats[1].master, flats[0].master, atol=1e-7, rtol=0)
    assert (start - flats[1].master).min() > 1e-5
    for name, parameter in rough.named_parameters():
        assert torch.equal(parameter.data, flats[1].weights()[name].bfloat16()), name


def test_the_state_goes_on_to_the_bit() -> None:
    """Saved moments and step count, loaded elsewhere, give the same next steps."""
    recipe = AdamRecipe(learning_rate=1e-2)
    one, other = our_model(small_config()), our_model(small_config(), seed=9)
    flat, loaded = FlatAdam(one, recipe, FP32), FlatAdam(other, recipe, FP32)
    for step in range(6):
        if step == 3:
            weights = {name: value.clone() for name, value in flat.weights().items()}
            loaded.load(weights, {name: value.clone() for name, value in flat.state().items()})
        for model, optimizer in ((one, flat), (other, loaded)):
            give(model, random_gradients(model, step))
            optimizer.collect()
            optimizer.step(0.1, 1.0)
    assert torch.equal(flat.master, loaded.master)
    assert float(flat.state()["step"]) == 6
    for name, value in flat.state().items():
        assert torch.equal(value, loaded.state()[name]), name


def test_a_step_forgets_the_gradients_of_the_step_before() -> None:
    """The sum begins anew; a process without rows adds zeros, not its last gradients."""
    model = our_model(small_config())
    flat = FlatAdam(model, AdamRecipe(), FP32)
    gradients = random_gradients(model, 0)
    for _ in range(2):
        give(model, gradients)
        flat.collect()
        squares = sum(float(gradient.square().sum()) for gradient in gradients)
        assert flat.step(1.0, 0.0) == pytest.approx(squares**0.5, rel=1e-4)
    flat.zero()
    assert flat.step(1.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("linear", 0.1), {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 55: 0.5, 99: 1 / 90}),
        (Schedule("linear", 0.0), {0: 1.0, 1: 1.0, 50: 50 / 99, 99: 1 / 99}),
        (Schedule("constant", 0.1), {0: 0.1, 9: 1.0, 50: 1.0, 99: 1.0}),
        (Schedule("wsd", 0.1, 0.2), {0: 0.1, 9: 1.0, 79: 1.0, 80: 1.0, 90: 0.5, 99: 0.05}),
    ],
)
def test_the_rate_warms_up_and_decays(schedule: Schedule, expected: dict[int, float]) -> None:
    """The end points a reader expects: 1/10 at once, the peak after warm-up, 0 behind the end."""
    for step, factor in expected.items():
        assert schedule.factor(step, 100) == pytest.approx(factor), step
    factors = [schedule.factor(step, 100) for step in range(100)]
    assert max(factors) == 1.0
    assert min(factors) > 0
    if schedule.type != "constant":
        assert schedule.factor(100, 100) == 0


@pytest.mark.parametrize("kind", ["linear", "constant", "wsd"])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 7])
def test_a_very_short_training_has_a_rate_too(kind: str, total_steps: int) -> None:
    """A trial run of a step or two neither divides by zero nor trains at rate 0."""
    factors = [Schedule(kind).factor(step, total_steps) for step in range(total_steps)]
    assert all(0 < factor <= 1 for factor in factors)
