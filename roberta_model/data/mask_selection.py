"""Which tokens, or which whole words, of each row are chosen.

A random subset of exactly k out of n is the k smallest of n random keys, so one sort of each
row's hashed keys chooses for the whole batch. The low bits of a key hold its position: no two
keys are equal, and the sorted keys say where they came from.

Shapes: B rows, T tokens in a row, M chosen positions. Positions index the flattened B x T.
"""

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.randomness import Bits, unit_interval

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_ROW_TOKENS = 1 << 16
_POSITION = np.uint64(MAX_ROW_TOKENS - 1)


def target_counts(sizes_B: Int64s, rate: float, bits_B: Bits) -> Int64s:
    """Return how many of each row's maskable tokens to choose: floor(rate x n + u), at least 1.

    Randomised rounding (as in fairseq) keeps the mean at rate x n; the minimum of one, for rows
    that have a maskable token at all, keeps very short rows from teaching nothing.

    15 % of 10 tokens are 1.5: with u = 1/4 that is 1 token, with u = 3/4 it is 2.

    >>> quarters_B = np.array([1, 3, 3], dtype=np.uint64) << np.uint64(62)
    >>> target_counts(np.array([10, 10, 0]), 0.15, quarters_B)
    array([1, 2, 0])
    """
    counts_B = np.floor(rate * sizes_B + unit_interval(bits_B)).astype(np.int64)
    return np.clip(counts_B, np.minimum(sizes_B, 1), sizes_B)


def choose_tokens(maskable_BT: Bools, counts_B: Int64s, keys_BT: Bits) -> Int64s:
    """Return the positions of exactly counts_B tokens of each row, ascending, each as likely.

    Of <s> a b c d </s> the two with the smallest keys that are no special tokens:

    >>> maskable_BT = np.array([[False, True, True, True, True, False]])
    >>> keys_BT = np.array([[9, 50, 20, 40, 10, 1]], dtype=np.uint64) << np.uint64(32)
    >>> choose_tokens(maskable_BT, np.array([2]), keys_BT)
    array([2, 4])
    """
    ranked_BT = _rank(maskable_BT, keys_BT)
    most = max(int(counts_B.max(initial=0)), 1)
    first_BK = ranked_BT[:, :most]
    taken_BK = np.arange(most) < counts_B[:, None]
    positions_BK = _positions(first_BK, maskable_BT.shape[1])
    positions_M = positions_BK[taken_BK]
    positions_M.sort()
    return positions_M


def choose_words(
    starts_BT: Bools,
    maskable_BT: Bools,
    counts_B: Int64s,
    keys_BT: Bits,
    arcs_B: Bits,
    max_word_tokens: int,
) -> tuple[Int64s, Int64s]:
    """Choose whole words of about counts_B tokens in all.

    The words, in random order, lie end to end around a circle of n tokens; chosen are those
    that start inside an arc of counts_B tokens at a random place. Any word is inside with
    chance counts_B / n, whatever its length, so the mean is exact. Where none starts there
    (one long word, a short arc) the first in the order is taken.

    Two words of two tokens each, `a b` and `c d` in <s> a b c d </s>. The key of c is smaller,
    so they lie as c d a b; an arc of two tokens that begins a quarter of the way, at d, holds
    the start of a:

    >>> maskable_BT = np.array([[False, True, True, True, True, False]])
    >>> starts_BT = np.array([[True, True, False, True, False, True]])
    >>> keys_BT = np.array([[9, 50, 20, 40, 10, 1]], dtype=np.uint64) << np.uint64(32)
    >>> quarter_B = np.array([1 << 62], dtype=np.uint64)
    >>> choose_words(starts_BT, maskable_BT, np.array([2]), keys_BT, quarter_B, 8)
    (array([1, 2]), array([1, 1]))

    Args:
        starts_BT: Where words begin; tokens that are not maskable stand alone.
        maskable_BT: Tokens that may be chosen.
        counts_B: Tokens to choose, at most n.
        keys_BT: Random bits; those of word starts order the words.
        arcs_B: Random bits that place the arcs.
        max_word_tokens: Longer words are cut into consecutive pieces of this size.

    Returns:
        positions_M of the chosen tokens, ascending, and for each the position where its word
        begins.
    """
    starts_BT = _cut_long_words(starts_BT, max_word_tokens)
    sizes_BT = _word_sizes(starts_BT, max_word_tokens)
    words_BT = starts_BT & maskable_BT
    num_words_B = words_BT.sum(axis=1)
    most = int(num_words_B.max(initial=0))
    ranked_BW = _positions(_rank(words_BT, keys_BT)[:, :most], maskable_BT.shape[1])
    totals_B = maskable_BT.sum(axis=1)
    in_arc_BW = _in_arc(sizes_BT.take(ranked_BW), num_words_B, totals_B, counts_B, arcs_B)
    chosen = ranked_BW[in_arc_BW]
    return _spread(chosen, sizes_BT.take(chosen), sizes_BT.size)


