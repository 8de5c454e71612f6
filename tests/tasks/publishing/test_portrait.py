"""What the report shows of texts and tokens is what lies in the files."""

from pathlib import Path
from typing import Any

import pytest
from small_corpus import run_small, write_texts

from tasks.artifacts import CleanText, PackedText, TrainedTokenizer
from tasks.engine.runner import Outcome
from tasks.engine.units import StoredFile, UnitWork
from tasks.publishing.portrait import (
    MOST_FILES,
    look_at_documents,
    look_at_rejects,
    look_at_tokens,
    portrait_of,
    some_of,
)

RUSSIAN = "Привет, мир и мир." * 3
TEXTS = [f"The harbour of town {n} ---- is quiet. " * (1 + n % 4) for n in range(20)]
DROPPED = ["#### ---- ++++ !!!!" * 2, "short", "brief"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("portrait")
    texts = write_texts(folder / "texts", [*TEXTS, RUSSIAN, *DROPPED])
    clean = {"keep_rejects": True, "dedup": {"near": None}}
    return run_small(folder / "store", texts, "pack", clean=clean)


def looked(function: Any, folder: Path, **payload: Any) -> dict[str, Any]:
    return dict(function(UnitWork("look", folder), **payload).summary)


def test_lengths_and_scripts_are_those_of_the_documents(
    made: dict[str, Outcome], tmp_path: Path
) -> None:
    """Counted here in Python's own way."""
    files = CleanText(made["clean"].artifact).files("train")
    found = [looked(look_at_documents, tmp_path, documents=file) for file in files]
    expected: dict[str, int] = {}
    for text in [*TEXTS, RUSSIAN]:
        power = str(len(text.strip()).bit_length() - 1)
        expected[power] = expected.get(power, 0) + 1
    portrait = portrait_of(found, [], {"tokens": {}}, len(files))
    assert portrait["lengths"] == expected
    assert list(portrait["scripts"]) == ["Latin", "Cyrillic"]
    letters = sum(map(str.isalpha, "".join([*TEXTS, RUSSIAN])))
    cyrillic = sum(map(str.isalpha, RUSSIAN))
    assert portrait["scripts"]["Cyrillic"] == pytest.approx(cyrillic / letters)


def test_samples_are_of_what_was_dropped_by_reason(
    made: dict[str, Outcome], tmp_path: Path
) -> None:
    """And the same whichever file they come from first."""
    rejects = CleanText(made["clean"].artifact).rejects
    found = [looked(look_at_rejects, tmp_path, rejects=file) for file in rejects]
    samples = portrait_of([], found, {"tokens": {}}, 0)["samples"]
    assert {why: sorted(texts) for why, texts in samples.items()} == {
        "symbols": [DROPPED[0]],
        "too_short": ["brief", "short"],
    }
    assert portrait_of([], found[::-1], {"tokens": {}}, 0)["samples"] == samples


def test_tokens_are_told_as_text_and_counted(made: dict[str, Outcome], tmp_path: Path) -> None:
    """The longest is a word of the corpus, the odd ones are no words, the unused are unused."""
    tokenizer = TrainedTokenizer(made["tokenizer"].artifact)
    counts = PackedText(made["pack"].artifact).token_counts
    found = looked(look_at_tokens, tmp_path, tokenizer=tokenizer.file, counts=counts)
    longest = found["tokens"]["longest"]
    assert [len(text) for text in longest] == sorted(map(len, longest), reverse=True)
    assert any("harbour" in text for text in longest)
    assert not [text for text in found["tokens"]["oddest"] if text.strip().isalpha()]
    assert found["num_tokens"] == tokenizer.vocab_size - 5
    assert 0 < found["num_unused"] < found["num_tokens"]


def test_of_many_files_some_are_looked_at_spread_over_all() -> None:
    """The cost has a bound; few files are all looked at."""
    files = [StoredFile(str(number), "0", 1) for number in range(1000)]
    chosen = [int(file.url) for file in some_of(files)]
    assert len(set(chosen)) == MOST_FILES
    assert chosen[0] < 16 < 900 < chosen[-1]
    assert some_of(files[:5]) == files[:5]
    assert some_of([]) == []
