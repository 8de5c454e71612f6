"""What is held out: by what each document says, whatever stands beside it, counted in bytes."""

import itertools
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cleaning.minhash import MinHasher, band_keys, band_shape
from tasks.cleaning.near_pairs import near_edges
from tasks.cleaning.shingles import ShingleHasher
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

SHARE, THRESHOLD, NUM_HASHES = 0.3, 0.7, 48
NO_EDGES = np.zeros((0, 2), dtype=np.int64)


def words(seed: int) -> list[str]:
    return random.Random(seed).choices([f"word{n}" for n in range(500)], k=60)


@cache
def pool() -> list[str]:
    """Texts in chains of near copies: each is like the next, the first is unlike the last."""
    texts = []
    for seed in range(8):
        text = words(seed)
        for place in range(5):
            text = [*text[: 10 * place], f"new{place}", *text[10 * place + 1 :]]
            texts.append(" ".join(text))
    return texts


@cache
def signatures() -> np.ndarray:
    shingles, hasher = ShingleHasher(), MinHasher(NUM_HASHES)
    return np.stack([hasher.sign(shingles.shingles(text)) for text in pool()])


def edges_of(numbers: Sequence[int]) -> np.ndarray:
    """The near duplicates among some texts of the pool, found as the stage finds them."""
    chosen = signatures()[list(numbers)]
    num_bands, width = band_shape(THRESHOLD, NUM_HASHES)
    found = [
        near_edges(band_keys(chosen, band, width), [chosen], THRESHOLD) for band in range(num_bands)
    ]
    return np.unique(np.concatenate(found), axis=0)


@cache
def near() -> np.ndarray:
    """Whether two texts of the pool are near copies, of all pairs, the plain way."""
    num_bands, width = band_shape(THRESHOLD, NUM_HASHES)
    keys = np.stack([band_keys(signatures(), band, width) for band in range(num_bands)])
    meets = (keys[:, :, None] == keys[:, None, :]).any(axis=0)
    alike: np.ndarray = (signatures()[:, None] == signatures()[None]).mean(axis=2) >= THRESHOLD
    both: np.ndarray = meets & alike
    return both


def is_near(one: int, other: int) -> bool:
    return bool(near()[one, other])


Corpus = list[list[int]]  # for each source the numbers of its texts
CORPORA = st.lists(st.lists(st.integers(0, 39), max_size=12), min_size=2, max_size=2)


def parted(corpus: Corpus) -> tuple[list[int], list[int], list[HoldingOut]]:
    """The numbers of the texts held out and trained on.

    Each source also holds one text so large that what is held out never reaches the limit.
    """
    numbers = list(itertools.chain(*corpus))
    texts = [pool()[number] for number in numbers] + ["a ballast", "no ballast"]
    documents = CleanedDocuments(
        ids_of(texts),
        np.array([1] * len(numbers) + [10**6] * 2),
        np.array([source for source, part in enumerate(corpus) for _ in part] + [0, 1]),
        edges_of(numbers) if numbers else NO_EDGES,
    )
    splits, report = decide(documents, [SHARE] * 2, BALLAST_SEED, exact=True, near=True)
    held_out, train = (
        [number for number, found in zip(numbers, splits, strict=False) if found == split]
        for split in (HELD_OUT, TRAIN)
    )
    return held_out, train, report


def ids_of(texts: Sequence[str]) -> np.ndarray:
    joined = b"".join(map(document_id, texts))
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16)


def is_ballast(seed: int) -> bool:
    return all(draw(document_id(text), seed) > SHARE for text in ("a ballast", "no ballast"))


BALLAST_SEED = next(filter(is_ballast, itertools.count()))


def test_the_pool_has_chains_of_near_copies() -> None:
    """Else the properties below would say nothing about them."""
    near = [(i, j) for i, j in itertools.combinations(range(40), 2) if is_near(i, j)]
    assert len(near) >= 32
    assert not any(is_near(first, first + 4) for first in range(0, 40, 5))
    drawn = [n for n in range(40) if draw(document_id(pool()[n]), BALLAST_SEED) < SHARE]
    assert 6 < len(drawn) < 20


