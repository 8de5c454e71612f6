"""A portrait of what a model was made from: how long its texts are, in which scripts, which tokens.

    documents files ──▶ lengths, scripts ┐
    rejected ones   ──▶ samples          ├──▶ portrait, for the report
    vocabulary, counts ──▶ odd tokens    ┘

Of a large corpus so many files are looked at, spread over it, and the report says how many: what
it costs has a bound. What is found follows from the bytes alone.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from tokenizers import Tokenizer, decoders

from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS
from tasks.arrow_files import validated_batches
from tasks.engine.units import StoredFile, UnitReport, UnitWork, shown_as
from tasks.scripts import script_of

MOST_FILES = 64
_TEXTS_A_BATCH, _CHARACTERS_A_TEXT = 64, 2000
_SAMPLES, _SAMPLE_CHARACTERS = 3, 200
_SHOWN_TOKENS = 16
_PART_OF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def some_of(files: Sequence[StoredFile]) -> list[StoredFile]:
    """At most `MOST_FILES` of them, spread over the whole."""
    step = max(1.0, len(files) / MOST_FILES)
    return [files[int(number * step)] for number in range(min(len(files), MOST_FILES))]


@shown_as("look at the texts")
def look_at_documents(work: UnitWork, *, documents: StoredFile) -> UnitReport:
    """Of one file: documents by the power of two of their characters; letters by script.

    Scripts are counted in the beginnings of some texts.
    """
    lengths: Counter[int] = Counter()
    scripts: Counter[str] = Counter()
    for batch in validated_batches(documents.local()):
        column = batch.column("text")
        characters = np.asarray(pc.utf8_length(column), dtype=np.float64)
        lengths.update(np.log2(np.maximum(characters, 1)).astype(int).tolist())
        stride = max(1, len(column) // _TEXTS_A_BATCH)
        for number in range(0, len(column), stride):
            text = column[number].as_py()[:_CHARACTERS_A_TEXT]
            scripts.update(script_of(character) for character in text if character.isalpha())
    found = {
        "lengths": {str(power): lengths[power] for power in sorted(lengths)},
        "scripts": dict(sorted(scripts.items())),
    }
    return _written(work, found)


@shown_as("look at what was dropped")
def look_at_rejects(work: UnitWork, *, rejects: StoredFile) -> UnitReport:
    """Of one file: a few of the dropped documents for each reason, those of the lowest ids."""
    found: dict[str, list[tuple[str, str]]] = {}
    for batch in validated_batches(rejects.local()):
        for row in batch.select(["id", "reason", "text"]).to_pylist():
            sample = (row["id"].hex(), row["text"][:_SAMPLE_CHARACTERS])
            kept = [*found.get(row["reason"], []), sample]
            found[row["reason"]] = sorted(kept)[:_SAMPLES]
    return _written(work, {"samples": {reason: list(map(list, found[reason])) for reason in found}})


@shown_as("look at the vocabulary")
def look_at_tokens(work: UnitWork, *, tokenizer: StoredFile, counts: StoredFile) -> UnitReport:
    """The longest, the oddest and the most frequent tokens, and how many were never met.

    Odd is what is longer than a sign and neither a word nor a number.
    """
    decoder = decoders.ByteLevel()
    numbers = Tokenizer.from_file(str(tokenizer.local())).get_vocab()
    used = np.load(counts.local(), allow_pickle=False)
    left_out = {*SPECIAL_TOKENS, MASK}
    ids = sorted(number for token, number in numbers.items() if token not in left_out)
    unused = [i for i in ids if not used[i]]
    decoded = {number: decoder.decode([token]) for token, number in numbers.items()}
    texts = {i: decoded[i] for i in ids if _PART_OF_A_CHARACTER not in decoded[i]}
    by_length = sorted(texts, key=lambda i: (-len(texts[i]), i))
    odd = [i for i in by_length if _is_odd(texts[i].strip())]
    frequent = sorted(texts, key=lambda i: (-int(used[i]), i))
    whole = [i for i in unused if len(texts.get(i, "")) > 1]
    parts = {"longest": by_length, "oddest": odd, "most frequent": frequent, "never met": whole}
    shown = {name: [texts[i] for i in part[:_SHOWN_TOKENS]] for name, part in parts.items()}
    return _written(work, {"tokens": shown, "num_tokens": len(ids), "num_unused": len(unused)})


def _is_odd(text: str) -> bool:
    return len(text) > 1 and not text.isalpha() and not text.isdigit()


def _written(work: UnitWork, found: Mapping[str, Any]) -> UnitReport:
    text = json.dumps(found, ensure_ascii=False, sort_keys=True)
    work.path(".json").write_text(text + "\n", encoding="utf-8")
    return UnitReport(summary=found)


def portrait_of(
    documents: Sequence[Mapping[str, Any]],
    rejects: Sequence[Mapping[str, Any]],
    tokens: Mapping[str, Any],
    num_files: int,
) -> dict[str, Any]:
    """The units' findings as one; `num_files` is of how many files `documents` are.

    `{"files", "of_files", "lengths": {power: documents}, "scripts": {name: share}, "samples":
    {reason: [text]}, "tokens": {kind: [text]}, "num_tokens", "num_unused"}`
    """
    lengths = _summed(part["lengths"] for part in documents)
    scripts = _summed(part["scripts"] for part in documents)
    letters = sum(scripts.values()) or 1
    samples: dict[str, list[list[str]]] = {}
    for part in rejects:
        for reason, found in part["samples"].items():
            samples[reason] = sorted([*samples.get(reason, []), *found])[:_SAMPLES]
    shares = sorted(((-n / letters, name) for name, n in scripts.items() if n * 1000 >= letters))
    return {
        "files": len(documents),
        "of_files": num_files,
        "lengths": {power: lengths[power] for power in sorted(lengths, key=int)},
        "scripts": {name: -share for share, name in shares},
        "samples": {why: [text for _, text in samples[why]] for why in sorted(samples)},
        **tokens,
    }


def _summed(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total
