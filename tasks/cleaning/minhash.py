"""MinHash (Broder 1997): signatures whose agreement estimates the share of common shingles.

A signature is cut into bands; documents that agree in a whole band are candidates, and count
as duplicates when their signatures agree in at least the threshold's share of places. Both follow
from the two texts alone; tasks.cleaning.near_pairs finds all that are joined so.
"""

import numpy as np
from numpy.typing import NDArray

from tasks.cleaning.shingles import Hashes, distinct

Signature = NDArray[np.uint32]

_HIGH = np.uint64(32)
_SHINGLES_AT_ONCE = 1 << 10  # so many times 128 hashes stay in a core's cache


class MinHasher:
    """Signs sets of shingles with a fixed family of hash functions.

    The share of places where two signatures agree estimates the share of all their shingles that
    two texts have in common. Here these are 90 of 110, so 0.82:

    >>> hasher = MinHasher(128)
    >>> one = hasher.sign(np.arange(100, dtype=np.uint64))
    >>> other = hasher.sign(np.arange(10, 110, dtype=np.uint64))
    >>> round(float((one == other).mean()), 2)
    0.73
    """

    def __init__(self, num_hashes: int) -> None:
        generator = np.random.Generator(np.random.Philox(key=20_190_726))
        family = generator.integers(0, 2**64, size=(2, num_hashes), dtype=np.uint64)
        self._multipliers = family[0] | np.uint64(1)
        self._offsets = family[1]

    def sign(self, shingles: Hashes) -> Signature:
        """The signature of the set of shingles: uint32, one number a hash function.

        A shingle that stands there twice counts once:

        >>> once, twice = np.array([7, 9], np.uint64), np.array([9, 7, 7], np.uint64)
        >>> bool((MinHasher(4).sign(once) == MinHasher(4).sign(twice)).all())
        True
        """
        different = distinct(shingles)
        lowest = np.full(len(self._offsets), np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(different), _SHINGLES_AT_ONCE):
            part = different[start : start + _SHINGLES_AT_ONCE]
            hashes = np.multiply.outer(self._multipliers, part)
            hashes += self._offsets[:, None]
            np.minimum(lowest, hashes.min(axis=1), out=lowest)
        return (lowest >> _HIGH).astype(np.uint32)


def band_shape(threshold: float, num_hashes: int) -> tuple[int, int]:
    """Number of bands and numbers in a band, so that pairs at the threshold are rarely missed.

    A pair that agrees in a share s of places meets in some band with probability
    1 - (1 - s^r)^b; the widest r is taken that finds pairs at the threshold 19 times in 20.
    At 0.8, seven numbers a band do: 1 - (1 - 0.8^7)^18 = 0.986; with eight it would be 0.947.

    >>> band_shape(0.8, num_hashes=128)
    (18, 7)
    """
    for width in range(num_hashes, 0, -1):
        bands = num_hashes // width
        if 1 - (1 - threshold**width) ** bands >= 0.95:
            return bands, width
    return num_hashes, 1


def band_keys(signatures: NDArray[np.uint32], band: int, width: int) -> Hashes:
    """One 64-bit key a document for a band; equal parts of signatures give equal keys.

    Two documents whose signatures agree in their first band of two, and not in their second:

    >>> signatures = np.array([[1, 2, 3, 4], [1, 2, 3, 5]], dtype=np.uint32)
    >>> [len(set(band_keys(signatures, band, width=2).tolist())) for band in (0, 1)]
    [1, 2]
    """
    part = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width]).astype(np.uint64)
    keys = np.full(len(part), np.uint64(band + 1), dtype=np.uint64)
    for column in range(part.shape[1]):
        keys = (keys ^ part[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys
