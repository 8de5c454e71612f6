"""Masks as a pure function of (seed, epoch, row), with the shares that RoBERTa has."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import PAD, SPECIAL_IDS, byte_tables

from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.recipe import MaskingRecipe

TABLES = byte_tables(740)
MASK = TABLES.mask_id
SPECIALS = [*SPECIAL_IDS, MASK]
RECIPES = {"tokens": MaskingRecipe(), "words": MaskingRecipe(whole_word=True)}
Masked = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows_with_specials(num_rows: int, row_tokens: int = 64, seed: int = 0) -> np.ndarray:
    """Random rows in which every special token, <mask> too, stands now and then."""
    rng = np.random.default_rng(seed)
    tokens_BT = rng.integers(4, TABLES.vocab_size - 1, (num_rows, row_tokens))
    special_BT = rng.choice(SPECIALS, tokens_BT.shape)
    return np.where(rng.random(tokens_BT.shape) < 0.1, special_BT, tokens_BT).astype(np.uint16)


def masked(
    tokens_BT: np.ndarray,
    rows: Any = None,
    epochs: Any = 0,
    seed: int = 5,
    recipe: MaskingRecipe = RECIPES["tokens"],
    lengths: Any = None,
    purpose: str = "masking",
) -> Masked:
    numbers_B = np.arange(len(tokens_BT)) if rows is None else np.asarray(rows)
    epochs_B = np.broadcast_to(epochs, numbers_B.shape)
    lengths_B = None if lengths is None else np.asarray(lengths)
    masking = Masking(TABLES, recipe, seed, purpose)
    return masking.hide(tokens_BT, lengths_B, epochs_B, numbers_B)


def by_row(result: Masked) -> list[tuple[list[int], list[int], list[int]]]:
    """The result row by row: ids, places, targets."""
    ids_BT, positions_M, targets_M = result
    rows_M, places_M = np.divmod(positions_M, ids_BT.shape[1])
    return [
        (ids.tolist(), places_M[rows_M == b].tolist(), targets_M[rows_M == b].tolist())
        for b, ids in enumerate(ids_BT)
    ]


@pytest.mark.parametrize("kind", RECIPES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_mask_depends_on_seed_epoch_and_row_alone(kind: str, data: st.DataObject) -> None:
    """The batch around a row, its size and its order change nothing: restarts are exact."""
    num_rows = data.draw(st.integers(1, 12))
    seed, epoch = data.draw(st.integers(0, 2**31)), data.draw(st.integers(0, 9))
    tokens_BT = rows_with_specials(num_rows, data.draw(st.integers(1, 40)))
    lengths_B = np.array(
        data.draw(st.lists(st.integers(1, 40), min_size=num_rows, max_size=num_rows))
    ).clip(max=tokens_BT.shape[1])
    numbers_B = np.array(data.draw(st.permutations(range(1000, 1000 + num_rows))))
    together = masked(tokens_BT, numbers_B, epoch, seed, RECIPES[kind], lengths_B)

    chosen = data.draw(st.permutations(range(num_rows)))[: data.draw(st.integers(1, num_rows))]
    other = masked(
        tokens_BT[chosen], numbers_B[chosen], epoch, seed, RECIPES[kind], lengths_B[chosen]
    )
    assert by_row(other) == [by_row(together)[row] for row in chosen]


@given(seed=st.integers(0, 2**31), rate=st.floats(0.001, 1), kind=st.sampled_from([*RECIPES]))
@settings(max_examples=60, deadline=None)
def test_targets_are_the_originals_and_nothing_else_changes(
    seed: int, rate: float, kind: str
) -> None:
    """Special tokens and padding are never chosen or drawn, whatever the rate."""
    tokens_BT = rows_with_specials(9, 30, seed)
    lengths_B = np.array([30, 1, 7, 30, 2, 29, 15, 3, 30])
    recipe = MaskingRecipe(rate=rate, whole_word=kind == "words", mask_share=0.3, random_share=0.5)
    ids_BT, positions_M, targets_M = masked(tokens_BT, seed=seed, recipe=recipe, lengths=lengths_B)

    flat = tokens_BT.reshape(-1)
    assert np.array_equal(targets_M, flat[positions_M])
    assert (np.diff(positions_M) > 0).all()
    assert not np.isin(targets_M, SPECIALS).any()
    assert (positions_M % 30 < lengths_B[positions_M // 30]).all()
    untouched = np.ones(flat.size, bool)
    untouched[positions_M] = False
    assert np.array_equal(ids_BT.reshape(-1)[untouched], flat[untouched])
    placed = ids_BT.reshape(-1)[positions_M]
    assert not np.isin(placed, SPECIAL_IDS).any()
    maskable = (~np.isin(tokens_BT, SPECIALS)) & (np.arange(30) < lengths_B[:, None])
    assert (np.bincount(positions_M // 30, minlength=9) >= maskable.any(axis=1)).all()


def test_a_row_of_special_tokens_alone_hides_nothing() -> None:
    """A row without ordinary tokens is no error and teaches nothing."""
    tokens_BT = np.array([[0, PAD, PAD], [0, 2, MASK]], dtype=np.uint16)
    for recipe in RECIPES.values():
        ids_BT, positions_M, _ = masked(tokens_BT, recipe=recipe)
        assert len(positions_M) == 0
        assert np.array_equal(ids_BT, tokens_BT)


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_rate_is_the_share_of_ordinary_tokens(kind: str, rate: float) -> None:
    """15 % means 15 % of what can be predicted, on average and, for tokens, in each row."""
    recipe = MaskingRecipe(rate=rate, whole_word=kind == "words")
    tokens_BT = rows_with_specials(3000)
    _, positions_M, _ = masked(tokens_BT, recipe=recipe)
    sizes_B = (~np.isin(tokens_BT, SPECIALS)).sum(axis=1)
    counts_B = np.bincount(positions_M // 64, minlength=3000)

    assert counts_B.sum() / sizes_B.sum() == pytest.approx(rate, abs=0.003)
    spread = np.abs(counts_B - rate * sizes_B).max()
    assert spread < (1 if kind == "tokens" else 8)


def test_every_place_is_chosen_as_often() -> None:
    """No position of a row is favoured, its ends included."""
    tokens_BT = np.full((6000, 20), 50, dtype=np.uint16)
    _, positions_M, _ = masked(tokens_BT)
    often = np.bincount(positions_M % 20, minlength=20) / 6000
    assert np.abs(often - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 6000)


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("shares", [(0.8, 0.1), (0.5, 0.3), (1.0, 0.0)])
def test_of_the_chosen_80_10_10_are_hidden_swapped_and_kept(
    kind: str, shares: tuple[float, float]
) -> None:
    """The shares are those asked for; drawn tokens are spread over the whole vocabulary."""
    mask_share, random_share = shares
    recipe = MaskingRecipe(
        whole_word=kind == "words", mask_share=mask_share, random_share=random_share
    )
    ids_BT, positions_M, targets_M = masked(rows_with_specials(5000), recipe=recipe)
    placed_M = ids_BT.reshape(-1)[positions_M]
    hidden, kept = placed_M == MASK, placed_M == targets_M
    drawn = placed_M[~hidden & ~kept]

    assert len(placed_M) > 40_000
    assert hidden.mean() == pytest.approx(mask_share, abs=0.01)
    assert len(drawn) / len(placed_M) == pytest.approx(random_share, abs=0.01)
    assert kept.mean() == pytest.approx(1 - mask_share - random_share, abs=0.01)
    assert not np.isin(drawn, SPECIALS).any()
    if random_share:
        often = np.bincount(drawn, minlength=TABLES.vocab_size)[TABLES.drawable_ids]
        assert len(TABLES.drawable_ids) == TABLES.vocab_size - 5
        expected = len(drawn) / len(often)
        assert often[[0, 1, -2, -1]].sum() > 0
        assert often.max() < expected + 6 * np.sqrt(expected) + 3
        assert (often == 0).mean() < 2 * np.exp(-expected) + 0.01


def test_the_recipe_unless_told_otherwise_is_robertas() -> None:
    """15 % of the tokens; of these 80 % hidden, 10 % swapped, 10 % kept; single tokens."""
    recipe = MaskingRecipe()
    assert (recipe.rate, recipe.mask_share, recipe.random_share) == (0.15, 0.8, 0.1)
    assert not recipe.whole_word


def test_masks_are_fresh_each_epoch() -> None:
    """Dynamic masking: an epoch, a row, a seed and a use have masks of their own."""
    tokens_BT = np.full((400, 64), 50, dtype=np.uint16)
    variants = [
        masked(tokens_BT),
        masked(tokens_BT, epochs=1),
        masked(tokens_BT, epochs=2),
        masked(tokens_BT, rows=np.arange(400) + 1000),
        masked(tokens_BT, seed=6),
        masked(tokens_BT, purpose="held-out"),
    ]
    for i, (_, one, _) in enumerate(variants):
        for _, other, _ in variants[:i]:
            shared = len(np.intersect1d(one, other)) / len(one)
            assert shared == pytest.approx(0.15, abs=0.03)  # what independent masks share


SCRIPT = """
import sys
import numpy as np
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.recipe import MaskingRecipe
tokens = np.load(sys.argv[1])
tables = MaskingTables.load(sys.argv[2])
rows = np.arange(len(tokens))
for whole_word in (False, True):
    recipe = MaskingRecipe(whole_word=whole_word)
    result = Masking(tables, recipe, 5).hide(tokens, None, rows * 0, rows)
    np.savez(f"{sys.argv[3]}-{whole_word}.npz", *result)
