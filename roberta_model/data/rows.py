"""Packed rows, read at random from Arrow files without copying the files into memory.

    rows-00000.arrow ─┐  memory map   ┌─ tokens [rows, T] views ─┐  take   int [n, T]
    rows-00001.arrow ─┴──────────────▶└─ length [rows]    views ─┴───────▶ one batch

Each record batch becomes two numpy views into the mapped file, so opening costs next to nothing,
processes on one machine share the pages, and only the rows asked for are ever copied.
Compressed shards would be decoded whole to read one row; they are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

Tokens = NDArray[np.uint16] | NDArray[np.int32]


class PackedRows:
    """The rows of one or more packed shards, numbered through in the order of the paths.

    Args:
        paths: Arrow IPC files (tokens, length, documents, starts), any number of batches each.
            None at all, or empty ones, hold no rows: a small corpus may have nothing held out.

    Attributes:
        num_rows: How many rows there are.
        row_tokens: Tokens in a row, the padding of short rows included; 0 without rows.

    Raises:
        ValueError: A file is not a packed shard (names it), or shards do not fit together.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self._batches: list[Any] = []
        self._tokens: list[Tokens] = []
        self._lengths: list[NDArray[np.int32]] = []
        self._shards: list[int] = []
        for shard, path in enumerate(paths):
            self._open(shard, Path(path))
        widths = {(view.shape[1], view.dtype.name) for view in self._tokens}
        if len(widths) > 1:
            raise ValueError(f"shards differ in row length or token type: {sorted(widths)}")
        self.row_tokens = int(self._tokens[0].shape[1]) if self._tokens else 0
        self._ends = np.cumsum([len(view) for view in self._tokens], dtype=np.int64)
        self.num_rows = int(self._ends[-1]) if self._tokens else 0

    def tokens(self, rows: ArrayLike) -> Tokens:
        """Return the token ids of the rows, [n, row_tokens], in the file's own integer type.

        Raises:
            IndexError: A row is negative or past the end.
        """
        return self._gather(self._tokens, rows)

    def lengths(self, rows: ArrayLike) -> NDArray[np.int32]:
        """Return how many tokens of each row are real, int32 [n]; the rest is padding.

        Raises:
            IndexError: A row is negative or past the end.
        """
        return self._gather(self._lengths, rows)

    def shards(self, rows: ArrayLike) -> NDArray[np.int64]:
        """Return in which of the files each row lies, by its number among the paths, int64 [n].

        Raises:
            IndexError: A row is negative or past the end.
        """
        which, _ = self._locate(np.atleast_1d(np.asarray(rows, dtype=np.int64)))
        return np.asarray(self._shards, dtype=np.int64)[which]

    def document_spans(self, row: int) -> list[tuple[int, int]]:
        """Return (document number, position of its first token in the row), in order.

        A document's number is that in its shard.

        Raises:
            IndexError: The row is negative or past the end.
        """
        which, local = self._locate(np.array([row]))
        batch, place = self._batches[int(which[0])], int(local[0])
        documents = batch.column("documents")[place].as_py()
        return list(zip(documents, batch.column("starts")[place].as_py(), strict=True))

    def _open(self, shard: int, path: Path) -> None:
        try:
            source = pa.memory_map(str(path))
            mapped = source.read_buffer()
            reader = pa.ipc.open_file(source)
            batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            for batch in batches:
                # One wrong offset would end the process. Of fixed-size tokens no page is read.
                batch.validate(full=True)
        except Exception as error:  # of damage Arrow tells by errors of many kinds
            raise ValueError(f"{path} is not a readable Arrow file: {error}") from error
        for batch in batches:
            if batch.num_rows == 0:
                continue
            self._tokens.append(_token_view(batch, path, mapped))
            self._lengths.append(batch.column("length").to_numpy(zero_copy_only=True))
            self._batches.append(batch)
            self._shards.append(shard)

    def _locate(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each row its record batch and its place in it."""
        if rows.size and (rows.min() < 0 or rows.max() >= self.num_rows):
            raise IndexError(
                f"rows {rows.min()}..{rows.max()} asked for, but there are {self.num_rows}"
            )
        which = np.searchsorted(self._ends, rows, side="right")
        firsts = np.concatenate(([0], self._ends[:-1]))
        return which, rows - firsts[which]

    def _gather(self, views: Sequence[NDArray[Any]], rows: ArrayLike) -> NDArray[Any]:
        wanted = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        which, local = self._locate(wanted)
        if len(views) == 1:
            return views[0].take(local, axis=0)
        gathered = np.empty((len(wanted), *views[0].shape[1:]), dtype=views[0].dtype)
        by_batch = np.argsort(which, kind="stable")
        edges = np.searchsorted(which[by_batch], np.arange(len(views) + 1))
        for number in np.unique(which):
            places = by_batch[edges[number] : edges[number + 1]]
            gathered[places] = views[number].take(local[places], axis=0)
        return gathered


def _token_view(batch: Any, path: Path, mapped: Any) -> Tokens:
    """Return the tokens column as [rows, row_tokens] over the mapped file, no copy."""
    names = set(batch.schema.names)
    if missing := {"tokens", "length", "documents", "starts"} - names:
        raise ValueError(f"{path} is not a packed shard: it has no column {sorted(missing)}")
    column = batch.column("tokens")
    kind = column.type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type not in (pa.uint16(), pa.int32()):
        raise ValueError(
            f"{path}: tokens are {kind}; they must be fixed-size lists of uint16 or int32"
        )
    view: Tokens = column.flatten().to_numpy(zero_copy_only=True).reshape(-1, kind.list_size)
    address = view.__array_interface__["data"][0]
    if not mapped.address <= address < mapped.address + mapped.size:
        raise ValueError(f"{path} is compressed; packed shards must be written uncompressed")
    return view
