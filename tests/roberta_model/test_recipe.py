"""What one may choose of a training: rates, ranges, defaults, and what of it is identity."""

from dataclasses import asdict
from typing import Any

import pytest

from roberta_model.recipe import (
    MUON_LEARNING_RATE,
    MaskingRecipe,
    OptimizerRecipe,
    Schedule,
    StartRecipe,
)


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
def test_a_very_short_training_has_a_rate_too(kind: Any, total_steps: int) -> None:
    """A trial run of a step or two neither divides by zero nor trains at rate 0."""
    factors = [Schedule(kind).factor(step, total_steps) for step in range(total_steps)]
    assert all(0 < factor <= 1 for factor in factors)


def test_every_default_of_a_recipe_is_written_down() -> None:
    """The paper's, where it has one; another default is another model under the same config."""
    assert asdict(MaskingRecipe()) == {
        "rate": 0.15,
        "rate_end": None,
        "whole_word": False,
        "mask_share": 0.8,
        "random_share": 0.1,
        "max_word_tokens": 8,
    }
    assert asdict(OptimizerRecipe()) == {
        "kind": "adam",
        "learning_rate": 6e-4,
        "embedding_learning_rate": None,
        "matrix_learning_rate": None,
        "head_learning_rate": None,
        "beta1": 0.9,
        "beta2": 0.98,
        "epsilon": 1e-6,
        "momentum": 0.95,
        "weight_decay": 0.01,
        "embedding_weight_decay": None,
        "clip_norm": None,
    }
    assert asdict(Schedule()) == {"type": "linear", "warmup_share": 0.06, "decay_share": 0.2}
    assert asdict(StartRecipe()) == {"kind": "plain", "token_counts": None, "token_vectors": None}


# For each number the values just outside and the ones that are the last inside.
EDGES: list[tuple[Any, str, list[float], list[float]]] = [
    (MaskingRecipe, "rate", [0, 1.001], [1e-9, 1]),
    (MaskingRecipe, "rate_end", [0, 1.001], [1e-9, 1]),
    (MaskingRecipe, "max_word_tokens", [0], [1]),
    (OptimizerRecipe, "learning_rate", [0], [1e-30]),
    (OptimizerRecipe, "embedding_learning_rate", [0], [1e-30]),
    (OptimizerRecipe, "matrix_learning_rate", [0], [1e-30]),
    (OptimizerRecipe, "head_learning_rate", [0], [1e-30]),
    (OptimizerRecipe, "beta1", [-0.001, 1], [0, 0.999]),
    (OptimizerRecipe, "beta2", [-0.001, 1], [0, 0.999]),
    (OptimizerRecipe, "epsilon", [0], [1e-30]),
    (OptimizerRecipe, "momentum", [-0.001, 1], [0, 0.999]),
    (OptimizerRecipe, "weight_decay", [-0.001], [0, 3]),
    (OptimizerRecipe, "embedding_weight_decay", [-0.001], [0, 3]),
    (OptimizerRecipe, "clip_norm", [0], [1e-30]),
    (Schedule, "warmup_share", [-0.001, 1], [0, 0.999]),
    (Schedule, "decay_share", [0, 1.001], [1e-9, 1]),
]


@pytest.mark.parametrize(("recipe", "name", "outside", "inside"), EDGES)
def test_a_range_ends_where_it_says(
    recipe: Any, name: str, outside: list[float], inside: list[float]
) -> None:
    for value in inside:
        assert getattr(recipe(**{name: value}), name) == value
    for value in outside:
        with pytest.raises(ValueError, match=rf" {name} must be"):
            recipe(**{name: value})


@pytest.mark.parametrize("name", ["mask_share", "random_share"])
def test_the_shares_of_the_chosen_are_all_of_them_at_most(name: str) -> None:
    other = {"mask_share": "random_share", "random_share": "mask_share"}[name]
    assert MaskingRecipe(**{name: 1.0, other: 0.0})  # type: ignore[arg-type]
    for values in ({name: 1.0, other: 0.001}, {name: -0.001}, {name: 1.001, other: 0.0}):
        with pytest.raises(ValueError, match="must"):
            MaskingRecipe(**values)  # type: ignore[arg-type]


