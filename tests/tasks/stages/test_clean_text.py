"""The clean stage on the real engine: the ledger, duplicates, the split, reuse, rejects."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_corpus import (
    documents_of,
    passages,
    real_texts,
    run_small,
    texts_of,
    times_of,
    write_texts,
)

from tasks.documents import document_id
from tasks.engine.records import Artifact
from tasks.errors import UserError
from tasks.sources.source import TextSource

FILLER = "Document {0} says {0} times that the number is {0}, and ends with {0}."
TEXTS = [FILLER.format(n) for n in range(40)]


def clean(store: Path, folder: Path, held_out: float = 0.0, **options: Any) -> Artifact:
    workers = options.pop("workers", 1)
    engine = {"workers": workers}
    outcomes = run_small(store, folder, "clean", held_out, clean=options, engine=engine)
    return outcomes["clean"].artifact


def changed(text: str, word: str) -> str:
    """A long text with its tenth word replaced."""
    words = text.split(" ")
    return " ".join([*words[:9], word, *words[10:]])


@pytest.fixture(scope="module")
def real_passages(shared_data: Path) -> list[str]:
    """Two hundred passages of real prose, all different."""
    prose = real_texts(shared_data, "babylm_2024/gutenberg.jsonl.gz")
    return list(itertools.islice(passages(prose, 150), 200))


def test_every_document_is_kept_or_dropped_for_a_reason(tmp_path: Path) -> None:
    """The ledger balances in documents and in bytes, through rewriting and duplicates."""
    odd = ["short", " " * 30, "=-" * 40, "same\n" * 30, TEXTS[3], TEXTS[3] + "  ", "Ã©t\r\n" * 9]
    artifact = clean(tmp_path / "store", write_texts(tmp_path / "in", [*TEXTS, *odd]))
    documents, size = artifact.ledger["documents"], artifact.ledger["bytes"]

    assert documents.missing() == size.missing() == 0
    # Blank records are dropped before, by download.
    assert documents.to_json() == {
        "in": 46,
        "kept": 40,
        "dropped": {
            "exact_duplicate": 2,
            "repeated_lines": 2,
            "symbols": 1,
            "too_short": 1,
        },
    }
    kept = texts_of(artifact, "train/")
    assert sorted(kept) == sorted(TEXTS)
    assert size.kept == sum(len(text.encode()) for text in kept)
    assert artifact.summary["train"] == {"documents": 40, "bytes": size.kept}
    assert size.dropped["rewritten"] == 2


def test_of_repeats_that_of_the_first_source_stays(
    tmp_path: Path, real_passages: list[str]
) -> None:
    """Exact copies, and near copies of real prose; passages that only resemble one stay."""
    exact = real_passages[10:20]
    near = [changed(text, "tomorrow") for text in real_passages[30:60]]
    folders = [
        write_texts(tmp_path / "best", real_passages),
        write_texts(tmp_path / "more", [*exact, *near]),
    ]
    corpus = [{"type": "files", "paths": str(folder), "held_out": 0} for folder in folders]
    artifact = run_small(tmp_path / "store", tmp_path, "clean", corpus=corpus)["clean"].artifact

    dropped = artifact.ledger["documents"].dropped
    assert dropped["exact_duplicate"] == 10
    assert dropped["near_duplicate"] >= 29
    kept = texts_of(artifact, "train/")
    assert kept[: len(real_passages)] == real_passages


def test_dedup_can_be_turned_off(tmp_path: Path) -> None:
    """Without exact duplicates near ones still find them; without both all stay."""
    folder = write_texts(tmp_path / "in", [*TEXTS, *TEXTS[:5]])
    store = tmp_path / "store"
    only_near = clean(store, folder, dedup={"exact": False})
    assert only_near.ledger["documents"].dropped == {"near_duplicate": 5}
    assert texts_of(only_near, "train/") == TEXTS
    neither = clean(store, folder, dedup={"exact": False, "near": None})
    assert texts_of(neither, "train/") == [*TEXTS, *TEXTS[:5]]


def test_nothing_held_out_has_a_copy_among_the_training_documents(
    tmp_path: Path, real_passages: list[str]
) -> None:
    """Copies are found before anything is held out, however much of it is."""
    copies = [changed(text, f"word{i}") for i in range(2) for text in real_passages[:80]]
    folder = write_texts(tmp_path / "in", [*real_passages, *real_passages[:40], *copies])
    artifact = clean(tmp_path / "store", folder, held_out=0.5)

    train, held_out = texts_of(artifact, "train/"), texts_of(artifact, "held_out/")
    assert len(held_out) > 60
    assert len(train) > 60
    seen = {shingle for text in train for shingle in shingles_of(text)}
    for text in held_out:
        known = sum(shingle in seen for shingle in shingles_of(text)) / len(shingles_of(text))
        assert known < 0.5, text


def shingles_of(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


def test_what_is_held_out_stays_so_when_a_file_is_added(tmp_path: Path) -> None:
    """No document changes sides, and only the new file is cleaned."""
    folder = tmp_path / "in"
    for number in range(3):
        texts = [FILLER.format(100 * number + n) for n in range(60)]
        write_texts(folder, texts, f"texts{number}")
    before = clean(tmp_path / "store", folder, held_out=0.2)
    write_texts(folder, [FILLER.format(n) for n in range(900, 960)], "more")
    after = clean(tmp_path / "store", folder, held_out=0.2)

    for split in ("train/", "held_out/"):
        old = {document.id for document in documents_of(before, split)}
        new = {document.id for document in documents_of(after, split)}
        assert old < new
    known = times_of(before)
    computed = [
        unit.label.split("/")[0] for unit in after.units if unit.provenance != known.get(unit.key)
    ]
    assert computed.count("cleaned") == 1


def test_whose_a_file_is_is_handed_over_and_not_read_out_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files may be called anything: each source's share is that of its own files."""
    monkeypatch.setattr(
        TextSource, "documents_label", lambda self, n: f"documents/{'ba'[self.index]}-{n}"
    )
    kept, shared = (write_texts(tmp_path / part, TEXTS[i::2]) for i, part in enumerate("xy"))
    corpus = [
        {"type": "files", "paths": str(kept), "held_out": 0.0},
        {"type": "files", "paths": str(shared), "held_out": 0.4},
    ]
    outcomes = run_small(tmp_path / "store", tmp_path, "clean", corpus=corpus)
    held_out = texts_of(outcomes["clean"].artifact, "held_out/")
    assert held_out
    assert set(held_out) < set(TEXTS[1::2])


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, real_passages: list[str]) -> None:
    """One process or two: the same outputs, ledger and summary."""
    for number in range(4):
        write_texts(tmp_path / "in", real_passages[number * 40 : number * 40 + 60], f"t{number}")
    one, two = (
        clean(tmp_path / f"store{workers}", tmp_path / "in", 0.1, workers=workers)
        for workers in (1, 2)
    )
    assert one.key == two.key
    assert one.digest == two.digest
    assert one.ledger.to_json() == two.ledger.to_json()
    assert one.summary == two.summary
    assert one.ledger["documents"].dropped["exact_duplicate"] == 60