@given(before=CORPORA, after=CORPORA, data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_was_held_out_stays_out_of_training_whatever_happens_to_the_corpus(
    before: Corpus, after: Corpus, data: st.DataObject
) -> None:
    """Added, removed, reordered, moved between sources: no copy of it is trained on either."""
    if data.draw(st.booleans()):  # grown and shuffled, rather than another corpus altogether
        more = data.draw(CORPORA)
        mixed = [*itertools.chain(*before), *itertools.chain(*more)]
        mixed = data.draw(st.permutations(mixed))
        cut = data.draw(st.integers(0, len(mixed)))
        after = [mixed[:cut], mixed[cut:]]
    held_out, _, report = parted(before)
    held_later, trained_later, _ = parted(after)
    by_draw = [n for n in held_out if draw(document_id(pool()[n]), BALLAST_SEED) < SHARE]
    if all(source.rule == "draws" for source in report):
        assert by_draw == held_out  # the others are the lowest draws so far
    for number in set(by_draw).intersection(itertools.chain(*after)):
        assert not any(is_near(number, trained) for trained in trained_later)
    assert not any(is_near(a, b) for a in held_later for b in trained_later)


@given(corpus=CORPORA, shuffled=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_documents_decides_nothing(corpus: Corpus, shuffled: random.Random) -> None:
    """The same texts are kept, on the same sides, by the same rules."""
    mixed = [shuffled.sample(part, len(part)) for part in corpus]
    one, two = parted(corpus), parted(mixed)
    assert [sorted(part) for part in one[:2]] == [sorted(part) for part in two[:2]]
    assert one[2] == two[2]


def decided(
    sizes: Sequence[int] | np.ndarray, share: float, seed: int = 0, start: int = 0
) -> tuple[np.ndarray, HoldingOut]:
    """The splits of different documents of one source."""
    texts = [f"document {number}" for number in range(start, start + len(sizes))]
    documents = CleanedDocuments(
        ids_of(texts), np.array(sizes, dtype=np.int64), np.zeros(len(sizes), np.int64), NO_EDGES
    )
    splits, (how,) = decide(documents, [share], seed, exact=True, near=True)
    return splits, how


@pytest.mark.parametrize("share", [0.01, 0.2, 0.9])
def test_the_share_is_one_of_bytes_for_large_documents_and_small(share: float) -> None:
    """Within four standard deviations of chance; another seed holds out others."""
    sizes = (np.random.default_rng(3).pareto(2.5, 20_000) * 1000 + 20).astype(np.int64)
    splits, how = decided(sizes, share)
    got = sizes[splits == HELD_OUT].sum() / sizes.sum()
    deviation = (share * (1 - share) * (sizes.astype(float) ** 2).sum()) ** 0.5 / sizes.sum()
    assert abs(got - share) < 4 * deviation < 0.03
    assert how == HoldingOut(share, sizes.sum(), "draws", 0)
    assert not np.array_equal(splits, decided(sizes, share, seed=1)[0])


@given(
    sizes=st.lists(st.integers(1, 10_000), max_size=30),
    share=st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=300, deadline=None)
def test_a_source_never_loses_most_of_what_should_be_left_to_train_on(
    sizes: list[int], share: float, seed: int
) -> None:
    """The limit holds for any sizes; a document within it is held out if a share is asked for."""
    splits, how = decided(sizes, share, seed)
    got = sum(size for size, split in zip(sizes, splits, strict=True) if split == HELD_OUT)
    limit = limit_of(share) * sum(sizes)
    assert got <= limit + 1e-6
    assert limit_of(share) <= max(0.05, 2 * share)
    assert 1 - limit_of(share) >= (1 - share) / 2 - 1e-9
    assert (how.rule == "none") == (got == 0)
    if share and sizes and min(sizes) <= limit:
        assert got


def test_five_lines_of_which_one_in_a_hundred_is_asked_for_lose_none() -> None:
    """A fifth of the text is too much for a hundredth, even of a document that is drawn."""
    for seed in range(300):
        splits, how = decided([30] * 5, 0.01, seed)
        assert not (splits == HELD_OUT).any()
        assert how.rule == "none"


def test_a_small_source_gives_its_lowest_draw_that_fits() -> None:
    """Thirty documents of which none is drawn: one of them, unless it is as large as the rest."""
    ids = ids_of([f"document {number}" for number in range(30)])
    draws = [draw(row.tobytes(), 0) for row in ids]
    lowest, second = np.argsort(draws)[:2]
    assert draws[lowest] > 0.001
    splits, how = decided([100] * 30, 0.001)
    assert np.flatnonzero(splits == HELD_OUT).tolist() == [lowest]
    assert how.rule == "lowest draw"
    sizes = [100] * 30
    sizes[lowest] = 3000
    splits, _ = decided(sizes, 0.001)
    assert np.flatnonzero(splits == HELD_OUT).tolist() == [second]


def test_a_source_full_of_near_duplicates_refuses_nothing() -> None:
    """Ten revisions of each document: held out is what has a drawn one, which is a good deal."""
    texts = [f"document {n} revision {m}" for n in range(400) for m in range(10)]
    edges = np.array([(i, i + 1) for i in range(len(texts)) if i % 10 != 9])
    documents = CleanedDocuments(
        ids_of(texts), np.full(len(texts), 50), np.zeros(len(texts), np.int64), edges
    )
    splits, (how,) = decide(documents, [0.02], 0, exact=True, near=True)
    drawn = [draw(row.tobytes(), 0) < 0.02 for row in documents.ids]
    assert how == HoldingOut(0.02, 400 * 50, "draws", 0)
    clusters = np.array(drawn).reshape(400, 10).any(axis=1)
    assert ((splits.reshape(400, 10) == HELD_OUT).any(axis=1) == clusters).all()
    assert 50 < clusters.sum() < 100


def test_a_corpus_of_tiny_sources_can_be_evaluated() -> None:
    """Ten sources of five lines give one line together; nine of them say that they give none."""
    texts = [f"document {number}" for number in range(50)]
    documents = CleanedDocuments(
        ids_of(texts), np.full(50, 30), np.repeat(np.arange(10), 5), NO_EDGES
    )
    splits, report = decide(documents, [0.001] * 10, 0, exact=True, near=True)
    assert (splits == HELD_OUT).sum() == 1
    assert sorted(how.rule for how in report) == ["lowest draw"] + ["none"] * 9


def test_drawn_documents_beyond_the_limit_are_counted() -> None:
    """A source of one huge document: it is trained on although it is drawn, and it is told."""
    seed = next(s for s in itertools.count() if draw(document_id("document 0"), s) < 0.1)
    splits, how = decided([10_000, *[10] * 40], 0.1, seed)
    assert splits[0] == TRAIN
    assert how == HoldingOut(0.1, 10_400, "draws", 1)


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("exact", [True, False])
@given(
    contents=st.lists(st.integers(0, 5), max_size=14),
    pairs=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=10),
    shares=st.tuples(*[st.sampled_from([0.0, 0.5])] * 2),
    seed=st.integers(0, 20),
)
@settings(max_examples=80, deadline=None)
def test_of_a_cluster_one_is_kept_and_all_share_a_side(
    exact: bool,
    near: bool,
    contents: list[int],
    pairs: list[tuple[int, int]],
    shares: tuple[float, float],
    seed: int,
) -> None:
    """Joined directly, by way of others or through an exact copy; of the first source first."""
    n = len(contents)
    edges = [pair for pair in pairs if max(pair) < n] if near else []
    sources = np.arange(n) % 2
    documents = CleanedDocuments(
        ids_of([f"text {content}" for content in contents]),
        np.ones(n, np.int64),
        sources,
        np.array(edges, dtype=np.int64).reshape(-1, 2),
    )
    splits, _ = decide(documents, shares, seed, exact=exact, near=near)

    group = list(range(n))  # flood fill, the slow and plain way
    same = [(i, j) for i in range(n) for j in range(i) if contents[i] == contents[j]]
    for _ in range(n):
        for a, b in [*edges, *same]:
            group[a] = group[b] = min(group[a], group[b])
    for name in set(group):
        members = [i for i in range(n) if group[i] == name]
        kept = [i for i in members if splits[i] in (TRAIN, HELD_OUT)]
        assert len({splits[i] for i in kept}) == 1
        best = min(sources[i] for i in members)
        if splits[kept[0]] == TRAIN:
            assert best in {sources[i] for i in kept}
        if near:
            assert len(kept) == 1
        elif exact:
            assert len({contents[i] for i in kept}) == len(kept)
        else:
            assert kept == members
        dropped = {splits[i] for i in members} - {TRAIN, HELD_OUT}
        assert dropped <= ({EXACT} if exact else set()) | ({NEAR} if near else set())
    for i in range(n):
        if splits[i] == EXACT:
            assert sum(content == contents[i] for content in contents) > 1
