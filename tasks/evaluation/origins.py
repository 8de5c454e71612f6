"""Which source each token of packed rows is from, traced as the store's own tables have it.

    row ──▶ number of the document in its shard ──table of the shard──▶ digest of a documents file
    digest ──names of the files──▶ documents file ──download's account──▶ number of the source

Sources are numbered in the config's order. Two files with the same documents, in a corpus whose
duplicates are kept, cannot be told apart: the first one's source counts.

Shapes: R rows, T tokens in a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roberta_model.data.rows import PackedRows
from tasks.arrow_files import validated_batches
from tasks.artifacts import Downloaded, PackedText, Split
from tasks.engine.units import StoredFile

NOBODY = -1


@dataclass(frozen=True)
class Origins:
    """What it takes to trace the rows of some shards.

    Attributes:
        tables: The shards' tables of documents, in the order of the shards.
        sources: The number of its source for each documents file, by the tables' digests.
        num_sources: How many sources there are.
    """

    tables: Sequence[StoredFile]
    sources: Mapping[str, int]
    num_sources: int


def origins_of(packed: PackedText, downloaded: Downloaded, split: Split) -> Origins:
    """The origins of a split's rows."""
    numbers = {file.name: file.source for file in downloaded.files}
    sources: dict[str, int] = {}
    for batch in validated_batches(packed.file_names.local()):
        for row in batch.to_pylist():
            sources.setdefault(row["digest"], numbers[row["name"]])
    return Origins(packed.document_tables(split), sources, len(downloaded.sources))


def sources_of_rows(
    rows: PackedRows, numbers: NDArray[np.int64], origins: Origins
) -> NDArray[np.int32]:
    """The number of the source that each token of some rows is from, [R, T].

    `NOBODY` before a row's first document. `rows` are opened from the shards of these origins.
    """
    sources_RT = np.full((len(numbers), rows.row_tokens), NOBODY, dtype=np.int32)
    shards = rows.shards(numbers).tolist()
    documents = {shard: _sources_of_shard(origins, shard) for shard in sorted(set(shards))}
    for place, (row, shard) in enumerate(zip(numbers.tolist(), shards, strict=True)):
        for document, start in rows.document_spans(row):
            sources_RT[place, start:] = documents[shard][document]
    return sources_RT


def _sources_of_shard(origins: Origins, shard: int) -> list[int]:
    """The source of each document of a shard."""
    return [
        origins.sources[digest]
        for batch in validated_batches(origins.tables[shard].local())
        for digest in batch.column("file").to_pylist()
    ]
