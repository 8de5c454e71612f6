"""Held-out text stays out of training, and is the share of bytes that was asked for."""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from small_corpus import documents_of, real_texts, run_small, texts_of, write_texts

from tasks.engine.records import Artifact

LINES = [
    f"Line {n} tells of {n * n} ships, {n % 13} storms and of {n % 7} captains" for n in range(2000)
]
PLAIN: dict[str, Any] = {"dedup": {"near": None}}  # lines that differ in numbers only are alike


def clean(store: Path, *corpus: dict[str, Any], **options: Any) -> Artifact:
    sources = [{"type": "files", **source} for source in corpus]
    return run_small(store, store, "clean", corpus=sources, clean=options)["clean"].artifact


def source(folder: Path, held_out: float = 0.1, **options: Any) -> dict[str, Any]:
    return {"paths": str(folder), "held_out": held_out, **options}


def write(folder: Path, name: str, lines: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n\n" for line in lines))


def test_a_line_more_takes_no_held_out_text_into_training(tmp_path: Path) -> None:
    """Two thousand documents in a file that grows by one: what was held out still is."""
    write(tmp_path / "in", "a.txt", LINES)
    before = clean(tmp_path / "store", source(tmp_path / "in"), **PLAIN)
    write(tmp_path / "in", "a.txt", [*LINES, "and a last line that is new to the file"])
    after = clean(tmp_path / "store", source(tmp_path / "in"), **PLAIN)
    held_out = set(texts_of(before, "held_out/"))
    assert 140 < len(held_out) < 260
    assert held_out <= set(texts_of(after, "held_out/"))


def test_copies_elsewhere_take_no_held_out_text_into_training(tmp_path: Path) -> None:
    """Half of the lines come again, in another order, file and source, before the first."""
    write(tmp_path / "in", "a.txt", LINES)
    before = clean(tmp_path / "store", source(tmp_path / "in"), **PLAIN)
    for number in range(4):
        write(tmp_path / "more", f"{number}.txt", LINES[-1:1000:-1][number::4])
    both = [source(tmp_path / "more"), source(tmp_path / "in")]
    after = clean(tmp_path / "store", *both, **PLAIN)
    assert set(texts_of(before, "held_out/")) == set(texts_of(after, "held_out/"))
    assert after.ledger["documents"].dropped == {"exact_duplicate": 999}


def test_a_near_copy_elsewhere_shares_the_side_of_its_original(
    shared_data: Path, tmp_path: Path
) -> None:
    """Real articles and revisions of them: of each pair either all are trained on or none."""
    articles = itertools.islice(real_texts(shared_data, "reuters/reuters.jsonl.gz"), 4000)
    originals = [text for text in articles if len(text.split()) > 150][:400]
    revised = [text.replace(" the ", " THE new ", 1) for text in originals]
    write_texts(tmp_path / "one", originals)
    write_texts(tmp_path / "two", revised)
    before = clean(tmp_path / "store", source(tmp_path / "one"))
    after = clean(tmp_path / "store", source(tmp_path / "two"), source(tmp_path / "one"))
    trained = {text.replace(" THE new ", " the ", 1) for text in texts_of(after, "train/")}
    held_out = texts_of(before, "held_out/")
    assert len(held_out) > 20
    assert not trained.intersection(held_out)


def test_five_short_files_lose_none_and_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fifth of the text is no hundredth; the stages after it take an empty held-out set."""
    for number in range(5):
        write(tmp_path / "in", f"{number}.txt", [LINES[number * 300] + " with words enough"])
    tiny = [{"type": "files", "paths": str(tmp_path / "in"), "name": "tiny"}]
    outcomes = run_small(tmp_path / "store", tmp_path, "pack", corpus=tiny, clean=PLAIN)
    (told,) = outcomes["clean"].artifact.summary["sources"]
    assert told["train"]["documents"] == 5
    assert told["held_out"] == {
        **{"asked": 0.01, "rule": "none", "refused": 0, "got": 0.0},
        "distinct_bytes": told["train"]["bytes"],
        **{"documents": 0, "bytes": 0},
    }
    assert outcomes["pack"].artifact.summary["held_out"]["rows"] == 0
    assert "tiny: nothing is held out, though 1.000% is asked for" in caplog.text


def test_a_book_is_held_out_in_spans(shared_data: Path, tmp_path: Path) -> None:
    """Whole stretches of pages, and every document of the book can be traced to its record."""
    novels = list(real_texts(shared_data, "nltk/gutenberg.jsonl.gz"))
    artifact = clean(tmp_path / "store", source(write_texts(tmp_path / "in", novels), 0.05))
    held_out = documents_of(artifact, "held_out/")
    paragraphs = defaultdict[int, set[str]](set)
    for document in documents_of(artifact, "train/"):
        paragraphs[document.record].update(document.text.split("\n\n"))
    assert sum(len(document.text.encode()) > 8000 for document in held_out) > 10
    for document in held_out:
        found = [part for part in document.text.split("\n\n") if len(part) > 200]
        assert sum(part in paragraphs[document.record] for part in found) <= 0.01 * len(found)
    balance = artifact.ledger["documents"]
    assert balance.missing() == 0
    assert balance.dropped["cut_into_spans"] < -100
    (told,) = artifact.summary["sources"]
    assert told["held_out"]["got"] == pytest.approx(0.05, abs=0.02)


MIXED: list[dict[str, Any]] = [
    {"paths": "babylm_2024/switchboard.train.gz", "separator": "line"},
    {"paths": "babylm_2024/simple_wiki.jsonl.gz"},
    {"paths": "reuters/reuters.jsonl.gz"},
    {"paths": "nltk/gutenberg.jsonl.gz"},
    {"paths": "gutenberg_genres/romance.txt.gz", "separator": "file"},
]


def test_every_source_of_a_mixed_corpus_gives_about_its_share(
    shared_data: Path, tmp_path: Path
) -> None:
    """Lines, articles, wire reports and books: counted in what was written, and told for each."""
    corpus = [
        {**part, "paths": str(shared_data / "corpus" / part["paths"]), "held_out": 0.02}
        for part in MIXED
    ]
    artifact = clean(tmp_path / "store", *corpus)
    told = artifact.summary["sources"]
    assert [each["held_out"]["rule"] for each in told] == ["draws"] * len(MIXED)
    for each in told:
        assert 0.005 < each["held_out"]["got"] < 0.04, each
    for split in ("train", "held_out"):
        total = {name: sum(each[split][name] for each in told) for name in ("documents", "bytes")}
        assert artifact.summary[split] == total
    written = sum(len(text.encode()) for text in texts_of(artifact, "held_out/"))
    assert artifact.summary["held_out"]["bytes"] == written