def test_each_group_has_its_own_rate() -> None:
    """Where it is given; else the common one, and Muon's own for the matrices with Muon."""
    groups = ("embeddings", "matrices", "head", "vectors")
    plain = OptimizerRecipe(learning_rate=0.1)
    assert [plain.rate_of(group) for group in groups] == [0.1] * 4
    rates = {"embedding_learning_rate": 0.2, "matrix_learning_rate": 0.3}
    own = OptimizerRecipe("muon", 0.1, **rates, head_learning_rate=0.4)
    assert [own.rate_of(group) for group in groups] == [0.2, 0.3, 0.4, 0.1]
    muon = OptimizerRecipe("muon", 0.1)
    assert [muon.rate_of(group) for group in groups] == [0.1, MUON_LEARNING_RATE, 0.1, 0.1]
    assert MUON_LEARNING_RATE == 0.01


def test_vectors_do_not_decay_and_embeddings_as_asked() -> None:
    recipe = OptimizerRecipe(weight_decay=0.5)
    groups = ("embeddings", "matrices", "head", "vectors")
    assert [recipe.decay_of(group) for group in groups] == [0.5, 0.5, 0.5, 0.0]
    recipe = OptimizerRecipe(weight_decay=0.5, embedding_weight_decay=0.0)
    assert [recipe.decay_of(group) for group in groups] == [0.0, 0.5, 0.5, 0.0]


def test_what_is_written_out_or_never_read_is_no_other_recipe() -> None:
    """Rates as they come out, the momentum with Muon only, a decay with wsd, an end that moves."""
    written = OptimizerRecipe(embedding_learning_rate=6e-4, matrix_learning_rate=6e-4)
    assert written.identity() == OptimizerRecipe(momentum=0.5).identity()
    written = OptimizerRecipe(head_learning_rate=6e-4, embedding_weight_decay=0.01)
    assert written.identity() == OptimizerRecipe().identity()
    for own in ({"head_learning_rate": 1e-3}, {"embedding_weight_decay": 0.0}):
        assert OptimizerRecipe(**own).identity() != OptimizerRecipe().identity()  # type: ignore[arg-type]
    assert OptimizerRecipe(head_learning_rate=1e-3).identity() != OptimizerRecipe().identity()
    assert OptimizerRecipe("muon").identity() != OptimizerRecipe("muon", momentum=0.5).identity()
    assert OptimizerRecipe("muon").identity()["matrix_learning_rate"] == 0.01
    assert OptimizerRecipe().identity() != OptimizerRecipe(learning_rate=1e-3).identity()
    assert Schedule(decay_share=0.5).identity() == Schedule().identity()
    assert Schedule("wsd", decay_share=0.5).identity() != Schedule("wsd").identity()
    assert MaskingRecipe(rate_end=0.15).identity() == MaskingRecipe().identity()
    assert MaskingRecipe(rate_end=0.1).identity() != MaskingRecipe().identity()
    for changed in ({"whole_word": True}, {"mask_share": 0.7}, {"max_word_tokens": 7}):
        assert MaskingRecipe(**changed).identity() != MaskingRecipe().identity()


def test_the_mean_rate_is_that_of_all_steps() -> None:
    moving = MaskingRecipe(rate=0.4, rate_end=0.1)
    rates = [moving.rate_at(step, 11) for step in range(11)]
    assert moving.mean_rate == pytest.approx(sum(rates) / 11)
    assert MaskingRecipe(rate=0.3).mean_rate == 0.3


def test_a_rate_stays_within_its_ends_outside_of_the_training() -> None:
    moving = MaskingRecipe(rate=0.4, rate_end=0.1)
    assert moving.rate_at(-3, 11) == 0.4
    assert moving.rate_at(99, 11) == pytest.approx(0.1)
    assert moving.rate_at(1, 11) == pytest.approx(0.37)
