"""What a fine-tuning will cost: its data counted, an epoch of every choice priced.

    train, dev, test, predict ──▶ rows, and the tokens that the model will be given ──▶ operations

Ends that come early (`patience`) are not known beforehand: it is what the training takes at most.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from roberta_model.inference.reading import Columns
from tasks.config.downstream import FineTuningConfig
from tasks.errors import UserError
from tasks.finetuning.choices import choices_of
from tasks.finetuning.items import find_columns
from tasks.formats.rows import is_columnar, read_rows

if TYPE_CHECKING:
    from roberta_model.config import ModelConfig

BYTES_A_TOKEN = 3.5  # labelled text is often of another kind than what the tokenizer has learnt
_AROUND = {"classify": 2, "regress": 4, "pair": 4, "tag": 2, "qa": 4}  # <s> and </s>
_MOST_ROWS = 200_000  # looked at; of a larger file, by the bytes read, it goes on as it began
_SECONDS_A_TRAINING = 10.0  # its processes start
_SECONDS_A_TASK = 20.0  # data looked through, the model held against stock


class Load(NamedTuple):
    """What the model is given of a file.

    Attributes:
        examples: Rows of the file.
        rows: Rows of tokens, more where contexts are read in windows.
        tokens: Of them all.
    """

    examples: int
    rows: int
    tokens: int


class Work(NamedTuple):
    """A fine-tuning in numbers.

    Attributes:
        examples: Learnt from, all epochs of all trainings together.
        tokens: Of them.
        steps: Updates of the weights.
        operations: Floating-point operations of all matrix products.
        precision: What they are in.
        seconds: What comes to their time.
    """

    examples: int
    tokens: int
    steps: int
    operations: float
    precision: str
    seconds: float


def work_of(settings: FineTuningConfig, files: Mapping[str, Path], model: "ModelConfig") -> Work:
    """What a fine-tuning of an encoder takes.

    Args:
        settings: The task.
        files: Its files, by what they are for.
        model: The encoder's shape.
    """
    loads = {part: load_of(settings, path, model.max_row_tokens) for part, path in files.items()}
    choices = choices_of(settings, model.width)
    # Which of them is trained with further seeds is not known yet.
    trainings = [*choices, *choices[:1] * (settings.seeds - 1)]
    steps = sum(math.ceil(loads["train"].rows / choice.batch_size) for choice in trainings)
    epochs = len(trainings) * settings.epochs
    learnt = epochs * loads["train"].tokens
    # dev is scored after each epoch and, as test and what is predicted, once more in the end.
    answered = epochs * loads["dev"].tokens
    answered += sum(load.tokens for part, load in loads.items() if part != "train")
    return Work(
        epochs * loads["train"].examples,
        learnt,
        steps * settings.epochs,
        (6.0 * learnt + 2.0 * answered) * model.num_matrix_parameters,
        settings.precision,
        _SECONDS_A_TASK + _SECONDS_A_TRAINING * len(trainings),
    )


def load_of(settings: FineTuningConfig, path: Path, most_tokens: int) -> Load:
    """What the model is given of a file; of one that cannot be read what can be.

    Whatever is wrong with a row is told by the run, which reads them all.
    """
    examples = rows = tokens = at = 0
    share = 1.0
    limit = min(settings.max_tokens, most_tokens)
    columns: Columns | None = None
    # How far a table of columns has been read tells nothing: it is looked at whole.
    most_rows = math.inf if is_columnar(path, settings.format) else _MOST_ROWS
    with suppress(UserError, OSError), path.open("rb") as file:
        for where, row in read_rows(path, settings.format, opened=file):
            if file.tell() != at:
                # The next block: those before have given all their rows.
                if examples >= most_rows:
                    share = at / path.stat().st_size
                    break
                at = file.tell()
            columns = columns or find_columns(
                settings.task, row, settings.columns, where, labelled=False
            )
            first, second = (
                _bytes_of(row.get(columns.text)),
                _bytes_of(row.get(columns.second or "")),
            )
            length = (first / BYTES_A_TOKEN, second / BYTES_A_TOKEN)
            made = _rows_of(settings, *length, limit)
            rows, tokens = rows + made[0], tokens + made[1]
            examples += 1
    return Load(int(examples / share), int(rows / share), int(tokens / share))


def _bytes_of(value: Any) -> int:
    if isinstance(value, list):
        return sum(_bytes_of(each) + 1 for each in value)
    return len(value.encode(errors="replace")) if isinstance(value, str) else 0


def _rows_of(
    settings: FineTuningConfig, first: float, second: float, limit: int
) -> tuple[int, int]:
    """(rows, their tokens) of one item, by the tokens of its parts."""
    around = _AROUND[settings.task]
    if settings.task == "tag":
        rows = max(1, math.ceil(first / (limit - around)))
        return rows, math.ceil(first) + rows * around
    if settings.task != "qa":
        return 1, min(limit, math.ceil(first + second) + around)
    asked = min(first, limit // 2)
    room = limit - asked - around
    stride = min(settings.stride, limit // 2, max(0.0, room - 1))
    windows = 1 + max(0, math.ceil((second - room) / max(1.0, room - stride)))
    return windows, math.ceil(second + (windows - 1) * stride + windows * (asked + around))