def test_rejects_are_kept_beside_and_wake_no_later_stage(tmp_path: Path) -> None:
    """Each dropped document with its reason; what is handed on is the same to the byte."""
    folder = write_texts(tmp_path / "in", [*TEXTS, "short", TEXTS[0], TEXTS[1], "=-" * 40])
    store = tmp_path / "store"
    plain = run_small(store, folder, "pack")
    kept = run_small(store, folder, "pack", clean={"keep_rejects": True})

    artifact = kept["clean"].artifact
    assert artifact.digest == plain["clean"].artifact.digest
    assert artifact.key != plain["clean"].artifact.key
    assert [kept[name].state for name in ("tokenizer", "pack")] == ["cached", "cached"]
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(artifact.store.url(artifact.folder), "rejects").iterdir()):
        with pa.memory_map(str(path)) as source:
            rows += pa.ipc.open_file(source).read_all().to_pylist()
    assert [(row["reason"], row["text"]) for row in rows] == [
        ("too_short", "short"),
        ("symbols", "=-" * 40),
        ("exact_duplicate", TEXTS[0]),
        ("exact_duplicate", TEXTS[1]),
    ]
    assert len(rows) == sum(artifact.ledger["documents"].dropped.values())
    assert [row["record"] for row in rows] == [40, 43, 41, 42]
    assert not list(Path(artifact.store.url(plain["clean"].artifact.folder)).rglob("*reject*"))


@pytest.mark.parametrize(
    ("texts", "held_out", "message"),
    [
        (["short", "tiny", "=-" * 40], 0.0, "of 3 documents none is left.*symbols 1, too_short 2"),
        (TEXTS[:5], 1.0, "dropped: none; held out: 5"),
    ],
)
def test_a_corpus_with_nothing_left_ends_in_one_paragraph(
    texts: list[str], held_out: float, message: str, tmp_path: Path
) -> None:
    """It says what was dropped why, and what to change; no artifact is left."""
    folder = write_texts(tmp_path / "in", texts)
    with pytest.raises(UserError, match=message) as caught:
        clean(tmp_path / "store", folder, held_out)
    assert "clean.filters" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "store").glob("2-clean/*/manifest.json"))


def test_documents_keep_their_places(tmp_path: Path) -> None:
    """A training row can be traced to its file and record; what cleaning left alone has its id."""
    folder = write_texts(tmp_path / "in", ["no", *TEXTS, "Another\u00a0\r\ntext with two lines"])
    outcomes = run_small(tmp_path / "store", folder, "clean", held_out=0.3)
    raw = {d.record: d for d in documents_of(outcomes["download"].artifact, "documents/")}
    cleaned = outcomes["clean"].artifact
    found = [*documents_of(cleaned, "train/"), *documents_of(cleaned, "held_out/")]
    assert len(found) == len(TEXTS) + 1
    for document in found:
        assert document.id == document_id(document.text)
        if document.record <= len(TEXTS):
            assert raw[document.record] == document
