"""Opens one source file and gives the records of each of its members.

file ──▶ members (an archive has many, any other file is its own) ──▶ decompressed ──▶ records
"""

import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from tasks.errors import UserError
from tasks.formats import archives
from tasks.formats.compression import decompressed
from tasks.formats.encodings import decode_stream, detect_encoding, encoding_for
from tasks.formats.source_files import SourceFile
from tasks.formats.table import FORMATS, BinaryFormat, format_by_name

_SPOOL_BYTES = 32 << 20


class MemberReader:
    """Opens one source file and gives the records of each of its members."""

    def __init__(self, file: SourceFile, scratch: Path, encodings: Counter[str]) -> None:
        self.file, self.options = file, file.options
        self._scratch, self._encodings = scratch, encodings
        self._path = file.file.local()
        self._stream: io.BufferedReader | None = None
        self._spooled: tuple[io.BufferedIOBase, int] | None = None

    def members(self) -> Iterator[tuple[str, str | None, Iterator[str | None]]]:
        """(what to call it in messages, member name, records), one member open at a time."""
        with self._path.open("rb") as stream:
            self._stream = stream
            name, options = self.file.name, self.options
            if self.file.container == "plain":
                yield name, None, self._records(stream, name, name)
                return
            if self.file.container == "zip":
                found = archives.zip_members(stream, options.include, options.exclude, name)
            else:
                found = archives.tar_members(stream, options.include, options.exclude)
            for member, content in found:
                where = f"{name}, member {member}"
                yield where, member, self._records(content, member, where)

    @property
    def read_share(self) -> float:
        """About which share of the file's stored bytes has been read so far."""
        if self._spooled is not None and self.file.container == "plain":
            copy, size = self._spooled
            return 1.0 if copy.closed else copy.tell() / max(1, size)
        if self._stream is None or self._stream.closed:
            return 1.0
        return min(1.0, self._stream.tell() / max(1, self.file.file.bytes))

    def _records(self, stream: io.BufferedReader, name: str, where: str) -> Iterator[str | None]:
        options = self.options
        form = FORMATS[format_by_name(name, where) if options.format == "auto" else options.format]
        content = decompressed(stream)
        with ExitStack() as opened:
            if isinstance(form, BinaryFormat):
                is_seekable = content is stream and self.file.container == "plain"
                file = content if is_seekable else opened.enter_context(self._spool(content))
                yield from form.records(file, options, where)
                return
            encoding = encoding_for(options.encoding, name)
            source: io.BufferedIOBase = content
            if encoding == "auto":
                source = opened.enter_context(self._spool(content))
                encoding = self._guess_encoding(source, name, where)
            pieces = decode_stream(source, encoding, options.errors, where)
            yield from form.records(pieces, options, where)

    def _guess_encoding(self, content: io.BufferedIOBase, name: str, where: str) -> str:
        found = detect_encoding(content)
        if found is None and self.options.errors == "refuse":
            glob = Path(name).name if self.file.container == "plain" else name
            raise UserError(
                f"{where}: its encoding cannot be told from its bytes. Name it in the source's "
                f'`encoding`, for this file alone with a mapping such as {{"{glob}": cp1251, '
                '"*": auto}.'
            )
        self._encodings[found or "utf-8"] += 1
        return found or "utf-8"

    @contextmanager
    def _spool(self, content: io.BufferedReader) -> Iterator[io.BufferedIOBase]:
        """A seekable copy: in memory when small, else in an unnamed file."""
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, "w+b", dir=str(self._scratch)) as spool:
            while block := content.read(1 << 20):
                spool.write(block)
            copy = cast(io.BufferedIOBase, spool)
            self._spooled = copy, spool.tell()
            spool.seek(0)
            yield copy
