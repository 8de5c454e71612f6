"""The split of every document: train, held out, or a duplicate of one that is kept.

**The rule.** Each source asks for a share of its bytes to be held out.

1. A document is *drawn* when the draw of its id, a number in [0, 1), is below its source's share.
   An id is made of the text alone, so what is drawn stays drawn wherever the text goes and
   whatever comes or leaves beside it. Every byte has the same chance, so the share is right on
   average, for large documents and small; long texts are spans here (tasks.cleaning.spans), so
   the average is soon reached.
2. A cluster of duplicates, exact or near, is held out if any member is drawn. Every member draws
   for itself, so no other can bring the cluster back into training. Of a cluster one member is
   kept: of a held-out one a drawn member, of any other one any; the first source in the config's
   order goes first, then the lowest id. So whatever stands among the held-out documents stands
   there by its own draw, and when duplicates leave the corpus it stays.
3. Of a source's different texts at most twice the share it asks for may be drawn (a twentieth of
   their bytes where that is more), and never more than half of what should be left to train on:
   five one-line files lose none. The lowest draws go first; others are *refused*, as if they had
   not been drawn. Only in small sources does chance draw so much. Near duplicates are different
   texts here: where each document has five of them a cluster is five times as likely to be held
   out, which is more than was asked for and what (2) promises, and no reason to refuse.
4. A source that holds out nothing though it asks for a share gives the document with the lowest
   draw that fits into that limit. If none fits, it gives nothing, and the summary says so. Where
   no source gives anything, the corpus as a whole does as one source would, so that ten sources
   of five lines can be evaluated; a single one cannot, and its evaluation tells of none.

**What is promised.** A document held out by (1) and (2) is never trained on, nor is a duplicate of
it that `dedup` finds, in any corpus that it is part of, as long as its source's share, the seed and
what cleaning makes of its text stay. There are two exceptions, both told in the summary. What (4)
chose is only the lowest draw *so far*: as a source grows, its first drawn document, or a lower
draw, takes that place. And (3) gives drawn text back to training where a source has become so
small that hardly anything else would be left to train on. A rule without them cannot exist: a
split that must not change with what stands beside a document can follow from its text alone, and
text alone does not know whether anything else is held out, or left. For the same reason paragraphs
that are documents of their own are drawn one by one; what is to stay together, a book, has to be
one document (`separator: file`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.clusters import best_of_each, first_of_same, join

TRAIN, HELD_OUT, EXACT, NEAR = 0, 1, 2, 3
REASONS = {EXACT: "exact_duplicate", NEAR: "near_duplicate"}
LEAST_LIMIT = 0.05

Splits = NDArray[np.uint8]
Mask = NDArray[np.bool_]  # one for each document
Rule = Literal["draws", "lowest draw", "none"]


@dataclass(frozen=True)
class CleanedDocuments:
    """All documents that passed the filters, numbered over all files.

    Args:
        ids: uint8 [documents, 16], equal for equal texts.
        sizes: int64 [documents], UTF-8 bytes of text.
        sources: int64 [documents], the number of each one's source in the config's order.
        edges: int64 [edges, 2], pairs of near duplicates.
    """

    ids: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    sources: NDArray[np.int64]
    edges: NDArray[np.int64]


@dataclass(frozen=True)
class HoldingOut:
    """How a source's held-out documents were chosen.

    `distinct_bytes` counts its text without duplicates, of which `asked` is a share; `rule` is
    "draws" for (1) and (2), "lowest draw" for (4), and "none" where nothing is held out; `refused`
    counts the different texts that (3) refused.
    """

    asked: float
    distinct_bytes: int
    rule: Rule
    refused: int


def decide(
    documents: CleanedDocuments, shares: Sequence[float], seed: int, *, exact: bool, near: bool
) -> tuple[Splits, list[HoldingOut]]:
    """The split of each document, and how each source's held-out ones were chosen.

    Args:
        documents: All of them; their order decides nothing but which of equal texts is kept.
        shares: The share of its bytes that each source wants held out.
        seed: Another one draws other documents.
        exact: Drop exact duplicates.
        near: Drop near duplicates. What is not dropped shares its cluster's side all the same.
    """
    firsts = first_of_same(documents.ids)
    clusters = join(firsts, documents.edges)
    asked = np.array(shares, dtype=np.float64)[documents.sources]
    draws = np.ones(len(asked))
    for number in np.flatnonzero(asked):
        draws[number] = draw(documents.ids[number].tobytes(), seed)
    groups = clusters if near else firsts if exact else np.arange(len(firsts))
    is_drawn = draws < asked
    refused = [
        _refuse(is_drawn, draws, documents, firsts, source, share)
        for source, share in enumerate(shares)
    ]
    sides = _Sides(documents, clusters, groups, draws, asked, is_drawn)
    distinct = [sides.distinct_bytes(source) for source in range(len(shares))]
    rules = _rules(sides, shares, distinct)
    report = [HoldingOut(*each) for each in zip(shares, distinct, rules, refused, strict=True)]
    splits = np.where(sides.held(), HELD_OUT, TRAIN).astype(np.uint8)
    dropped = ~sides.kept()
    splits[dropped] = NEAR
    if exact:
        splits[dropped & ~sides.best_of(firsts)] = EXACT
    return splits, report


def _refuse(
    is_drawn: Mask,
    draws: NDArray[np.float64],
    documents: CleanedDocuments,
    firsts: NDArray[np.int64],
    source: int,
    share: float,
) -> int:
    """Unmark what is drawn of a source beyond its limit; returns of how many different texts."""
    numbers = np.flatnonzero(documents.sources == source)
    texts = numbers[np.unique(firsts[numbers], return_index=True)[1]]
    drawn = texts[is_drawn[texts]]
    drawn = drawn[np.argsort(draws[drawn], kind="stable")]
    limit = limit_of(share) * int(documents.sizes[texts].sum())
    drawn_bytes, refused = 0, list[int]()
    for number, size in zip(drawn.tolist(), documents.sizes[drawn].tolist(), strict=True):
        if drawn_bytes + size <= limit:
            drawn_bytes += size
        else:
            refused.append(number)
    is_drawn[numbers[np.isin(firsts[numbers], firsts[refused])]] = False
    return len(refused)


def _rules(sides: "_Sides", shares: Sequence[float], distinct: Sequence[int]) -> list[Rule]:
    """Settle the sources of which nothing is drawn; by which rule each holds out what it does."""
    rules: list[Rule] = []
    for source, share in enumerate(shares):
        limit = {source: limit_of(share) * distinct[source]} if share else {}
        if len(sides.kept_of(source, is_held=True)):
            rules.append("draws")
        else:
            rules.append("none" if sides.hold_out_lowest(limit) is None else "lowest draw")
    if set(rules) == {"none"}:
        whole = sum(distinct)
        limits = {source: limit_of(share) * whole for source, share in enumerate(shares) if share}
        if (source_of_lowest := sides.hold_out_lowest(limits)) is not None:
            rules[source_of_lowest] = "lowest draw"
    return rules


def limit_of(share: float) -> float:
    """The largest share of its bytes that a source holds out when it asks for `share`."""
    return min(max(2 * share, LEAST_LIMIT), (1 + share) / 2)


def draw(document_id: bytes, seed: int) -> float:
    """A number in [0, 1) that follows from a document's id and the seed."""
    digest = blake2b(document_id, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2**64


class _Sides:
    """Which clusters are held out, and which of their members are kept.

    `groups` says which documents are duplicates of which as far as duplicates are dropped; a group
    never reaches beyond a cluster.
    """

    def __init__(
        self,
        documents: CleanedDocuments,
        clusters: NDArray[np.int64],
        groups: NDArray[np.int64],
        draws: NDArray[np.float64],
        asked: NDArray[np.float64],
        is_drawn: Mask,
    ) -> None:
        self.documents, self.clusters, self.groups = documents, clusters, groups
        self.draws, self.asked = draws, asked
        high, low = np.ascontiguousarray(documents.ids).view(">u8").reshape(-1, 2).T
        by_source = (low, high, documents.sources)
        self._order = np.lexsort(by_source)
        self._drawn_first = np.lexsort((*by_source, ~is_drawn))
        self._is_held = np.zeros(len(clusters), dtype=bool)  # by the cluster's number
        self._is_held[clusters[is_drawn]] = True
        self._kept = self._bests(groups)

    def _bests(self, groups: NDArray[np.int64]) -> tuple[Mask, Mask]:
        return best_of_each(groups, self._drawn_first), best_of_each(groups, self._order)

    def held(self) -> Mask:
        """Documents whose cluster is held out."""
        return np.asarray(self._is_held[self.clusters])

    def kept(self) -> Mask:
        """Documents that are not dropped as duplicates."""
        return np.where(self.held(), *self._kept)

    def best_of(self, groups: NDArray[np.int64]) -> Mask:
        """In each group the document that goes before the others."""
        return np.where(self.held(), *self._bests(groups))

    def distinct_bytes(self, source: int) -> int:
        """The bytes that a source would keep if it were alone."""
        numbers = self._order[self.documents.sources[self._order] == source]
        _, places = np.unique(self.groups[numbers], return_index=True)
        return int(self.documents.sizes[numbers[places]].sum())

    def kept_of(self, source: int, is_held: bool) -> NDArray[np.int64]:
        """The documents that one source has on one side, by their draws."""
        chosen = self.kept() & (self.held() == is_held) & (self.documents.sources == source)
        numbers = self._order[chosen[self._order]]
        return np.asarray(numbers[np.argsort(self.draws[numbers], kind="stable")])

    def hold_out_lowest(self, limits: Mapping[int, float]) -> int | None:
        """Hold out the document with the lowest draw for its share; returns its source.

        Args:
            limits: The sources to choose from, and the bytes that a document of each may have.
        """
        fitting = [
            number
            for source, limit in limits.items()
            for number in self.kept_of(source, is_held=False)
            if self.documents.sizes[number] <= limit
        ]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda n: float(self.draws[n]) / float(self.asked[n]))
        self._is_held[self.clusters[chosen]] = True
        return int(self.documents.sources[chosen])
