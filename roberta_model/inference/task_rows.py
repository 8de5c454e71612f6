"""Texts as the rows of tokens that a fine-tuned model reads, and the way back to the text.

classify, pair, regress   <s> text </s>     <s> text </s></s> second </s>
tag                       <s> words </s>, in several rows where there are more than fit
qa                        <s> question </s></s> context </s>, in windows that overlap
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roberta_model.inference.batches import Text
from roberta_model.inference.unusable import UnusableError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_CONTEXT = 1  # what the tokenizer calls the second of a pair
_AROUND = 4  # <s>, </s></s> and </s> of a pair


@dataclass(frozen=True)
class WordRow:
    """A row of words to tag.

    Attributes:
        ids: Token ids.
        words: The number of each of its words in the item.
        places: Where the first token of each is.
    """

    ids: list[int]
    words: list[int]
    places: list[int]


@dataclass(frozen=True)
class Window:
    """A question with a part of its context.

    Attributes:
        ids: Token ids.
        first: Where the context begins.
        spans: Of each token of the context its first character in it, and the one behind its last.
    """

    ids: list[int]
    first: int
    spans: list[tuple[int, int]]

    def place(self, start: int, stop: int) -> tuple[int, int] | None:
        """The first and the last token of some characters; None where they are not all here."""
        if not self.spans or start < self.spans[0][0] or stop > self.spans[-1][1]:
            return None
        inside = [n for n, (a, b) in enumerate(self.spans) if b > start and a < stop]
        return (self.first + inside[0], self.first + inside[-1]) if inside else None


class TaskRows:
    """A tokenizer set up for a task.

    It always puts <s> and </s> around a text, as RoBERTa's do, whether the encoder was pretrained
    with them or not.

    Args:
        tokenizer: Of the model folder; it is changed.
        max_tokens: Of a row.
        stride: Tokens that neighbouring windows share.

    Attributes:
        num_cut: Texts so far that were longer and were cut.
    """

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int, stride: int) -> None:
        from tokenizers.processors import RobertaProcessing

        ids = tokenizer.get_vocab()
        tokenizer.post_processor = RobertaProcessing(
            sep=("</s>", ids["</s>"]),
            cls_token=("<s>", ids["<s>"]),
            trim_offsets=True,
            # Of a space that it puts before a text no offset tells.
            add_prefix_space=_adds_space(tokenizer),
        )
        self.tokenizer, self.max_tokens, self.stride = tokenizer, max_tokens, stride
        self.num_cut = 0

    def sequences(self, texts: Sequence[Text]) -> list[list[int]]:
        """The token ids of texts or pairs, cut where they are too long."""
        self.tokenizer.enable_truncation(self.max_tokens, strategy="longest_first")
        found = self.tokenizer.encode_batch(list(texts))
        self.num_cut += sum(bool(each.overflowing) for each in found)
        return [each.ids for each in found]

    def word_rows(self, words: Sequence[str]) -> list[WordRow]:
        """The rows of some words, in order; each word is in one of them.

        Raises:
            UnusableError: A word has more tokens than a row.
        """
        self.tokenizer.no_truncation()
        rows: list[WordRow] = []
        first = 0
        while first < len(words):
            row = self._row_of_words(words, first)
            rows.append(row)
            first += len(row.words)
        return rows

    def _row_of_words(self, every: Sequence[str], first: int) -> WordRow:
        # Each word has a token at least: more of them fit into no row.
        words = every[first : first + self.max_tokens]
        found = self.tokenizer.encode(" ".join(words))
        starts, at = [], 0
        for word in words:
            starts.append(at)
            at += len(word) + 1
        places = _first_tokens(found, starts)
        # A word ends where the blank behind it begins, which may be a token of its own.
        behind = [start + len(word) for start, word in zip(starts, words, strict=True)]
        ends = [*_first_tokens(found, behind[:-1]), len(found.ids) - 1]
        # The last </s> takes the place of what does not fit.
        fitting = [n for n, end in enumerate(ends) if end <= self.max_tokens - 1]
        if not fitting:
            raise UnusableError(
                f"the word {words[0][:40]!r} has more than {self.max_tokens} tokens, which "
                "the model does not read at once. Shorten or remove it."
            )
        count = fitting[-1] + 1
        ids = [*found.ids[: ends[count - 1]], found.ids[-1]]
        return WordRow(ids, list(range(first, first + count)), places[:count])

    def windows(self, question: str, context: str) -> list[Window]:
        """The windows of a question's context; one that fills more than half of a row is cut.

        Raises:
            UnusableError: Beside the question a row has no room for a context.
        """
        self.tokenizer.no_truncation()
        text = question.lstrip()
        asked = self.tokenizer.encode(text, add_special_tokens=False)
        if len(asked.ids) > (most := self.max_tokens // 2):
            text = text[: asked.offsets[most - 1][1]]
            self.num_cut += 1
            # Cut within a word, or a character of several tokens, it may have more than `most`.
            asked = self.tokenizer.encode(text, add_special_tokens=False)
        room = self.max_tokens - len(asked.ids) - _AROUND
        if room < 1:
            raise UnusableError(
                f"a row of {self.max_tokens} tokens has no room for a context beside the question "
                f"{question[:40]!r}. Raise max_tokens, or shorten it."
            )
        stride = min(self.stride, room - 1)
        self.tokenizer.enable_truncation(self.max_tokens, stride=stride, strategy="only_second")
        found = self.tokenizer.encode(text, context)
        return [_window(each) for each in (found, *found.overflowing)]


def _adds_space(tokenizer: "Tokenizer") -> bool:
    """Whether a text is read as if a space stood before it."""
    known = json.loads(tokenizer.to_str())["pre_tokenizer"] or {}
    return any(part.get("add_prefix_space") for part in known.get("pretokenizers", [known]))


def _first_tokens(found: "Encoding", starts: Sequence[int]) -> list[int]:
    """Where each word's first token is: the first one that ends behind the word's start."""
    offsets = found.offsets  # made anew whenever it is asked for
    places, token = [], 1
    for start in starts:
        while token < len(offsets) - 2 and offsets[token][1] <= start:
            token += 1
        places.append(token)
    return places


def _window(found: "Encoding") -> Window:
    within = [n for n, part in enumerate(found.sequence_ids) if part == _CONTEXT]
    offsets = found.offsets  # made anew whenever it is asked for
    spans = [offsets[n] for n in within]
    return Window(found.ids, within[0] if within else 0, spans)
