"""Minimal pairs as people keep them: BLiMP's JSON Lines, tables, and lines that alternate.

    jsonl       an object a line with two text fields, by default BLiMP's
    tsv, csv    a row a pair; the columns are named by the first row, or, where the config names
                none, are the first two
    two_lines   the good sentence, below it the bad one; empty lines between them do not count

A file may tell a pair's paradigm, its field of linguistics and more; see `MinimalPairsConfig`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.config.evaluate import MinimalPairsConfig
from tasks.errors import UserError
from tasks.evaluation.text_files import (
    format_of,
    name_in,
    read_lines,
    read_records,
    require_encodable,
)

FORMATS = ("jsonl", "parquet", "tsv", "csv", "two_lines")

_USUAL_KEYS = tuple(
    MinimalPairsConfig.model_fields[name].default for name in ("good_field", "bad_field")
)


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ in one thing; only the first is acceptable.

    Attributes:
        good: The acceptable one.
        bad: The other.
        paradigm: What the file calls the pair's paradigm; empty where it does not say.
        groups: What else the pair belongs to, by the name of the key that says so.
    """

    good: str
    bad: str
    paradigm: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


def read_pairs(
    path: Path, settings: MinimalPairsConfig, told: str, max_pairs: int | None = None
) -> list[MinimalPair]:
    """The pairs of one file, at most `max_pairs`; `told` is what messages call it.

    Raises:
        UserError: something in it is not a pair, or there is none.
    """
    pairs = []
    form = format_of(path, settings.format)
    found = _alternating(path, told) if form == "two_lines" else _named(path, form, settings, told)
    for number, pair in enumerate(found):
        if max_pairs is not None and number >= max_pairs:
            break
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{told} holds no pairs.")
    return pairs


def _alternating(path: Path, told: str) -> Iterator[MinimalPair]:
    good: tuple[int, str] | None = None
    for number, line in enumerate(read_lines(path, told), start=1):
        text = line.strip()
        if not text:
            continue
        if good is None:
            good = number, text
            continue
        yield MinimalPair(good[1], text)
        good = None
    if good is not None:
        raise UserError(
            f"{told}, line {good[0]}: this sentence has no second one. In this format a good "
            "sentence and, below it, the bad one are a pair; one line of the file is missing or "
            "too many."
        )


def _named(path: Path, form: str, settings: MinimalPairsConfig, told: str) -> Iterator[MinimalPair]:
    keys = (settings.good_field, settings.bad_field)
    are_chosen = keys != _USUAL_KEYS
    for where, record in read_records(path, form, told, keys, are_chosen=are_chosen):
        if absent := [key for key in keys if key not in record]:
            there = ", ".join(map(repr, list(record)[:20])) or "nothing"
            raise UserError(
                f"{where}: a pair has the text fields {' and '.join(keys)}; this "
                f"one lacks {' and '.join(absent)} and has {there}. good_field and bad_field name "
                "them."
            )
        good, bad = (record[key] for key in keys)
        if not (isinstance(good, str) and isinstance(bad, str) and good.strip() and bad.strip()):
            raise UserError(f"{where}: a sentence is empty or not text.")
        require_encodable(f"{good}{bad}", where)
        told_groups = {key: name_in(record, [key]) for key in settings.group_fields}
        groups = {key: value for key, value in told_groups.items() if value is not None}
        yield MinimalPair(good, bad, name_in(record, [settings.paradigm_field]) or "", groups)
