"""What the report shows of texts and tokens is what lies in the files."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_corpus import run_small, write_texts

from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS
from tasks.artifacts import CleanText, PackedText, TrainedTokenizer
from tasks.documents import DocumentWriter
from tasks.engine.outside import outside_file
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
from tasks.tokenizing.bpe import build_tokenizer

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


def part(lengths: dict[str, int], scripts: dict[str, int]) -> dict[str, Any]:
    return {"lengths": lengths, "scripts": scripts}


def test_files_findings_are_summed_up() -> None:
    """Powers in the order of their size, scripts by their share; a thousandth is shown."""
    parts = [
        part({"9": 1, "10": 2}, {"Latin": 900, "Greek": 1}),
        part({"2": 1, "9": 3}, {"CJK": 99}),
    ]
    found = portrait_of(parts, [], {"tokens": {"longest": ["a"]}, "num_tokens": 1}, 7)
    assert (found["files"], found["of_files"], found["num_tokens"]) == (2, 7, 1)
    assert list(found["lengths"].items()) == [("2", 1), ("9", 4), ("10", 2)]
    assert list(found["scripts"].items()) == [("Latin", 0.9), ("CJK", 0.099), ("Greek", 0.001)]
    rare = portrait_of([part({}, {"Latin": 1000, "Greek": 1})], [], {}, 1)
    assert list(rare["scripts"]) == ["Latin"]
    assert portrait_of([], [], {}, 0)["scripts"] == {}


def test_samples_are_those_of_the_lowest_ids_of_all_files() -> None:
    """Three of each reason, whichever file they stand in."""
    first = {"samples": {"short": [["05", "e"], ["07", "g"]], "odd": [["01", "x"]]}}
    second = {"samples": {"short": [["01", "a"], ["06", "f"], ["09", "i"]]}}
    found = portrait_of([], [first, second], {}, 0)["samples"]
    assert found == {"odd": ["x"], "short": ["a", "e", "f"]}
    assert list(found) == ["odd", "short"]


def test_of_one_file_the_samples_of_the_lowest_ids_are_kept(tmp_path: Path) -> None:
    """Three for each reason, two hundred letters of each."""
    ids = [bytes([number]) * 16 for number in (9, 3, 7, 1, 2)]
    reasons = ["short"] * 4 + ["odd"]
    texts = [chr(97 + number) * 300 for number in range(5)]
    found = pa.table({"id": pa.array(ids, pa.binary(16)), "reason": reasons, "text": texts})
    with pa.OSFile(str(tmp_path / "r"), "wb") as sink, pa.ipc.new_file(sink, found.schema) as out:
        out.write_table(found)
    samples = looked(look_at_rejects, tmp_path, rejects=outside_file(tmp_path / "r"))["samples"]
    assert {why: [text for _, text in its] for why, its in samples.items()} == {
        "short": ["d" * 200, "b" * 200, "c" * 200],
        "odd": ["e" * 200],
    }


def test_a_texts_length_is_the_power_of_two_that_it_reaches(tmp_path: Path) -> None:
    """Of its characters, not of its bytes; letters alone have a script."""
    with DocumentWriter(tmp_path / "d.arrow") as writer:
        for number, text in enumerate(["\u044f" * 4, "a" * 7, "b" * 8, "1 2-3 \u4e16"]):
            writer.add(number, text)
    documents = outside_file(tmp_path / "d.arrow")
    found = looked(look_at_documents, tmp_path, documents=documents)
    assert found == {"lengths": {"2": 3, "3": 1}, "scripts": {"CJK": 1, "Cyrillic": 4, "Latin": 15}}


def test_tokens_are_those_of_the_text_and_none_of_the_special_ones(tmp_path: Path) -> None:
    """By length, by oddity, by how often they stand there; single signs may never be met."""
    tokens = [*SPECIAL_TOKENS, "a", "b", "\u00e4", "ab", "\u0120ab", "aba", "--", "\u0120", "-"]
    vocabulary = {token: number for number, token in enumerate([*tokens, MASK])}
    merges = [("a", "b"), ("\u0120", "ab"), ("ab", "a"), ("-", "-")]
    tokenizer = build_tokenizer(vocabulary, merges)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    used = np.zeros(len(vocabulary), dtype=np.int64)
    for token, count in {"<s>": 99, "b": 5, "a": 5, "ab": 7, "aba": 0}.items():
        used[vocabulary[token]] = count
    np.save(tmp_path / "counts.npy", used)
    found = looked(
        look_at_tokens,
        tmp_path,
        tokenizer=outside_file(tmp_path / "tokenizer.json"),
        counts=outside_file(tmp_path / "counts.npy"),
    )
    assert (found["num_tokens"], found["num_unused"]) == (9, 6)
    assert found["tokens"]["longest"][:2] == [" ab", "aba"]
    assert found["tokens"]["oddest"] == ["--"]
    assert found["tokens"]["most frequent"][:3] == ["ab", "a", "b"]
    assert found["tokens"]["never met"] == [" ab", "aba", "--"]
    assert not any("\ufffd" in text for texts in found["tokens"].values() for text in texts)
