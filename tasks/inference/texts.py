"""The texts of a file that somebody names on the command line: any format, window by window.

    FILE ──▶ format, column (named, or told from the beginning) ──▶ windows of texts, in order

A window bounds memory: the next one is read when this one is done with.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from roberta_model.inference.encodable import lone_half
from tasks.config.reading import ReadingOptions
from tasks.engine.digests import Stamp, stamp_of
from tasks.engine.outside import check_at_rest
from tasks.errors import UserError
from tasks.formats.damage import explained
from tasks.formats.encodings import BLOCK_BYTES
from tasks.formats.glimpse import glimpse, likely_text
from tasks.formats.members import MemberReader
from tasks.formats.source_files import SourceFile, unkept

_MOST_CHARACTERS = 4 << 20

# What the readers say of a config's source, as the command line has it.
_SPELT = (
    (r", or leave it out with the source's `paths` or `urls` \([^)]*\)", ""),
    (r"leave it out with the source's `exclude`", "leave it out of the archive"),
    (r"the source's `text_field`", "--column"),
    (r"the source's `format: (\w+)`", r"--format \1"),
    (r"the source's `format`", "--format"),
    (r"Name it in the source's `encoding`, for this file .*", "Name it by --encoding."),
    (
        r"the source's `encoding`( \(auto [^)]*\))?, or `errors: replace`.*",
        "--encoding (auto guesses it).",
    ),
    (r", or raise (the source's )?`max_document_bytes`", ""),
    (r"out of the source\b", "out"),
)


@dataclass(frozen=True)
class Window:
    """Some texts that follow one another.

    Attributes:
        first: The number of the first, from 1.
        texts: None where a record has no text.
        read_bytes: About how many of the file's bytes have been read so far.
    """

    first: int
    texts: list[str | None]
    read_bytes: int

    @property
    def words(self) -> list[str]:
        """The texts, empty where there are none."""
        return [text or "" for text in self.texts]


@dataclass(frozen=True)
class TextFile:
    """A file of texts, looked at and ready to be read.

    Attributes:
        path: Where it is.
        source: How it is read.
        column: The column or key that holds the text; None where there are none.
        is_guessed: Whether the column was told from the file's beginning.
        stamp: What the file was known by before it was looked at.
    """

    path: Path
    source: SourceFile
    column: str | None
    is_guessed: bool
    stamp: Stamp

    @property
    def bytes(self) -> int:
        """Its size on the disk."""
        return self.source.file.bytes

    def windows(self, most_texts: int) -> Iterator[Window]:
        """All its texts, in order; of a plain text file the lines, empty ones too.

        A window has so many at most, and fewer where they are long.

        Raises:
            UserError: a record cannot be read; names it and what to do. Or the file was changed
                since it was looked at.
        """
        number = consumed = 0
        with tempfile.TemporaryDirectory() as scratch, _as_options():
            reader = MemberReader(self.source, Path(scratch), Counter())
            texts: list[str | None] = []
            size = 0
            try:
                for _, _, records in reader.members():
                    for text in records:
                        if (half := lone_half(text or "")) is not None:
                            raise UserError(
                                f"{self.path}: text {number + 1:,} holds {half}. Mend it."
                            )
                        texts.append(text)
                        number, size = number + 1, size + len(text or "") + 1
                        if len(texts) >= most_texts or size >= _MOST_CHARACTERS:
                            consumed += size
                            read = _position(consumed, int(reader.read_share * self.bytes))
                            yield Window(number - len(texts) + 1, texts, read)
                            texts, size = [], 0
            except Exception as problem:
                raise explained(problem, self.source.name, number) from problem
            if texts:
                yield Window(number - len(texts) + 1, texts, self.bytes)
        check_at_rest(self.path, self.stamp)


def open_texts(
    path: Path, column: str | None = None, form: str = "auto", encoding: str = "utf-8"
) -> TextFile:
    """Look at a file of texts.

    Args:
        path: Of any format that sources have; plain text has a text a line.
        column: The column or key that holds the text; None takes the one that it most likely is.
        form: A format's name, or auto.
        encoding: An encoding's name, or auto.

    Raises:
        UserError: it cannot be read, has no such column, or several that may be meant.
    """
    given: dict[str, Any] = {"format": form, "encoding": encoding, "separator": "line"}
    try:
        options = ReadingOptions(**given | ({} if column is None else {"text_field": column}))
    except ValidationError as problem:
        (error, *_) = problem.errors()
        message = str(error["msg"]).removeprefix("Value error, ")
        raise UserError(f"--{error['loc'][0]} {error['input']}: {message}.") from None
    if path.exists() and not path.is_file():
        raise UserError(
            f"{path}: this is no regular file, and how it is to be read is told from its beginning "
            "before all of it is read. Save it to a file first."
        )
    with _as_options():
        try:
            stamp = stamp_of(path)
            source = unkept(path, options)
            seen = glimpse(source)
        except OSError as problem:
            raise UserError(f"{path} cannot be read: {problem.strerror or problem}.") from problem
    if seen.format == "text":
        if column is not None:
            raise UserError(
                f"{path}: this is plain text, which has no columns. Take --column out, or say by "
                "--format how it is to be read."
            )
        return TextFile(path, source, None, False, stamp)
    if column is not None or not seen.fields:
        return TextFile(path, source, options.text_field, False, stamp)
    found = likely_text(seen.fields)
    if found is None:
        raise UserError(
            f"{path}: which of its columns holds the text cannot be told: "
            f"{', '.join(map(repr, list(seen.fields)[:20]))}. Name it by --column."
        )
    changed = source.options.model_copy(update={"text_field": found})
    is_guessed = found != "text"
    kept = SourceFile(source.name, source.file, source.container, changed)
    return TextFile(path, kept, found, is_guessed, stamp)


def _position(consumed: int, read_bytes: int) -> int:
    """About how far the texts reach, of which readers are up to a block ahead."""
    return min(max(consumed, read_bytes - BLOCK_BYTES), read_bytes)


@contextmanager
def _as_options() -> Iterator[None]:
    """What readers advise for a config, as advice on the command's options."""
    try:
        yield
    except UserError as problem:
        text = str(problem)
        for pattern, replacement in _SPELT:
            text = re.sub(pattern, replacement, text)
        raise UserError(text) from problem
