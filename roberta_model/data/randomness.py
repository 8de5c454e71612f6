"""Random numbers as a pure function of (seed, purpose, indices): nothing to save or restore.

Masks, the order of rows and dropout-like choices must come out the same after any restart and
on any number of processes. A generator has a state that must be carried along; a hash of
"which draw is this" has none, and a whole array of draws is one vectorised expression.

The hash is SplitMix64 (Steele, Lea and Flood 2014): each index is added to the state times the
golden-ratio constant and finalised by Stafford's mix 13. Seed and purpose enter through BLAKE2,
so that two purposes never share a stream.
"""

import functools
import hashlib

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]  # 64 random ones in each element
Indices = int | np.integer | NDArray[np.integer]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31 = np.uint64(30), np.uint64(27), np.uint64(31)
_TO_UNIT = 2.0**-53


@functools.lru_cache(maxsize=256)
def _stream_key(seed: int, purpose: str | int) -> int:
    digest = hashlib.blake2b(repr((int(seed), purpose)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def mix_in(state: Bits, index: Indices) -> Bits:
    """Return new random bits for the bits of an earlier draw and one more index."""
    with np.errstate(over="ignore"):
        bits = (np.atleast_1d(index).astype(np.uint64) + np.uint64(1)) * _GOLDEN + state
    scratch = bits >> _SHIFT_30
    bits ^= scratch
    bits *= _MIX_1
    np.right_shift(bits, _SHIFT_27, out=scratch)
    bits ^= scratch
    bits *= _MIX_2
    np.right_shift(bits, _SHIFT_31, out=scratch)
    bits ^= scratch
    return bits


def random_bits(seed: int, purpose: str | int, *indices: Indices) -> Bits:
    """Return 64 random bits for every combination of the broadcast indices.

    Args:
        seed: The run's seed.
        purpose: What the draw is for; different purposes are independent.
        *indices: Integers or integer arrays, e.g. epoch, row[:, None], position[None, :].
            Put the one that varies fastest last: earlier ones are hashed at their own shape.

    Returns:
        uint64 of the broadcast shape of the indices (at least one dimension).
    """
    state = np.array([_stream_key(seed, purpose)], dtype=np.uint64)
    for index in indices:
        state = mix_in(state, index)
    return state


def uniform(seed: int, purpose: str | int, *indices: Indices) -> NDArray[np.float64]:
    """Return float64 in [0, 1) for every combination of the broadcast indices."""
    return unit_interval(random_bits(seed, purpose, *indices))


def unit_interval(bits: Bits) -> NDArray[np.float64]:
    """Turn 64 random bits into float64 in [0, 1), by the top 53 of them."""
    return (bits >> np.uint64(11)).astype(np.float64) * _TO_UNIT
