"""BLiMP-format minimal pairs (Warstadt et al. 2020), scored by pseudo-log-likelihood.

A file holds one JSON object a line with `sentence_good` and `sentence_bad`. A pair is right
when the good sentence scores strictly higher. A tie is wrong: a model that gives every
sentence the same score knows nothing, and must not get full marks for it. A pair that is
longer than the model can read is not scored, and is counted apart.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import UserError
from tasks.formats.compression import decompressed, is_damage

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.bz2", ".jsonl.xz")
KEYS = ("sentence_good", "sentence_bad")


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences that differ in one thing; only the first is acceptable."""

    good: str
    bad: str


def find_files(folder: Path) -> list[Path]:
    """The BLiMP-format files of a folder, sorted by name.

    Raises:
        UserError: there is no such folder, none of its files has a known name, one has a name
            that cannot be shown, or two are of one paradigm.
    """
    if not folder.is_dir():
        raise UserError(f"evaluate.blimp.data: {folder} is not a folder.")
    files = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    if not files:
        raise UserError(
            f"evaluate.blimp.data: {folder} holds no BLiMP files. They end in "
            f"{', '.join(SUFFIXES)}."
        )
    known: dict[str, Path] = {}
    for path in files:
        if not paradigm_name(path).isprintable() or not paradigm_name(path):
            raise UserError(
                f"evaluate.blimp.data: {folder} holds a file with a name that the report cannot "
                f"show: {ascii(path.name)}. Rename or remove it."
            )
        if (other := known.setdefault(paradigm_name(path), path)) is not path:
            raise UserError(
                f"evaluate.blimp.data: {folder} holds one paradigm twice, as {other.name} and "
                f"{path.name}. Remove one of them."
            )
    return files


def paradigm_name(path: Path) -> str:
    """A file's paradigm: its name without its endings."""
    return path.name.split(".jsonl")[0]


def read_pairs(path: Path, name: str, max_pairs: int | None = None) -> list[MinimalPair]:
    """The pairs of one file, at most `max_pairs`.

    Raises:
        UserError: a line is not a JSON object with both sentences, or there is none.
    """
    pairs = []
    for number, pair in enumerate(_parse(path, name)):
        if max_pairs is not None and number >= max_pairs:
            break
        pairs.append(pair)
    if not pairs:
        raise UserError(f"evaluate.blimp.data: {name} holds no pairs.")
    return pairs


def _lines(path: Path, name: str) -> Iterator[str]:
    """The lines of a UTF-8 file, plain or compressed."""
    try:
        with (
            path.open("rb") as stream,
            io.TextIOWrapper(decompressed(stream), encoding="utf-8") as lines,
        ):
            yield from lines
    except UnicodeDecodeError as problem:
        raise UserError(f"evaluate.blimp.data: {name}: this is not UTF-8 ({problem}).") from problem
    except Exception as problem:
        if is_damage(problem):
            raise UserError(
                f"evaluate.blimp.data: {name}: the file is damaged or cut short ({problem}). Get "
                "it again from where it came."
            ) from problem
        raise


def _parse(path: Path, name: str) -> Iterator[MinimalPair]:
    for number, line in enumerate(_lines(path, name), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            good, bad = (record[key] for key in KEYS)
        except (ValueError, KeyError, TypeError) as problem:
            raise UserError(
                f"evaluate.blimp.data: {name}, line {number}: a pair is a JSON object with the "
                f"text fields {' and '.join(KEYS)}; this line is not ({problem!r})."
            ) from problem
        if not (isinstance(good, str) and isinstance(bad, str) and good and bad):
            raise UserError(
                f"evaluate.blimp.data: {name}, line {number}: a sentence is empty or not text."
            )
        yield MinimalPair(good, bad)


def fitting_pairs(lengths: Sequence[tuple[int, int]], limit: int, name: str) -> list[bool]:
    """Which pairs the model can read, from the tokens of their two sentences.

    Raises:
        UserError: none of them.
    """
    longer = [max(pair) for pair in lengths]
    if min(longer) > limit:
        raise UserError(
            f"evaluate.blimp.data: {name}: no pair can be scored. The longest has {max(longer)} "
            f"tokens in a sentence, the shortest {min(longer)}, and the model reads at most "
            f"{limit}. Raise model.max_row_tokens or pack.row_tokens, or leave this file out."
        )
    return [length <= limit for length in longer]


def count_right(scores: Sequence[tuple[float, float]]) -> tuple[int, int]:
    """How many pairs are right, and how many are ties, from (good, bad) scores."""
    right = sum(good > bad for good, bad in scores)
    ties = sum(good == bad for good, bad in scores)
    return right, ties
