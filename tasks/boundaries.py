"""Where a long row of documents is cut: at documents that say so themselves.

Cut by count, one document more would move every cut behind it, and all that was made of the
pieces would be made anew. Here a document's own id decides, as in content-defined chunking, so
the cuts behind an edit are soon where they were:

    size since the last cut    0 ........ half ............ double .................. four times
    a document ends the piece  never      if its draw is    if its draw is hardly     always
                                          low               high

The longer a document is, the likelier it ends its piece, so pieces are about `target` long
whatever the documents' lengths. Nothing else is known of the documents: not their files, nor
how many there are. Only copies of few documents, whose draws are the same few, come to the end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LONGEST = 4  # targets
_LATE = 16  # how much likelier an end is in a piece that is long already
_DRAWN_BYTES = slice(8, 16)  # of an id; the first ones draw the tokenizer's sample


def draws(ids: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A number in [0, 1) for each id of [documents, 16].

    >>> draws(np.array([[0] * 16, [0] * 8 + [128] + [0] * 7], dtype=np.uint8))
    array([0. , 0.5])
    """
    drawn = np.ascontiguousarray(ids[:, _DRAWN_BYTES]).view(">u8").reshape(-1)
    return np.asarray(drawn / 2.0**64)


def draw(document_id: bytes) -> float:
    r"""The draw of one id.

    >>> draw(bytes(8) + b"\x80" + bytes(7))
    0.5
    """
    return int.from_bytes(document_id[_DRAWN_BYTES], "big") / 2.0**64


@dataclass(frozen=True)
class Boundaries:
    """Ends pieces of about `target`, in whatever unit sizes are given in."""

    target: int

    @property
    def longest(self) -> int:
        """The size at which a piece ends, whatever is drawn."""
        return _LONGEST * self.target

    def may_end(self, sizes: NDArray[np.int64], drawn: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which documents may end a piece before it is as long as can be; most never do.

        >>> Boundaries(100).may_end(np.array([1, 1, 50]), np.array([0.9, 0.1, 0.9]))
        array([False,  True,  True])
        """
        return np.asarray(drawn * self.target < 2 * _LATE * sizes)

    def ends(self, since_last: int, size: int, drawn: float) -> bool:
        """Whether a document ends its piece.

        Args:
            since_last: Size of the piece with this document.
            size: The document's own.
            drawn: Its draw.

        >>> [Boundaries(100).ends(length, 1, 0.01) for length in (49, 50, 200)]
        [False, True, True]
        >>> [Boundaries(100).ends(length, 1, 0.1) for length in (49, 50, 200)]
        [False, False, True]
        >>> [Boundaries(100).ends(length, 1, 0.9) for length in (200, 399, 400)]
        [False, False, True]
        """
        if since_last >= self.longest:
            return True
        if 2 * since_last < self.target:
            return False
        likelier = _LATE if since_last >= 2 * self.target else 1
        return drawn * self.target < 2 * likelier * size