def _rank(candidates_BT: Bools, keys_BT: Bits) -> Bits:
    """Sort each row's candidates by their random bits; what is no candidate comes last."""
    ranked_BT = candidates_BT.astype(np.uint64)
    ranked_BT -= np.uint64(1)  # 0 for candidates, all bits set for the rest
    ranked_BT |= keys_BT
    ranked_BT &= ~_POSITION
    ranked_BT |= np.arange(candidates_BT.shape[1], dtype=np.uint64)
    ranked_BT.sort(axis=1)
    return ranked_BT


def _positions(ranked_BW: Bits, num_columns: int) -> Int64s:
    """Return the flat position of each ranked key."""
    positions_BW = (ranked_BW & _POSITION).view(np.int64)
    positions_BW += np.arange(len(positions_BW))[:, None] * num_columns
    return positions_BW


def _cut_long_words(starts_BT: Bools, max_word_tokens: int) -> Bools:
    """Start a new word after every max_word_tokens tokens of a longer one."""
    starts = np.flatnonzero(starts_BT)
    sizes = np.diff(starts, append=starts_BT.size)
    long = np.flatnonzero(sizes > max_word_tokens)
    if not long.size:
        return starts_BT
    num_cuts = (sizes[long] - 1) // max_word_tokens
    nth_cut = np.arange(num_cuts.sum()) - np.repeat(np.cumsum(num_cuts) - num_cuts, num_cuts)
    cut_BT = starts_BT.copy()
    cut_BT.reshape(-1)[np.repeat(starts[long], num_cuts) + (nth_cut + 1) * max_word_tokens] = True
    return cut_BT


def _word_sizes(starts_BT: Bools, max_word_tokens: int) -> NDArray[np.uint16]:
    """Return at every start how many tokens the word has; elsewhere the number means nothing.

    Counts, for one length after another, where that many tokens that begin no word follow:
    a few passes over booleans, cheaper than numbering the words.
    """
    inner = ~starts_BT.reshape(-1)
    sizes = np.ones(inner.size, dtype=np.uint16)
    run = np.ones(inner.size, dtype=np.bool_)
    for length in range(1, min(max_word_tokens, inner.size)):
        run[:-length] &= inner[length:]
        run[-length] = False
        if not run.any():
            break
        sizes += run
    return sizes.reshape(starts_BT.shape)


def _in_arc(
    sizes_BW: NDArray[np.uint16],
    num_words_B: Int64s,
    totals_B: Int64s,
    counts_B: Int64s,
    arcs_B: Bits,
) -> Bools:
    """Return which of the words, in their order around the circle, start within the arc."""
    is_word_BW = np.arange(sizes_BW.shape[1]) < num_words_B[:, None]
    begins_BW = np.cumsum(sizes_BW, axis=1, dtype=np.int32)
    begins_BW -= sizes_BW
    arc_starts_B = (unit_interval(arcs_B) * totals_B).astype(np.int32)
    arc_ends_B = arc_starts_B + counts_B.astype(np.int32)
    inside_BW = begins_BW >= arc_starts_B[:, None]
    inside_BW &= begins_BW < arc_ends_B[:, None]
    inside_BW |= begins_BW < (arc_ends_B - totals_B.astype(np.int32))[:, None]
    inside_BW &= is_word_BW
    if inside_BW.shape[1]:
        inside_BW[:, 0] |= ~inside_BW.any(axis=1) & (counts_B > 0)
    return inside_BW


def _spread(starts: Int64s, sizes: NDArray[np.uint16], size: int) -> tuple[Int64s, Int64s]:
    """Return every position of the stretches, ascending, and the start of its stretch."""
    start_of = np.full(size, -1, dtype=np.int64)
    start_of[starts] = starts
    for offset in range(1, int(sizes.max(initial=1))):
        longer = sizes > offset
        starts, sizes = starts[longer], sizes[longer]
        start_of[starts + offset] = starts
    positions_M = np.flatnonzero(start_of >= 0)
    return positions_M, start_of.take(positions_M)
