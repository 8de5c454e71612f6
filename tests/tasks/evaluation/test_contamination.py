"""Contamination: a model that was trained on the answers is flagged, and others are not."""

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import write_texts
from tiny_pipeline import run_all, write_config

from tasks.config.load import load_config
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import Unit, UnitResult
from tasks.evaluation.contamination import find_runs
from tasks.evaluation.grams import Sought, grams_of, run_hashes, words_of

WORDS = [f"w{number}" for number in range(40)]


def sentences(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(shortest, longest))) for _ in range(count)]


@pytest.mark.parametrize("num_words", [2, 3, 8])
def test_the_runs_found_are_those_of_a_plain_search(num_words: int) -> None:
    """Items of any length in documents of any length, against text search by words."""
    items = sentences(300, 1, 12, seed=1)
    documents = [f"{text.upper()}, and!" for text in sentences(200, 1, 30, seed=2)]
    documents += [f"said: {item}." for item in items[::10]]
    found = Sought.of(items, num_words).found_in(documents)
    spoken = [f" {' '.join(words_of(document))} " for document in documents]
    num_hits = 0
    for item in items:
        length, hashes = grams_of(item, num_words)
        words = words_of(item)
        assert (length, len(words) >= max(1, num_words // 2)) == (
            min(num_words, len(words)), len(hashes) > 0,
        )  # fmt: skip
        for place, run in enumerate(hashes.tolist()):
            text = f" {' '.join(words[place : place + length])} "
            expected = any(text in document for document in spoken)
            num_hits += expected
            assert (run in found.get(length, np.zeros(0)).tolist()) == expected
    assert num_hits > 30


@pytest.mark.parametrize("last", [1, 2, 5, 6, 7])
def test_a_piece_shorter_than_a_run_holds_none(last: int) -> None:
    """A documents file whose last document is a few words; with it no run could ever end."""
    item = " ".join(f"w{n}" for n in range(8))
    sought = Sought.of([item, "w0 w1 w2 w3 w4"], 8)
    short = " ".join(f"w{n}" for n in range(last))
    assert [len(hashes) for hashes in sought.found_in([short]).values()] == [int(last > 4), 0]
    assert [len(hashes) for hashes in sought.found_in([short, item]).values()] == [1, 1]


@pytest.mark.parametrize(
    "document",
    [
        "The _quick_ brown fox jumped over the __lazy__ dog, today",
        "The qu\u00adick brown fox jum\u200bped over the lazy\u200d dog today",
        "\ufeffTHE QUICK BROWN FOX\u2028JUMPED  OVER THE LAZY DOG TODAY",
    ],
)
def test_dress_hides_no_text(document: str) -> None:
    """Emphasis, soft hyphens, joiners, case and line ends: the words are the same."""
    sought = Sought.of(["the quick brown fox jumped over the lazy dog today"], 8)
    assert len(sought.found_in([document])[8]) == len(sought.runs[8]) == 3


def test_what_any_of_the_files_holds_is_found(tmp_path: Path) -> None:
    """Run by run and length by length, in whichever documents file it stands."""
    held = [{"8": [1, 2], "4": [7]}, {"8": [2, 3]}, {}]

    def run(_: object, units: Sequence[Unit]) -> list[UnitResult]:
        results = []
        for unit, arrays in zip(units, held, strict=True):
            path = tmp_path / f"{unit.label.replace('/', '-')}.npz"
            found: dict[str, Any] = {n: np.array(runs, np.uint64) for n, runs in arrays.items()}
            np.savez(path, **found)
            files = {".npz": outside_file(path)}
            results.append(UnitResult(unit.label, "k", files, Ledger(), {}, reused=False))
        return results

    (tmp_path / "sought").write_text("")
    nothing = outside_file(tmp_path / "sought")
    assert find_runs(nothing, [nothing] * 3, run) == {8: {1, 2, 3}, 4: {7}}


def test_text_without_spaces_is_looked_for_by_its_letters() -> None:
    """As it stands, and behind other text; another text is not found."""
    text = "今天天气很好我们去公园散步吧。他说他不想去因为太热了。"
    sought = Sought.of([text], 8)
    assert len(sought.runs[8]) == 25 - 8 + 1
    assert len(sought.found_in([f"他们说：{text}再见"])[8]) == len(sought.runs[8])
    assert len(sought.found_in([text[::-1]])[8]) == 0


def test_pieces_and_files_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the documents are cut into pieces; and what is saved is what is read."""
    sought = Sought.of(sentences(100, 4, 12, seed=1), 4)
    documents = sentences(500, 1, 30, seed=1)
    expected = sought.found_in(documents)
    monkeypatch.setattr("tasks.evaluation.grams._WORDS_AT_ONCE", 7)
    sought.save(tmp_path / "sought.npz")
    read = Sought.load(tmp_path / "sought.npz")
    assert read.words == sought.words
    found = read.found_in(documents)
    assert sum(map(len, found.values())) > 0
    for length, hashes in expected.items():
        assert found[length].tolist() == hashes.tolist()


def test_a_run_does_not_go_from_one_document_to_the_next() -> None:
    """Nor over a word that no item has."""
    sought = Sought.of(["a b c d"], 4)
    assert sum(map(len, sought.found_in(["a b", "c d", "a b x c d"]).values())) == 0
    assert sum(map(len, sought.found_in(["x a. B (c) D"]).values())) == 1


def test_runs_are_hashed_in_order() -> None:
    """The same words in another order are another run."""
    orders = [
        run_hashes(np.array(order, dtype=np.uint64), 4)[0]
        for order in itertools.permutations([3, 5, 7, 11])
    ]
    assert len(set(map(int, orders))) == 24


def pairs_file(path: Path, good: list[str]) -> Path:
    records = [{"sentence_good": text, "sentence_bad": text[:-1]} for text in good]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def evaluated(folder: Path, sets: list[Path], texts: list[str]) -> dict[str, Any]:
    """The evaluation's summary of a tiny model trained on these texts."""
    corpus = [{"type": "files", "paths": str(write_texts(folder / "texts", texts))}]
    tasks = [{"task": "minimal_pairs", "name": path.stem, "data": str(path)} for path in sets]
    config = write_config(
        folder,
        corpus=corpus,
        tokenizer={"vocab_size": 300},
        pretrain={"steps": 1},
        evaluate={"tasks": tasks, "examples": []},
        engine={"workers": 1},
    )
    return dict(run_all(load_config(str(config)), until="evaluate")["evaluate"].artifact.summary)


def test_a_model_trained_on_a_set_is_flagged_and_scored_without_it(tmp_path: Path) -> None:
    """Twelve of its sentences stand in the training text, in other clothes; half a one is none."""
    seen, unseen = sentences(12, 6, 8, seed=5), sentences(20, 6, 8, seed=6)
    half = [f"h{number}" for number in range(12)]
    sets = [
        pairs_file(tmp_path / "leaked.jsonl", [*unseen, *seen, "w1 w2"]),
        pairs_file(tmp_path / "kept.jsonl", [*unseen, "w1 w2", " ".join(half)]),
    ]
    noise = [f"some filler of {n} words and {n * n}" for n in range(400)]
    copies = [f"Well, {text.upper()}! says line {number}" for number, text in enumerate(seen)]
    # Two of its five runs of eight words: less than the share from which on it is contained.
    noise.append(" ".join(half[:9]))
    summary = evaluated(tmp_path, sets, noise + copies * 3)
    assert summary["contamination"]["flagged"] == ["leaked"]
    for name, items, contained in (("leaked", 33, 12), ("kept", 22, 0)):
        told = summary["contamination"]["tasks"][name]
        whole = summary["tasks"][name]
        assert (told["items"], told["contained"], told["too_short"]) == (items, contained, 1)
        assert told["with"]["value"] == pytest.approx(whole["accuracy"])
        assert told["with"]["n"] == items
        assert told["without"]["n"] == items - contained
        assert (told["contained_only"] or {"n": 0})["n"] == contained
        parts = [part for part in (told["without"], told["contained_only"]) if part]
        assert sum(round(part["value"] * part["n"]) for part in parts) == whole["right"]
