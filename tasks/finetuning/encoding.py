"""Items as rows of tokens: what `roberta_model.inference.task_rows` makes of their parts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from roberta_model.inference.task_rows import TaskRows, Window, WordRow
from roberta_model.inference.unusable import UnusableError
from tasks.errors import UserError
from tasks.finetuning.items import Item

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def told_cut(num_cut: int, max_tokens: int | None, task: str) -> str:
    """How many texts a row had no room for, in words; of a question at most half a row is read.

    Older manifests do not tell how long a row was: None.

    >>> told_cut(1200, 128, "classify")
    'longer than the 128 tokens of a row, so their ends were left out: 1,200 texts'
    >>> told_cut(2, 128, "qa")
    'longer than half of the 128 tokens of a row, so their ends were left out: 2 questions'
    """
    half, what = ("half of ", "question") if task == "qa" else ("", "text")
    what += "" if num_cut == 1 else "s"
    row = "a row" if max_tokens is None else f"the {max_tokens:,} tokens of a row"
    return f"longer than {half}{row}, so their ends were left out: {num_cut:,} {what}"


class ItemEncoder:
    """A tokenizer set up for a task.

    Args:
        tokenizer: Of the model folder; it is changed.
        max_tokens: Of a row.
        stride: Tokens that neighbouring windows share.
    """

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int, stride: int) -> None:
        self.tokenizer = tokenizer
        self._rows = TaskRows(tokenizer, max_tokens, stride)

    @property
    def num_cut(self) -> int:
        """Texts so far that were longer and were cut."""
        return self._rows.num_cut

    def sequences(self, items: Sequence[Item]) -> list[list[int]]:
        """The token ids of texts or pairs, cut where they are too long."""
        return self._rows.sequences(
            [i.text if i.second is None else (i.text, i.second) for i in items]
        )

    def word_rows(self, item: Item) -> list[WordRow]:
        """The rows of an item's words; each word is in one of them.

        Raises:
            UserError: a word has more tokens than a row.
        """
        try:
            return self._rows.word_rows(item.text)
        except UnusableError as problem:
            raise UserError(f"{item.where}: {problem}") from problem

    def windows(self, item: Item) -> list[Window]:
        """The windows of a question's context.

        Raises:
            UserError: beside the question a row has no room for it.
        """
        assert item.second is not None
        try:
            return self._rows.windows(item.text, item.second)
        except UnusableError as problem:
            raise UserError(f"{item.where}: {problem}") from problem
