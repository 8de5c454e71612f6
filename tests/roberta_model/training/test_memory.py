"""What processes that share their memory come to is what one comes to: here they are threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import torch
from small_models import our_model, small_config
from torch import Tensor

from roberta_model.recipe import OptimizerRecipe
from roberta_model.training.flat import FlatWeights
from roberta_model.training.memory import Memory
from roberta_model.training.optimizer import Optimizer
from roberta_model.training.step_sums import StepMeans, StepSums

CONFIG = small_config()
SIZES = {name: value.shape for name, value in our_model(CONFIG).named_parameters()}
WORD = "embeddings.word.weight"
Gradients = dict[str, Tensor]


class Room:
    """What threads share in place of processes: vectors by the order they are asked for."""

    def __init__(self, num_parts: int) -> None:
        self.vectors: list[Tensor] = []
        self.given: list[bytes] = [b""] * num_parts
        self.barrier = threading.Barrier(num_parts, timeout=60)


class ThreadMemory(Memory):
    """A thread's access to the room."""

    def __init__(self, room: Room, part: int, num_parts: int) -> None:
        super().__init__(part, num_parts)
        self.part, self.num_parts = part, num_parts
        self._room, self._asked = room, 0

    def zeros(self, size: int, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        self.wait()
        if self.part == 0:
            self._room.vectors.append(like.new_zeros(size, dtype=dtype))
        self.wait()
        self._asked += 1
        return self._room.vectors[self._asked - 1]

    def wait(self) -> None:
        self._room.barrier.wait()

    def collected(self, mine: bytes) -> list[bytes]:
        self._room.given[self.part] = mine
        self.wait()
        return list(self._room.given)


class Trained:
    """One process of a training: its model, sums and updates."""

    def __init__(self, recipe: OptimizerRecipe, memory: Memory | None = None) -> None:
        self.model = our_model(CONFIG).requires_grad_(True)
        compute = torch.float32 if recipe.kind == "muon" else torch.bfloat16
        self.flat = FlatWeights(self.model, compute, memory)
        self.sums = StepSums(self.flat)
        self.optimizer = Optimizer(self.flat, self.sums.gradient, recipe)

    def step(self, passes: list[Gradients], words_U: Tensor | None) -> StepMeans:
        """A step of some passes, of 10 tokens each."""
        self.sums.begin(words_U)
        for gradients in passes:
            for name, parameter in self.model.named_parameters():
                value = gradients[name].to(parameter.dtype)
                is_sparse = words_U is not None and name == WORD
                parameter.grad = value.to_sparse(1) if is_sparse else value
            self.sums.collect()
        loss = torch.tensor(float(len(passes)))
        means = self.sums.average(loss, 10 * len(passes), stop=len(passes) == 3)
        self.optimizer.step(means.gradient_norm, 0.5)
        return means


def drawn(seed: int, words_U: Tensor | None) -> Gradients:
    """Gradients of a pass, where words are sparse of these alone, each many times."""
    generator = torch.Generator().manual_seed(seed)
    found = {n: torch.empty(s).normal_(generator=generator) for n, s in SIZES.items()}
    if words_U is not None:
        table = torch.zeros(SIZES[WORD])
        table[words_U] = found[WORD][words_U]
        found[WORD] = table
    return {name: value.bfloat16().float() for name, value in found.items()}


def together(num_parts: int, work: Callable[[Memory], object]) -> list[object]:
    """Every part's work, at once; what each came to."""
    room = Room(num_parts)
    with ThreadPoolExecutor(num_parts) as pool:
        memories = [ThreadMemory(room, part, num_parts) for part in range(num_parts)]
        return [each.result() for each in [pool.submit(work, memory) for memory in memories]]


def steps_of(is_sparse: bool) -> list[tuple[list[Gradients], Tensor | None]]:
    """Four steps of three passes each; words change from step to step, most are in none."""
    steps = []
    for step in range(4):
        words_U = torch.arange(step, 60, 7 + step) if is_sparse else None
        steps.append(([drawn(10 * step + number, words_U) for number in range(3)], words_U))
    return steps


@pytest.mark.parametrize("num_parts", [2, 3, 5])
@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_several_come_to_what_one_comes_to(
    kind: Literal["adam", "muon"], is_sparse: bool, num_parts: int
) -> None:
    """Weights, rounded ones too, gradient, figures and moments; of five, two have no pass."""
    recipe = OptimizerRecipe(kind, 1e-2, weight_decay=0.1, clip_norm=0.5)
    alone = Trained(recipe)
    steps = steps_of(is_sparse)
    expected = [alone.step(*step) for step in steps]
    state = alone.optimizer.state()

    def work(memory: Memory) -> None:
        mine = Trained(recipe, memory)
        for (passes, words_U), means in zip(steps, expected, strict=True):
            told = mine.step(passes[memory.part :: memory.num_parts], words_U)
            assert told.gradient_norm == pytest.approx(means.gradient_norm, rel=1e-5)
            assert told.loss == pytest.approx(means.loss)
            assert told.num_tokens == 30
        rounded = dict(mine.model.named_parameters())
        for name, value in alone.model.named_parameters():
            torch.testing.assert_close(rounded[name], value, atol=2e-3, rtol=0.01, msg=name)
        torch.testing.assert_close(mine.flat.master, alone.flat.master, atol=1e-5, rtol=0)
        torch.testing.assert_close(mine.sums.gradient, alone.sums.gradient, atol=1e-6, rtol=0)
        joined = mine.optimizer.state()
        assert {n: v.shape for n, v in joined.items()} == {n: v.shape for n, v in state.items()}
        for name, moment in state.items():
            torch.testing.assert_close(joined[name], moment, atol=1e-5, rtol=0, msg=name)

    together(num_parts, work)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_state_is_taken_over_by_any_number(kind: Literal["adam", "muon"]) -> None:
    """Of one by three, and of three by one: the next step is the same."""
    recipe = OptimizerRecipe(kind, 1e-2)
    first, second, *_ = steps_of(is_sparse=False)
    alone = Trained(recipe)
    alone.step(*first)
    weights = {name: value.clone() for name, value in alone.flat.weights().items()}
    state = alone.optimizer.state()
    alone.step(*second)

    def work(memory: Memory) -> dict[str, Tensor]:
        mine = Trained(recipe, memory)
        mine.flat.load(weights)
        mine.optimizer.load(state)
        assert all(torch.equal(v, state[n]) for n, v in mine.optimizer.state().items())
        memory.wait()
        mine.step(second[0][memory.part :: memory.num_parts], None)
        torch.testing.assert_close(mine.flat.master, alone.flat.master, atol=1e-5, rtol=0)
        return mine.optimizer.state()

    for joined in together(3, work):
        assert isinstance(joined, dict)
        again = Trained(recipe)
        again.optimizer.load(joined)
        assert all(torch.equal(v, joined[n]) for n, v in again.optimizer.state().items())


def test_a_stop_of_any_stops_all() -> None:
    """Who has three passes asks for it, in `Trained.step`."""
    (passes, _), *_ = steps_of(is_sparse=False)

    def work(memory: Memory) -> bool:
        means = Trained(OptimizerRecipe(), memory).step(passes if memory.part == 1 else [], None)
        assert means.num_tokens == 30
        assert means.loss == pytest.approx(0.1)
        return means.must_stop

    assert together(2, work) == [True, True]


@pytest.mark.parametrize("num_parts", [1, 2, 3, 8, 40])
def test_every_weight_is_updated_by_one(num_parts: int) -> None:
    """Side by side, in groups, none of them by more than half of all than its fair share."""
    spans: list[tuple[int, int]] = []
    whole = FlatWeights(our_model(CONFIG), torch.float32)
    names: list[str] = []
    for part in range(num_parts):
        whole.memory.part, whole.memory.num_parts = part, num_parts
        mine = whole.share()
        spans += [(span.start, span.stop) for span in mine]
        names += [name for span in mine for name, _ in span.parameters]
        for span in mine:
            assert span.stop - span.start == sum(shape.numel() for _, shape in span.parameters)
        share = sum(span.stop - span.start for span in mine) / len(whole.master)
        largest = max(shape.numel() for shape in whole.shapes) / len(whole.master)
        assert share <= 1 / num_parts + largest
    assert names == whole.names
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert spans[-1][1] == len(whole.master)
    assert num_parts > 1 or whole.share() == whole.spans
