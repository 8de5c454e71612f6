"""Which encoding bytes are in, and bytes to text without losing track of where one is.

`auto` knows what is certain (a byte order mark, valid UTF-8, UTF-16 by its zero bytes) and
guesses the rest. Where Latin letters prevail it takes Windows-1252 unless that puts symbols
inside words, because statistical guessing takes English with curly quotes for Chinese; dense
scripts (Cyrillic, Greek, Japanese, ...) are left to charset-normalizer.
"""

import codecs
import io
import unicodedata
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from tasks.errors import UserError

BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The last is for English typed in East Asia: its quotes are two bytes, its letters ASCII.
_LATIN = ("cp1252", "mac_roman", "cp850", "cp1250", "iso8859_2", "cp1257", "big5")
_DENSE = (
    "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874",
    "cp932", "euc_jp", "gb18030", "big5", "cp949",
)  # fmt: skip
_UNDEFINED = 1000
_BEYOND_LATIN = "\u0250"
_INSIDE_WORDS = "\u2018\u2019\u2013\u2014\u00ad\u00b7"


class UndecodableError(UserError):
    """Bytes that are no text of the encoding; the message is for a source of a config.

    Attributes:
        line: Which one they stand in, from 1, where line ends are what they are in ASCII.
        told: What is wrong with them.
    """

    line: int = 0
    told: str = ""


def encoding_for(encoding: str | Mapping[str, str], name: str) -> str:
    """The configured encoding of a file: itself, or that of the longest glob that fits.

    Raises:
        UserError: a mapping has no glob for this name.
    """
    if isinstance(encoding, str):
        return encoding
    fitting = [glob for glob in encoding if fnmatchcase(name, glob)]
    if not fitting:
        raise UserError(
            f'{name}: no glob of the source\'s `encoding` fits this file. Add `"*": utf-8` or '
            '`"*": auto` for all others.'
        )
    return encoding[max(fitting, key=lambda glob: (len(glob), glob))]


def decode_stream(
    stream: io.BufferedIOBase, encoding: str, errors: str, where: str
) -> Iterator[str]:
    """The text of a stream in pieces of about 1 MB, without its byte order mark.

    Raises:
        UndecodableError: `errors` is "refuse" and bytes do not decode; names their offset.
    """
    codec = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    mode = "strict" if errors == "refuse" else "replace"
    decoder = codecs.getincrementaldecoder(codec)(mode)
    offset = lines = 0
    while True:
        block = stream.read(BLOCK_BYTES)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as problem:
            raise _undecodable(problem, offset + len(block), lines, encoding, where) from None
        offset, lines = offset + len(block), lines + text.count("\n")
        if text:
            yield text
        if not block:
            return


def _undecodable(
    problem: UnicodeError, end: int, lines: int, encoding: str, where: str
) -> UndecodableError:
    """The error; `end` is how many bytes were given to the decoder so far, `lines` came of them."""
    advice = (
        "Set the source's `encoding` (auto guesses it for each file), or `errors: replace` to "
        "put U+FFFD in its place."
    )
    told = f"this is not {encoding} text ({problem})"
    if isinstance(problem, UnicodeDecodeError):
        at = end - len(problem.object) + problem.start
        found = problem.object[problem.start : problem.end][:4].hex(" ")
        told = f"byte {at:,} ({found}) is not valid {encoding}"
        lines += problem.object[: problem.start].count(b"\n")
    error = UndecodableError(f"{where}: {told}. {advice}")
    error.line, error.told = lines + 1, told
    return error


def detect_encoding(stream: io.BufferedIOBase) -> str | None:
    """The encoding of a seekable stream, or None when it cannot be told.

    Reads the stream once in full and leaves it at its start. The answer follows from the
    bytes alone.
    """
    stream.seek(0)
    head = stream.read(_SAMPLE_BYTES)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            stream.seek(0)
            return encoding
    stream.seek(0)
    sample = _lines_beyond_utf8(stream)
    stream.seek(0)
    if (wide := _wide_encoding(head)) is not None:
        return wide
    return "utf-8" if sample is None else _guess(sample)


def _lines_beyond_utf8(stream: io.BufferedIOBase) -> bytes | None:
    """None if all is valid UTF-8, else up to 256 KB of lines that hold bytes above 127."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, sample = True, bytearray()
    while block := stream.read(BLOCK_BYTES):
        if valid:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                valid = False
        if len(sample) < _SAMPLE_BYTES and not block.isascii():
            lines = (line for line in block.split(b"\n") if not line.isascii())
            sample += b"\n".join(lines)[: _SAMPLE_BYTES - len(sample)]
        if not valid and len(sample) >= _SAMPLE_BYTES:
            break
    if valid:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            valid = False
    return None if valid else bytes(sample)


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of mostly Latin text is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) <= len(head) * 0.1 or min(even, odd) * 10 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _guess(sample: bytes) -> str | None:
    num_high = sum(byte > 127 for byte in sample)
    num_letters = sum(65 <= byte <= 90 or 97 <= byte <= 122 for byte in sample)
    if num_high < 0.3 * (num_high + num_letters):
        strange = {name: _num_strange(sample.decode(name, "replace")) for name in _LATIN}
        allowed = min(strange.values()) + 0.02 * num_high
        return next(name for name in _LATIN if strange[name] <= allowed)
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16], cp_isolation=list(_DENSE)).best()
    return None if best is None else best.encoding


def _num_strange(text: str) -> int:
    """Characters that real text has no use for: symbols or capitals inside words, controls."""
    strange = 0
    padded = f" {text} "
    for at, character in enumerate(padded):
        if character.isascii():
            continue
        before, after = padded[at - 1], padded[at + 1]
        if character == "\ufffd":
            strange += _UNDEFINED
        elif unicodedata.category(character) == "Cc":
            strange += 1
        elif character in _INSIDE_WORDS:
            continue
        elif not character.isalpha() or character in "ªº":
            strange += before.isalpha() and after.isalpha()
        elif character >= _BEYOND_LATIN:
            strange += (before.isascii() and before.isalpha()) or (
                after.isascii() and after.isalpha()
            )
        elif character.isupper():
            strange += before.islower()
    return strange