"""


def test_another_process_makes_the_same_masks(tmp_path: Path) -> None:
    """A restarted training, where Python hashes differently, hides the same tokens."""
    tokens_BT = rows_with_specials(50)
    np.save(tmp_path / "tokens.npy", tokens_BT)
    TABLES.save(tmp_path / "tables.npz")
    paths = [str(tmp_path / name) for name in ("tokens.npy", "tables.npz", "result")]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", SCRIPT, *paths], env=environment, check=True)
    for kind, recipe in RECIPES.items():
        with np.load(tmp_path / f"result-{kind == 'words'}.npz") as found:
            for mine, name in zip(masked(tokens_BT, recipe=recipe), found.files, strict=True):
                assert np.array_equal(mine, found[name])


def test_masks_of_a_run_are_those_of_earlier_versions() -> None:
    """An upgrade amid a training must not change its masks: these were written down once."""
    tokens_BT = np.arange(4, 84, dtype=np.uint16).reshape(2, 40)
    _, positions_M, _ = masked(tokens_BT, rows=[3, 70_000], epochs=[0, 9], seed=1)
    assert positions_M.tolist() == [8, 17, 20, 23, 26, 29, 43, 47, 51, 66, 69, 75]


def test_the_rate_moves_on_a_straight_line() -> None:
    """With `rate_end` the first step has `rate`, the last `rate_end`, for any length of run."""
    recipe = MaskingRecipe(rate=0.3, rate_end=0.1)
    assert recipe.rate_at(0, 101) == 0.3
    assert recipe.rate_at(100, 101) == pytest.approx(0.1)
    assert recipe.rate_at(50, 101) == pytest.approx(0.2)
    assert recipe.rate_at(0, 1) == 0.3
    assert MaskingRecipe().rate_at(77, 101) == 0.15


@pytest.mark.parametrize(
    "values",
    [{"rate": 0.0}, {"rate": 1.1}, {"rate_end": 0}, {"mask_share": 0.95}, {"max_word_tokens": 0}],
)
def test_impossible_recipes_are_refused(values: dict[str, Any]) -> None:
    """Shares above 100 % are an error and not another recipe."""
    with pytest.raises(ValueError, match=r"must be|sum to at most 1"):
        MaskingRecipe(**values)


def test_tables_come_back_from_their_file(tmp_path: Path) -> None:
    """What the tokenizer stage writes is what the training reads."""
    TABLES.save(tmp_path / "tables.npz")
    loaded = MaskingTables.load(tmp_path / "tables.npz")
    assert np.array_equal(loaded.codes, TABLES.codes)
    assert loaded.mask_id == TABLES.mask_id == TABLES.vocab_size - 1
    assert not np.isin(SPECIALS, loaded.drawable_ids).any()
