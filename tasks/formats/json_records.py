"""Records of JSON files: one object a line, a list of objects, or objects in a row.

Values are decoded one at a time from a buffer that grows only while a value is incomplete, so
a list of any length streams like lines do.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.records import missing_field, too_long
from tasks.formats.splitting import JSON_LINE, TooLong, split_text

_GAP = re.compile(r"[\s,]*")
_NEAR_END = 64
# A record may hold more than its text: so much longer than a document may it be.
_RECORD_TO_DOCUMENT = 8
_RECORD_CHARACTERS = 512 << 20


def jsonl_records(
    pieces: Iterable[str], options: ReadingOptions, where: str
) -> Iterator[str | None]:
    """The text of one JSON object a line; blank lines are no records."""
    limit = options.max_document_bytes * _RECORD_TO_DOCUMENT
    for place, value in json_lines(pieces, where, limit):
        yield text_of(value, options.text_field, place)


def json_lines(
    pieces: Iterable[str], where: str, limit: int = _RECORD_CHARACTERS
) -> Iterator[tuple[str, Any]]:
    """(where, value) of each line that is not blank.

    Raises:
        UserError: a line is not JSON, or longer than `limit`.
    """
    try:
        lines = split_text(pieces, JSON_LINE, limit)
        for number, line in enumerate(lines, start=1):
            if not line or line.isspace():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise UserError(
                    f"{where}, line {number:,}: this is not JSON ({problem}). Each line must hold "
                    "one object; mend or remove the line, or set the source's `format`."
                ) from None
            yield f"{where}, line {number:,}", value
    except TooLong as problem:
        raise too_long(where, problem.args[0], limit) from None


def json_records(
    pieces: Iterable[str], options: ReadingOptions, where: str
) -> Iterator[str | None]:
    """The text of each object in a list, or of objects that follow one another."""
    limit = options.max_document_bytes * _RECORD_TO_DOCUMENT
    for record, value in enumerate(json_values(pieces, where, limit)):
        yield text_of(value, options.text_field, f"{where}, record {record:,}")


def json_values(
    pieces: Iterable[str], where: str, limit: int = _RECORD_CHARACTERS
) -> Iterator[Any]:
    """JSON values one at a time; the outermost list, if there is one, is taken apart.

    Raises:
        UserError: a value is not JSON, or longer than `limit`.
    """
    stream, decoder = iter(pieces), json.JSONDecoder()
    buffer = next((piece.lstrip() for piece in stream if piece.strip()), "")
    is_list = buffer.startswith("[")
    at, number, ended = int(is_list), 0, False
    while True:
        at = _GAP.match(buffer, at).end()  # type: ignore[union-attr]
        if is_list and buffer[at : at + 1] == "]":
            _check_end(buffer[at + 1 :], stream, where)
            return
        if ended and at == len(buffer) and not is_list:
            return
        try:
            value, at = decoder.raw_decode(buffer, at)
        except (ValueError, RecursionError) as problem:
            if ended or _is_final(problem, len(buffer)):
                raise _not_json(problem, f"{where}, record {number:,}") from None
        else:
            yield value
            number += 1
            continue
        if len(buffer) - at > limit:
            raise too_long(where, number, limit)
        more = _more(stream, len(buffer) - at)
        ended = not more
        buffer, at = buffer[at:] + more, 0


def _more(stream: Iterator[str], size: int) -> str:
    """At least as much text again, so that a long record is not parsed once for each piece."""
    found: list[str] = []
    length = 0
    while length <= size and (piece := next(stream, None)) is not None:
        found.append(piece)
        length += len(piece)
    return "".join(found)


def _check_end(rest: str, stream: Iterator[str], where: str) -> None:
    for piece in (rest, *stream):
        if piece.strip():
            raise UserError(
                f"{where}: there is more after the end of the list: {piece.strip()[:40]!r}. Make "
                "it one list, or one object a line with `format: jsonl`."
            )


def _is_final(problem: Exception, size: int) -> bool:
    """Whether more text could not mend it: the mistake lies well before the buffer's end."""
    if not isinstance(problem, json.JSONDecodeError):
        return True
    return problem.pos < size - _NEAR_END and not problem.msg.startswith("Unterminated")


def _not_json(problem: Exception, where: str) -> UserError:
    return UserError(
        f"{where}: this is not JSON ({problem}). The file must hold a list of objects, or objects "
        "one after another; mend it, or set the source's `format`."
    )


def text_of(value: Any, field: str, where: str) -> str | None:
    """The text in a record's field; None if it is null.

    Raises:
        UserError: the record is no object, lacks the field, or holds something else there.
    """
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: an object with the key {field!r} was expected, not {_kind(value)}."
        )
    found: Any = value
    for part in [field] if field in value else field.split("."):
        if not isinstance(found, dict) or part not in found:
            raise UserError(_no_field(field, value, where))
        found = found[part]
    if found is None or isinstance(found, str):
        return found
    raise UserError(
        f"{where}: {field!r} holds {_kind(found)}, not text. Set the source's `text_field` to a "
        "key that holds text, or mend the record."
    )


def _no_field(field: str, record: dict[str, Any], where: str) -> str:
    texts = [key for key, item in record.items() if isinstance(item, str)]
    longest = max(texts, key=lambda key: len(record[key]), default=None)
    return missing_field(field, list(record), longest, where)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), f"the number {value!r}")
