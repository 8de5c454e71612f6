"""Decompression, told by magic bytes: gzip, zstd, bzip2 and xz, each of one or more frames.

What is inside is told by content and not by a name's ending, so a misnamed file reads as what
it is. A stream that ends early raises: zstd readers usually take that for the end of the text,
which would lose the rest of a corpus without a word.
"""

import bz2
import gzip
import io
import lzma
import zlib
from typing import BinaryIO, cast

import zstandard

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
# Small, so that the most a crafted frame can inflate in one step stays bounded.
_ZSTD_STEP_BYTES = 2 << 10
_ZSTD_WINDOW_BYTES = 1 << 31
_BUFFER_BYTES = 1 << 18

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError)
"""What reading a damaged stream raises, besides a plain OSError without a number (bzip2)."""


def is_damage(problem: BaseException) -> bool:
    """Whether an exception tells of damaged data rather than of a disk or a defect."""
    return isinstance(problem, DAMAGE) or (isinstance(problem, OSError) and problem.errno is None)


def compression_of(head: bytes) -> str | None:
    """The compression a stream beginning with `head` (6 bytes or more) is in, if any."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return None


def decompressed(stream: io.BufferedReader) -> io.BufferedReader:
    """The stream itself, or what it holds when it is compressed; one layer is taken off.

    Reading raises one of `DAMAGE`, or a plain OSError for bzip2, where the data are broken.
    """
    compression = compression_of(stream.peek(6)[:6])
    if compression is None:
        return stream
    source = cast(BinaryIO, stream)
    raw: io.RawIOBase | io.BufferedIOBase
    if compression == "gzip":
        raw = gzip.GzipFile(fileobj=source, mode="rb")
    elif compression == "bzip2":
        raw = bz2.BZ2File(source)
    elif compression == "xz":
        raw = lzma.LZMAFile(source)  # noqa: SIM115 - the caller closes it
    else:
        raw = ZstdReader(stream)
    return io.BufferedReader(cast(io.RawIOBase, raw), _BUFFER_BYTES)


class ZstdReader(io.RawIOBase):
    """Zstandard frames one after another, as one stream that notices a missing end."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame = self._decompressor.decompressobj()
        self._in_frame = False
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer with decompressed bytes; 0 at the end.

        Raises:
            EOFError: the data end inside a frame.
            zstandard.ZstdError: the data are broken.
        """
        target = memoryview(cast(bytearray, buffer)).cast("B")
        while not self._output:
            if not self._input:
                self._input = self._source.read(_ZSTD_STEP_BYTES)
                if not self._input:
                    if self._in_frame:
                        raise EOFError("the data end before the last zstd frame does")
                    return 0
            self._step()
        size = min(len(target), len(self._output))
        target[:size] = self._output[:size]
        self._output = self._output[size:]
        return size

    def _step(self) -> None:
        self._in_frame = True
        self._output = memoryview(self._frame.decompress(self._input))
        self._input = b""
        if self._frame.eof:
            self._input = self._frame.unused_data
            self._frame = self._decompressor.decompressobj()
            self._in_frame = False
