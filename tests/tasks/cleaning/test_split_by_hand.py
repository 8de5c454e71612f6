"""The rules of the split on a few documents each, whose draws are known."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from tasks.cleaning.split import (
    EXACT,
    HELD_OUT,
    NEAR,
    TRAIN,
    CleanedDocuments,
    HoldingOut,
    decide,
    draw,
    limit_of,
)
from tasks.documents import document_id


class Doc(NamedTuple):
    """A document that says a text, of some bytes, in a source."""

    text: str
    size: int = 10
    source: int = 0


def texts(low: float, high: float, count: int = 1) -> list[str]:
    """Texts whose draws lie between two numbers, by their ids."""
    every = (f"text {number}" for number in itertools.count())
    found = (text for text in every if low <= draw(document_id(text), 0) < high)
    return sorted(itertools.islice(found, count), key=document_id)


def split(
    documents: Sequence[Doc],
    shares: Sequence[float],
    near: Sequence[tuple[int, int]] = (),
    *,
    drops_exact: bool = True,
    drops_near: bool = True,
) -> tuple[list[int], list[HoldingOut]]:
    ids = b"".join(document_id(document.text) for document in documents)
    cleaned = CleanedDocuments(
        np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16),
        np.array([document.size for document in documents], dtype=np.int64),
        np.array([document.source for document in documents], dtype=np.int64),
        np.array(near, dtype=np.int64).reshape(-1, 2),
    )
    splits, report = decide(cleaned, shares, 0, exact=drops_exact, near=drops_near)
    return splits.tolist(), report


def test_a_draw_is_the_number_it_always_was() -> None:
    """Another one would move documents from the held-out side into training."""
    assert draw(bytes(16), 0) == 0.5742645928430318
    assert draw(bytes(range(16)), 1) == 0.48569264511353905
    assert draw(bytes(range(16)), 256) != draw(bytes(range(16)), 1)


@pytest.mark.parametrize(
    ("share", "limit"),
    [(0, 0.05), (0.01, 0.05), (0.025, 0.05), (0.1, 0.2), (1 / 3, 2 / 3), (0.6, 0.8), (1, 1)],
)
def test_twice_the_share_but_half_of_the_rest_at_most(share: float, limit: float) -> None:
    assert limit_of(share) == pytest.approx(limit)


def test_drawn_text_of_just_the_limit_is_held_out() -> None:
    """Of 100 bytes with a tenth asked for 20 may be drawn, and not 21."""
    (drawn,), (other,) = texts(0, 0.1), texts(0.5, 1)
    for size, expected in ((20, HELD_OUT), (21, TRAIN)):
        splits, (how,) = split([Doc(drawn, size), Doc(other, 100 - size)], [0.1])
        assert splits == [expected, TRAIN]
        assert how.refused == (expected == TRAIN)


def test_copies_add_nothing_to_the_text_that_the_limit_is_a_share_of() -> None:
    """30 of 40 different bytes are too many, however often the other 10 are repeated."""
    (drawn,), (other,) = texts(0, 0.1), texts(0.5, 1)
    splits, (how,) = split([Doc(drawn, 30), *[Doc(other, 10)] * 20], [0.1])
    assert splits == [TRAIN, TRAIN, *[EXACT] * 19]
    assert how == HoldingOut(0.1, 40, "none", 1)


def test_the_lowest_draws_go_first() -> None:
    """Of two that do not fit together, wherever they stand and whatever their ids."""
    lower, higher, rest = texts(0, 0.04), texts(0.06, 0.1), texts(0.5, 1)
    for order in ([lower[0], higher[0]], [higher[0], lower[0]]):
        splits, (how,) = split([*(Doc(text, 15) for text in order), Doc(rest[0], 70)], [0.1])
        assert splits[order.index(lower[0])] == HELD_OUT
        assert splits[order.index(higher[0])] == TRAIN
        assert (how.rule, how.refused) == ("draws", 1)


def test_behind_one_that_is_too_large_a_smaller_one_may_fit() -> None:
    lower, higher, rest = texts(0, 0.04), texts(0.06, 0.1), texts(0.5, 1)
    documents = [Doc(lower[0], 40), Doc(higher[0], 10), Doc(rest[0], 50)]
    splits, (how,) = split(documents, [0.1])
    assert splits == [TRAIN, HELD_OUT, TRAIN]
    assert (how.rule, how.refused) == ("draws", 1)


def test_refused_text_is_refused_with_its_copies_and_counted_once() -> None:
    (drawn,), (other,) = texts(0, 0.1), texts(0.5, 1)
    splits, (how,) = split([Doc(drawn, 50), Doc(other, 50), Doc(drawn, 50)], [0.1])
    assert sorted([splits[0], splits[2]]) == [TRAIN, EXACT]
    assert how.refused == 1


def test_what_one_source_refuses_another_holds_out() -> None:
    """And its own copy stands for it, though it is of the later source."""
    (drawn,), rest = texts(0, 0.1), texts(0.5, 1, 2)
    first = [Doc(drawn, 50), Doc(rest[0], 50)]
    second = [Doc(drawn, 50, 1), Doc(rest[1], 950, 1)]
    splits, report = split([*first, *second], [0.1, 0.1])
    assert splits == [EXACT, TRAIN, HELD_OUT, TRAIN]
    assert [how.refused for how in report] == [1, 0]


def test_of_copies_the_first_sources_stays_in_training() -> None:
    """In whatever order they stand."""
    (other,) = texts(0.5, 1)
    assert split([Doc(other, 10, 1), Doc(other, 10, 0)], [0, 0])[0] == [EXACT, TRAIN]
    assert split([Doc(other, 10, 0), Doc(other, 10, 1)], [0, 0])[0] == [TRAIN, EXACT]


def test_of_near_duplicates_of_one_source_the_lowest_id_stays() -> None:
    """All bytes of an id count, the first ones most."""
    low, *others = texts(0.5, 1, 12)
    for high in others:
        assert document_id(low) < document_id(high)
        assert split([Doc(high), Doc(low)], [0], [(0, 1)])[0] == [NEAR, TRAIN]
        assert split([Doc(low), Doc(high)], [0], [(0, 1)])[0] == [TRAIN, NEAR]


def test_a_held_out_cluster_is_stood_for_by_a_member_that_was_drawn() -> None:
    """Though another one is of an earlier source."""
    (drawn,), rest = texts(0, 0.1), texts(0.5, 1, 2)
    documents = [Doc(rest[0]), Doc(drawn, 10, 1), Doc(rest[1], 200, 1)]
    assert split(documents, [0.1, 0.1], [(0, 1)])[0] == [NEAR, HELD_OUT, TRAIN]


def test_near_duplicates_that_are_kept_share_a_side() -> None:
    (drawn,), rest = texts(0, 0.1), texts(0.5, 1, 2)
    documents = [Doc(rest[0]), Doc(drawn), Doc(rest[1], 200)]
    splits, _ = split(documents, [0.1], [(0, 1)], drops_near=False)
    assert splits == [HELD_OUT, HELD_OUT, TRAIN]


def test_a_copy_is_told_from_what_is_only_near() -> None:
    """Of a text and its copy, near to another that is kept: the better one is near, one a copy."""
    low, high = texts(0.5, 1, 2)
    documents, near = [Doc(high), Doc(low), Doc(high)], [(0, 1)]
    assert sorted(split(documents, [0], near)[0]) == [TRAIN, EXACT, NEAR]
    assert split(documents, [0], near)[0][1] == TRAIN
    only_near = split(documents, [0], near, drops_exact=False)[0]
    assert only_near == [NEAR, TRAIN, NEAR]
    only_exact = split(documents, [0], near, drops_near=False)[0]
    assert sorted(only_exact) == [TRAIN, TRAIN, EXACT]
    neither = split(documents, [0], near, drops_exact=False, drops_near=False)[0]
    assert neither == [TRAIN] * 3


@pytest.mark.parametrize(("drops_near", "first"), [(True, 10), (False, 30)])
def test_a_sources_different_bytes_are_those_it_would_keep_alone(
    drops_near: bool, first: int
) -> None:
    """Copies within it count once, those of other sources too; near ones if they are dropped."""
    low, high = texts(0.5, 1, 2)
    documents = [Doc(low, 10), Doc(low, 10), Doc(high, 20), Doc(low, 10, 1)]
    _, report = split(documents, [0, 0], [(0, 2)], drops_near=drops_near)
    assert [how.distinct_bytes for how in report] == [first, 10]


def test_a_source_that_asks_for_nothing_gives_nothing() -> None:
    """Neither alone nor for the corpus as a whole, of which the other source is too small."""
    rest = texts(0.5, 1, 40)
    documents = [Doc(text, 10, 0) for text in rest[:30]] + [Doc(t, 60, 1) for t in rest[30:]]
    splits, report = split(documents, [0, 0.001])
    assert [how.rule for how in report] == ["none", "none"]
    assert splits == [TRAIN] * 40


def test_a_small_sources_lowest_draw_may_be_of_just_the_limit() -> None:
    """A twentieth of its bytes; one more would be too much."""
    rest = texts(0.5, 1, 20)
    lowest = min(rest, key=lambda text: draw(document_id(text), 0))
    splits, (how,) = split([Doc(text, 5) for text in rest], [0.001])
    assert [rest[at] for at, found in enumerate(splits) if found == HELD_OUT] == [lowest]
    assert how == HoldingOut(0.001, 100, "lowest draw", 0)
    splits, (how,) = split([Doc(text, 6) for text in rest[:19]], [0.001])
    assert HELD_OUT not in splits
    assert how == HoldingOut(0.001, 114, "none", 0)


def test_the_corpus_as_a_whole_gives_the_lowest_draw_for_its_share() -> None:
    """A draw of 0.3 of a source that asks for 1% goes before one of 0.1 that asks for 0.1%."""
    (low,), (fair,), rest = texts(0.1, 0.12), texts(0.3, 0.32), texts(0.7, 1, 20)
    one = [Doc(text) for text in [low, *rest[:10]]]
    two = [Doc(text, 10, 1) for text in [fair, *rest[10:]]]
    splits, report = split([*one, *two], [0.001, 0.01])
    assert np.flatnonzero(np.array(splits) == HELD_OUT).tolist() == [11]
    assert [how.rule for how in report] == ["none", "lowest draw"]
