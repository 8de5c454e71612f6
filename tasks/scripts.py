"""The script of a letter, and which scripts put no spaces between words."""

import unicodedata
from functools import lru_cache

UNSPACED = ("CJK", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")


@lru_cache(maxsize=4096)
def script_of(character: str) -> str:
    """The script of a letter, by the first word of its Unicode name.

    >>> [script_of(character) for character in "aж漢ー"]
    ['Latin', 'Cyrillic', 'CJK', 'Katakana']
    """
    name = unicodedata.name(character, "unknown").split()[0].split("-")[0]
    return name if name == "CJK" else name.capitalize()
