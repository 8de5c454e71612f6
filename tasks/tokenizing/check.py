"""The check that blocks a bad tokenizer: round trip, unknown tokens, fertility.

It runs before anything is packed: an overflow or a wrong setting in BPE training gives no
error, only a model that learns little, and that would be noticed after the GPU bill.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

from tasks.errors import StageError, UserError


@dataclass
class Fertility:
    """What a sample of text showed."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    spaced_tokens: int = 0
    used: set[int] = field(default_factory=set)

    def figures(self, vocab_size: int) -> dict[str, Any]:
        """Plain JSON: tokens a word (None without spaces), bytes a token, vocabulary used."""
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "tokens_per_word": self.tokens_per_word,
            "bytes_per_token": round(self.bytes / max(1, self.tokens), 4),
            "vocabulary_used": round(len(self.used) / vocab_size, 4),
        }

    @property
    def tokens_per_word(self) -> float | None:
        """Tokens for each word of the text that has spaces; None when hardly any has."""
        return round(self.spaced_tokens / self.words, 4) if self.words else None


def check_tokenizer(
    tokenizer: Tokenizer, texts: Iterable[str], max_tokens_per_word: float | None
) -> Fertility:
    """Encode and decode texts, and judge.

    Raises:
        StageError: a text does not come back as it went in, or needs `<unk>`.
        UserError: words fall into more tokens than allowed.
    """
    found = Fertility()
    unknown = tokenizer.token_to_id("<unk>")
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if unknown in ids or tokenizer.decode(ids, skip_special_tokens=False) != text:
            raise StageError(
                f"the tokenizer does not give back this text as it was: {text[:80]!r}. Nothing "
                "was packed with it; this is a defect in the tokenizer."
            )
        _count(found, text, ids)
    _judge(found, max_tokens_per_word)
    return found


def _count(found: Fertility, text: str, ids: list[int]) -> None:
    size = len(text.encode())
    found.documents += 1
    found.bytes += size
    found.tokens += len(ids)
    found.used.update(ids)
    words = len(text.split())
    # Scripts without spaces have very long "words"; they say nothing about fertility.
    if words and size / words <= 16:
        found.words += words
        found.spaced_tokens += len(ids)


def _judge(found: Fertility, limit: float | None) -> None:
    measured = found.tokens_per_word
    if limit is not None and measured is not None and measured > limit:
        raise UserError(
            f"the tokenizer cuts words into {measured:.2f} tokens on average, more than "
            f"tokenizer.check.max_tokens_per_word ({limit:g}). Raise tokenizer.vocab_size, give "
            "it more text, or raise the limit if this corpus is like that."
        )
