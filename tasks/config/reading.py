"""How the bytes of a source's files become documents: format, separators, encoding, limits."""

import codecs
import re
from typing import Any, Literal

from pydantic import Field, field_validator

from tasks.config.base import Section

SEPARATORS = ("line", "blank_line", "file")


class RegexSeparator(Section):
    """A separator of one's own."""

    regex: str = Field(
        min_length=1, description="Python regular expression; `^` and `$` match at lines."
    )


class ReadingOptions(Section):
    """How the bytes of a file become documents."""

    format: Literal[
        "auto",
        "text",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "tsv_unquoted",
        "parquet",
        "arrow",
    ] = Field(
        "auto",
        description="auto: by the file name's ending; endings not known are text, and those of web "
        "pages, office files, images and the like are refused.",
    )
    text_field: str = Field(
        "text",
        min_length=1,
        description="Key or column that holds the text; a.b for nested JSON. Tables in text have "
        "their columns' names in the first row.",
    )
    separator: Literal["line", "blank_line", "file"] | RegexSeparator = Field(
        "blank_line",
        description="What parts documents in a text file: line, blank_line, file (the whole file "
        "is one document) or {regex: ...}.",
    )
    encoding: str | dict[str, str] = Field(
        "utf-8",
        description="An encoding, auto (guessed for each file), or a mapping from glob to encoding "
        "where the longest glob that fits the file's name counts.",
    )
    errors: Literal["refuse", "replace"] = Field(
        "refuse", description="Bytes that do not decode: refuse, or replace each by U+FFFD."
    )
    include: tuple[str, ...] = Field(
        ("*",), description="Globs; archive members that fit one of them are read."
    )
    exclude: tuple[str, ...] = Field(
        (), description="Globs; archive members that fit one of them are not read."
    )
    max_document_bytes: int = Field(
        64 << 20, ge=1, description="A longer document is refused; bounds memory."
    )

    @field_validator("separator", mode="before")
    @classmethod
    def _known_separator(cls, value: Any) -> Any:
        if isinstance(value, RegexSeparator) or value in SEPARATORS:
            return value
        pattern = value.get("regex") if isinstance(value, dict) and set(value) == {"regex"} else 0
        if not isinstance(pattern, str):
            raise ValueError("write line, blank_line, file or {regex: ...}")
        try:
            re.compile(pattern)
        except re.error as problem:
            raise ValueError(f"not a regular expression: {problem}") from None
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for name in [value] if isinstance(value, str) else value.values():
            if name != "auto" and not _is_text_encoding(name):
                raise ValueError(f"Python knows no text encoding {name!r}")
        return value


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except LookupError:
        return False
