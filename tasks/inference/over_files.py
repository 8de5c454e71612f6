"""A model's uses over files of texts of any size: window by window, in the order of the file.

TextFile.windows() ──▶ LoadedModel, sorted by length and batched ──▶ rows, in order
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.engine.progress import Counter, Progress
from tasks.errors import UserError
from tasks.inference.model_folder import refusals
from tasks.inference.results import whole_results
from tasks.inference.texts import TextFile, Window

if TYPE_CHECKING:
    from roberta_model.inference.likelihood import LineRead
    from roberta_model.inference.loaded import LoadedModel
    from roberta_model.inference.masks import TextFilled

# Texts at once: enough to find others of their length, and few enough to see how far it is. A
# text is scored by a row for each of its tokens.
_AT_ONCE = {"embed": 1024, "fill-mask": 1024, "score": 256}
_MORE_ON_A_GPU = 8

_GUESS = pa.struct([("token", pa.string()), ("id", pa.int32()), ("score", pa.float64())])
FILLED = pa.schema(
    [("text", pa.string()), ("masks", pa.list_(pa.list_(_GUESS))), ("why", pa.string())]
)
SCORED = pa.schema(
    [
        ("text", pa.string()),
        ("tokens", pa.int32()),
        ("score", pa.float64()),
        ("per_token", pa.float64()),
        ("why", pa.string()),
    ]
)


@dataclass
class Account:
    """What a use of a file came to.

    Attributes:
        texts: Records read, those without text too.
        empty: Of them, those without text.
        tokens: Tokens read or scored, or masks filled.
        cut: Texts whose ends were left out.
        too_long: Texts that are not scored or filled: they are longer than the model reads.
        seconds: How long it took, the model's loading not counted.
    """

    texts: int = 0
    empty: int = 0
    tokens: int = 0
    cut: int = 0
    too_long: int = 0
    seconds: float = 0.0


def embed_file(
    model: "LoadedModel", texts: TextFile, out: Path, progress: Progress | None = None
) -> Account:
    """Write a row for each text of a file: `text`, `tokens`, `cut` and `vector`.

    A record without text has the vector of an empty one, so that rows keep their numbers.

    Args:
        model: Any RoBERTa.
        texts: What is embedded.
        out: A `.parquet` file, or `.npy` with the vectors alone, [N, D] float32.
        progress: Where to show how far it is.

    Raises:
        UserError: a record cannot be read; names it.
    """
    account = Account()
    vector = pa.list_(pa.float32(), model.width)
    kinds = [("text", pa.string()), ("tokens", pa.int32()), ("cut", pa.bool_()), ("vector", vector)]
    schema = pa.schema(kinds)
    with whole_results(out, schema) as results:
        for window in _counted(model, texts, "embed", account, progress):
            with _naming(texts):
                found = model.embed_with_lengths(window.words, window.first)
            account.tokens += int(found.tokens_N.sum())
            account.cut += int(found.is_cut_N.sum())
            vectors = pa.FixedSizeListArray.from_arrays(
                pa.array(found.vectors_ND.reshape(-1)), model.width
            )
            columns = [pa.array(window.texts, pa.string()), found.tokens_N, found.is_cut_N, vectors]
            results.write(pa.table(columns, schema=schema))
    return account


def score_windows(
    model: "LoadedModel", texts: TextFile, account: Account, progress: Progress | None = None
) -> Iterator[list["LineRead"]]:
    """The scores of a file's texts, window by window; adds up what they come to.

    A text longer than the model reads has none, and says why.

    Raises:
        UserError: a text cannot be read; names it.
    """
    for window in _counted(model, texts, "score", account, progress):
        with _naming(texts):
            scores = model.score_readable(window.words, window.first)
        account.tokens += sum(score["tokens"] for score in scores)
        account.too_long += sum(score["why"] is not None for score in scores)
        yield scores


def fill_windows(
    model: "LoadedModel",
    texts: TextFile,
    top: int,
    account: Account,
    progress: Progress | None = None,
) -> Iterator[list["TextFilled"]]:
    """Each text of a file with the guesses for its masks, of which it may have none.

    A text with a mask that is longer than the model reads has none, and says why.

    Raises:
        UserError: a text cannot be read; names it.
    """
    for window in _counted(model, texts, "fill-mask", account, progress):
        with _naming(texts):
            found = model.fill_readable(window.words, top, window.first)
        account.tokens += sum(len(filled["masks"]) for filled in found)
        account.too_long += sum(filled["why"] is not None for filled in found)
        yield found


def write_windows(windows: Iterator[list[Any]], out: Path, schema: pa.Schema) -> None:
    """Write rows that come window by window, as one whole file."""
    with whole_results(out, schema) as results:
        for rows in windows:
            results.write(rows)


def _counted(
    model: "LoadedModel", texts: TextFile, use: str, account: Account, progress: Progress | None
) -> Iterator[Window]:
    """The windows of a file, counted, and shown as far as they are done with."""
    most = _AT_ONCE[use] * (1 if model.device.type == "cpu" else _MORE_ON_A_GPU)
    begun = time.perf_counter()
    counting = (progress or Progress()).counting(use, max(1, texts.bytes) / 1e3, "kB")
    with counting as counter:
        for window in texts.windows(most):
            yield window
            account.texts += len(window.texts)
            account.empty += sum(not text for text in window.texts)
            account.seconds = time.perf_counter() - begun
            _show(counter, window.read_bytes, account)
        _show(counter, texts.bytes, account)


def _show(counter: Counter, read_bytes: int, account: Account) -> None:
    speed = account.texts / max(account.seconds, 1e-9)
    counter.show(read_bytes / 1e3, {"texts/s": speed})


@contextmanager
def _naming(texts: TextFile) -> Iterator[None]:
    """Say of which file a text is that the model cannot be used with."""
    try:
        with refusals():
            yield
    except UserError as problem:
        raise UserError(f"{texts.path}: {problem}") from problem
