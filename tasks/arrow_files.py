"""Record batches of Arrow files of the store, each looked through in full before it is used.

Arrow believes the offsets that a file gives: one wrong byte on a disk, and reading a text reads
another process's memory, or ends this one without a word.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.errors import StageError


def validated_batches(path: Path, schema: pa.Schema | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow IPC file on a memory map, one at a time.

    Raises:
        StageError: the file is damaged, or of another schema than is expected.
    """
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if schema is not None and not reader.schema.equals(schema):
                raise ValueError(f"its columns are {reader.schema.names}")
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                batch.validate(full=True)
                yield batch
    except Exception as problem:  # of damage Arrow tells by errors of many kinds
        if isinstance(problem, OSError) and problem.errno is not None:
            raise
        raise StageError(
            f"{path}: this Arrow file is damaged ({problem}). `roberta verify CONFIG --repair` "
            "makes what is damaged again."
        ) from problem
