"""Documents are cut where they say so: pieces have about the wanted length, edits stay local."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.boundaries import Boundaries, draw, draws
from tasks.documents import document_id

Pieces = list[list[bytes]]


def pieces_of(texts: list[str], target: int) -> Pieces:
    """The texts cut by `Boundaries`, as lists of ids."""
    pieces: Pieces = [[]]
    boundaries, size = Boundaries(target), 0
    for text in texts:
        identity = document_id(text)
        pieces[-1].append(identity)
        size += len(text)
        if boundaries.ends(size, len(text), draw(identity)):
            pieces, size = [*pieces, []], 0
    return pieces[:-1] if not pieces[-1] else pieces


def made_up(count: int, seed: int = 1) -> list[str]:
    """Different texts of many lengths."""
    lengths = random.Random(seed)
    return [f"{n} " + "x" * int(lengths.expovariate(1 / 60)) for n in range(count)]


def test_draws_are_those_of_the_ids() -> None:
    """One by one and all together."""
    ids = [document_id(str(n)) for n in range(50)]
    together = draws(np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 16))
    assert together.tolist() == [draw(identity) for identity in ids]
    assert 0.3 < np.mean(together) < 0.7


@given(
    size=st.integers(1, 300),
    since=st.integers(0, 600),
    drawn=st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None)
def test_whoever_ends_a_piece_was_a_candidate(size: int, since: int, drawn: float) -> None:
    """The short list leaves nobody out, but for those that only end what is too long."""
    boundaries = Boundaries(100)
    if since < boundaries.longest and boundaries.ends(since, size, drawn):
        assert boundaries.may_end(np.array([size]), np.array([drawn])).all()


def test_pieces_are_about_as_long_as_wanted() -> None:
    """Half of it at least, but for the last; the mean near it; hardly one beyond twice."""
    target = 3000
    found = pieces_of(texts := made_up(20_000), target)
    size_of = {document_id(text): len(text) for text in texts}
    sizes = [sum(size_of[identity] for identity in piece) for piece in found]
    assert min(sizes[:-1]) >= target / 2
    assert target * 0.8 < np.mean(sizes) < target * 1.2
    assert max(sizes) < target * 2.5


@pytest.mark.parametrize("target", [1, 2, 40])
def test_a_target_below_a_document_gives_each_its_own(target: int) -> None:
    """No division by nothing, no empty piece."""
    assert [len(piece) for piece in pieces_of(["y" * 100, "z" * 100, "w" * 100], target)] == [1] * 3


def test_an_edit_changes_the_pieces_around_it_and_no_others() -> None:
    """A text put in, taken out or changed anywhere, a hundred times each."""
    texts = made_up(4000)
    before = {tuple(piece) for piece in pieces_of(texts, 3000)}
    places = random.Random(3)
    changed = []
    for _ in range(100):
        at = places.randrange(len(texts))
        for edited in (
            [*texts[:at], "new " + texts[at], *texts[at:]],
            [*texts[:at], *texts[at + 1 :]],
            [*texts[:at], "other " + texts[at], *texts[at + 1 :]],
        ):
            changed.append(sum(tuple(piece) not in before for piece in pieces_of(edited, 3000)))
    assert np.mean(changed) < 2.5
    assert max(changed) <= 12 < len(before) / 5


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1 - 2**-53])
def test_copies_are_cut_too(drawn: float) -> None:
    """All draws are the same, and pieces still have half the length and at most four times it."""
    size, sizes = 0, []
    for _ in range(20_000):
        size += 3
        if Boundaries(1000).ends(size, 3, drawn):
            sizes.append(size)
            size = 0
    assert 500 <= min(sizes) <= max(sizes) <= 4002
