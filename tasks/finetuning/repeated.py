"""Which rows of dev and test are learnt from as well: their scores tell what was kept by heart.

Texts are the same where only case and white space differ. What is answered does not matter: a text
that is learnt with another label misleads as much.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable

from tasks.finetuning.items import Item


def count_repeated(items: Callable[[str], Iterable[Item]], scored: Iterable[str]) -> dict[str, int]:
    """How many items of each scored part stand in a part before it: `train`, then those of scored.

    Args:
        items: The items of a part.
        scored: dev, and test where there is one.
    """
    known = {_digest_of(item) for item in items("train")}
    counts = {}
    for part in scored:
        digests = [_digest_of(item) for item in items(part)]
        counts[part] = sum(digest in known for digest in digests)
        known.update(digests)
    return counts


def _digest_of(item: Item) -> bytes:
    words = item.text if isinstance(item.text, list) else [item.text]
    parts = (" ".join(map(str, words)), item.second or "")
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        same = " ".join(unicodedata.normalize("NFC", part).casefold().split())
        hashed.update(f"{len(same)}:{same}".encode("utf-8", "surrogatepass"))
    return hashed.digest()
