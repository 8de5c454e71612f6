"""Where the answer to a question stands: the likeliest span in all windows of its context.

Shape letters: T tokens.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from roberta_model.heads import RobertaWithHead
from roberta_model.inference.batches import require_encodable
from roberta_model.inference.task_rows import TaskRows, Window
from roberta_model.inference.unusable import UnusableError
from roberta_model.predicting import Logits, logits_of

LONGEST_ANSWER = 30  # tokens, as stock's pipeline had it for words


class Answered(TypedDict):
    """The answer to a question.

    answer: the characters of the context; start: the first one's number; score: the sum of the
    logits of its first and last token. Where there is no answer they are "", -1 and None.
    """

    answer: str
    start: int
    score: float | None


def answer_questions(
    model: RobertaWithHead,
    task_rows: TaskRows,
    pairs: Sequence[tuple[str, str]],
    *,
    may_be_none: bool,
) -> list[Answered]:
    """Return the answer to each question, in order.

    Args:
        model: Has a QuestionAnsweringHead.
        task_rows: Makes its rows.
        pairs: Each a question and the context that holds its answer.
        may_be_none: As `answers_in`.

    Raises:
        UnusableError: A text is none that an encoding can carry, or beside a question there is no
            room for a context; names the pair's number.
    """
    windows = []
    for number, pair in enumerate(pairs, start=1):
        require_encodable(pair, number)
        try:
            windows.append(task_rows.windows(*pair))
        except UnusableError as problem:
            raise UnusableError(f"Text {number:,}: {problem}") from problem
    contexts = [context for _, context in pairs]
    return answers_in(model, contexts, windows, may_be_none=may_be_none)


def answers_in(
    model: RobertaWithHead,
    contexts: Sequence[str],
    windows: Sequence[Sequence[Window]],
    *,
    may_be_none: bool,
    workers: int | None = None,
) -> list[Answered]:
    """The best answer in each context.

    Args:
        model: Has a QuestionAnsweringHead.
        contexts: The texts.
        windows: Of each, with its question.
        may_be_none: Whether there may be no answer, which <s> stands for.
        workers: As `logits_of`.
    """
    rows = [window.ids for part in windows for window in part]
    found = iter(logits_of(model, rows, workers=workers))
    return [
        best_answer(context, [(window, next(found)) for window in part], may_be_none=may_be_none)
        for context, part in zip(contexts, windows, strict=True)
    ]


def best_answer(
    context: str, windows: Sequence[tuple[Window, Logits]], *, may_be_none: bool
) -> Answered:
    """The best span of all windows; no answer where that scores higher and may be."""
    best = (-np.inf, 0, 0)
    nothing = np.inf
    for window, logits_T2 in windows:
        nothing = min(nothing, float(logits_T2[0].sum()))
        if window.spans:
            score, first, last = best_span(logits_T2[window.first :][: len(window.spans)])
            if score > best[0]:
                best = (score, window.spans[first][0], window.spans[last][1])
    score, start, stop = best
    if may_be_none and nothing >= score or stop <= start:
        return Answered(answer="", start=-1, score=None)
    return Answered(answer=context[start:stop], start=start, score=round(score, 6))


def best_span(logits_T2: Logits) -> tuple[float, int, int]:
    """(score, first, last) of the likeliest span; of those alike the shortest, then the first.

    >>> starts, ends = [0.0, 3.0, 1.0], [2.0, 0.0, 1.0]
    >>> best_span(np.array([starts, ends], dtype=np.float32).T)
    (4.0, 1, 2)
    """
    starts, ends = logits_T2[:, 0].astype(np.float64), logits_T2[:, 1].astype(np.float64)
    best = (-np.inf, 0, 0)
    for length in range(min(LONGEST_ANSWER, len(starts))):
        sums = starts[: len(starts) - length] + ends[length:]
        first = int(sums.argmax())
        if sums[first] > best[0]:
            best = (float(sums[first]), first, first + length)
    return best
