"""Records of columnar files: Parquet, and Arrow IPC as a file or as a stream."""

import io
from collections.abc import Iterator

import pyarrow as pa

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.records import missing_field

_ROWS_AT_ONCE = 1024


def parquet_records(
    stream: io.BufferedIOBase, options: ReadingOptions, where: str
) -> Iterator[str | None]:
    """The text column of a Parquet file, some rows in memory at a time."""
    from pyarrow import parquet

    with parquet.ParquetFile(stream, pre_buffer=False) as file:
        _check_column(file.schema_arrow, options.text_field, where)
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[options.text_field]):
            yield from _checked(batch.column(0)).to_pylist()


def arrow_records(
    stream: io.BufferedIOBase, options: ReadingOptions, where: str
) -> Iterator[str | None]:
    """The text column of an Arrow IPC file or stream, one batch in memory at a time."""
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    reader = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
    with reader:
        _check_column(reader.schema, options.text_field, where)
        column = reader.schema.get_field_index(options.text_field)
        if is_file:
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
        else:
            batches = iter(reader)
        for batch in batches:
            texts = _checked(batch.column(column))
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                yield from texts.slice(start, _ROWS_AT_ONCE).to_pylist()


def validate_columns(stream: io.BufferedReader) -> None:
    """Look through an Arrow or Parquet file in full, for those who have a library read it.

    Files of other kinds are none of this one's business.

    Raises:
        pa.ArrowException, OSError: it is damaged.
    """
    from pyarrow import parquet

    head = stream.peek(8)[:8]
    if head.startswith(b"PAR1"):
        with parquet.ParquetFile(stream, pre_buffer=False) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                batch.validate(full=True)
    elif head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        is_file = head.startswith(b"ARROW1")
        with pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream) as reader:
            numbers = range(reader.num_record_batches) if is_file else ()
            for batch in (reader.get_batch(n) for n in numbers) if is_file else reader:
                batch.validate(full=True)


def _checked(column: pa.Array) -> pa.Array:
    """A column, every offset of which lies within it and every text of which is UTF-8.

    Arrow believes what a file says of itself: an offset that leads out of it would end the
    process.
    """
    column.validate(full=True)
    return column


def _check_column(schema: pa.Schema, field: str, where: str) -> None:
    index = schema.get_field_index(field)
    if index < 0:
        texts = [column.name for column in schema if is_text(column.type)]
        raise UserError(missing_field(field, schema.names, texts[0] if texts else None, where))
    if not is_text(schema.field(index).type):
        raise UserError(
            f"{where}: the column {field!r} holds {schema.field(index).type}, not text. Set the "
            "source's `text_field` to a column of text."
        )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of that type holds text."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )
