"""The clean stage's units one by one: what they write, count, and refuse to put together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks.cleaning import parting, spans
from tasks.cleaning.cleaned import Cleaner, joined, open_array
from tasks.cleaning.minhash import MinHasher, band_keys
from tasks.cleaning.parting import REJECTS, RejectWriter, write_rejects, write_split
from tasks.cleaning.shingles import ShingleHasher
from tasks.cleaning.split import EXACT, HELD_OUT, NEAR, TRAIN
from tasks.cleaning.units import clean_file, decide_splits, find_edges
from tasks.config.clean import FilterConfig, UnicodeConfig
from tasks.documents import Document, DocumentWriter, document_id, read_documents
from tasks.engine.units import StoredFile, UnitReport, UnitWork
from tasks.errors import StageError

LONG = "A sentence of a long book.\n\n" * 2000


def stored(path: Path) -> StoredFile:
    return StoredFile(str(path), "", path.stat().st_size)


def array_file(path: Path, values: Any, kind: type = np.int64) -> StoredFile:
    np.save(path, np.array(values, dtype=kind), allow_pickle=False)
    return stored(path)


def documents_file(path: Path, texts: Sequence[str], first: int = 0) -> StoredFile:
    with DocumentWriter(path) as writer:
        for number, text in enumerate(texts, first):
            writer.add(number, text)
    return stored(path)


def ids_file(path: Path, texts: Sequence[str]) -> StoredFile:
    return array_file(path, [list(document_id(text)) for text in texts], np.uint8)


def rows_of(path: Path) -> list[dict[str, Any]]:
    with pa.memory_map(str(path)) as source:
        found: list[dict[str, Any]] = pa.ipc.open_file(source).read_all().to_pylist()
    return found


def cleaned(folder: Path, texts: Sequence[str], **options: Any) -> UnitReport:
    defaults: dict[str, Any] = {
        "unicode": UnicodeConfig(),
        "filters": FilterConfig(min_characters=5),
        "num_hashes": 4,
        "keep_rejects": True,
    }
    documents = documents_file(folder / "raw.arrow", texts, first=7)
    return clean_file(UnitWork("c", folder), documents=documents, **{**defaults, **options})


def test_a_cleaned_file_keeps_records_and_its_arrays_follow_the_documents(tmp_path: Path) -> None:
    report = cleaned(tmp_path, ["größe  \n", "no", "a second text"])
    found = list(read_documents(tmp_path / "c.arrow"))
    assert [(document.record, document.text) for document in found] == [
        (7, "größe"),
        (9, "a second text"),
    ]
    ids, sizes, signatures = (
        open_array(stored(tmp_path / f"c.{name}.npy")) for name in ("ids", "sizes", "signatures")
    )
    assert [row.tobytes() for row in ids] == [document.id for document in found]
    assert sizes.tolist() == [7, 13]
    for row, document in zip(signatures, found, strict=True):
        expected = MinHasher(4).sign(ShingleHasher().shingles(document.text))
        assert row.tolist() == expected.tolist()
    assert report.rows == {".arrow": 2}
    assert report.summary == {"documents": 2}


def test_bytes_balance_through_rewriting_and_dropping(tmp_path: Path) -> None:
    """UTF-8 bytes as they came: ten and two and thirteen."""
    report = cleaned(tmp_path, ["größe  \n", "é", "a second text", "schÃ¶n"])
    ledger = report.ledger.to_json()
    assert ledger["documents"] == {"in": 4, "kept": 3, "dropped": {"too_short": 1}}
    assert ledger["bytes"] == {
        "in": 10 + 2 + 13 + 8,
        "kept": 7 + 13 + 6,
        "dropped": {"too_short": 2, "rewritten": 3 + 2},
    }


def test_dropped_documents_keep_their_record_and_their_text_as_it_came(tmp_path: Path) -> None:
    cleaned(tmp_path, ["fine text", "no \n", "=-=-=-=-"])
    assert [
        (row["record"], row["reason"], row["text"]) for row in rows_of(tmp_path / "c.rejects.arrow")
    ] == [
        (8, "too_short", "no \n"),
        (9, "symbols", "=-=-=-=-"),
    ]


def test_rejects_are_written_only_where_they_are_to_be_kept(tmp_path: Path) -> None:
    cleaned(tmp_path, ["no"], keep_rejects=False)
    assert not list(tmp_path.glob("*rejects*"))


def test_a_long_text_is_several_documents_of_one_record(tmp_path: Path) -> None:
    """The documents that cutting adds are dropped with a minus."""
    report = cleaned(
        tmp_path,
        [LONG],
        filters=FilterConfig(max_repeated_line_share=None, max_repeated_phrase_share=None),
    )
    found = list(read_documents(tmp_path / "c.arrow"))
    assert len(found) > 1
    assert {document.record for document in found} == {7}
    ledger = report.ledger.to_json()
    assert ledger["documents"] == {
        "in": 1,
        "kept": len(found),
        "dropped": {"cut_into_spans": 1 - len(found)},
    }
    report.ledger.check("clean")


def test_the_whole_text_is_judged_and_not_its_spans(tmp_path: Path) -> None:
    """A book of two chapters that are the same says everything twice."""
    chapter = " ".join(f"word{n}" for n in range(3000))
    assert spans.LONGEST_BYTES / 2 < len(chapter) < spans.LONGEST_BYTES
    filters = FilterConfig(max_repeated_phrase_share=0.4)
    cleaner = Cleaner(UnicodeConfig(), filters, None)
    assert cleaner.judge(chapter).reason is None
    assert cleaner.judge(f"{chapter}\n\n{chapter}").reason == "repeated_phrases"
    long = Cleaner(UnicodeConfig(), FilterConfig(max_characters=len(chapter) + 1), None)
    assert long.judge(f"{chapter}\n\nand more").reason == "too_long"


def test_characters_are_put_right_as_the_config_says() -> None:
    texts = {
        UnicodeConfig(): "\ufb01ne schön",
        UnicodeConfig(normalisation="NFKC"): "fine schön",
        UnicodeConfig(repair=False): "\ufb01ne schÃ¶n",
    }
    for unicode, text in texts.items():
        judged = Cleaner(unicode, FilterConfig(min_characters=None), None).judge("\ufb01ne schÃ¶n")
        assert [span for span, _ in judged.spans] == [text]


def test_without_near_duplicates_there_are_no_signatures(tmp_path: Path) -> None:
    cleaned(tmp_path, ["some text", "more text"], num_hashes=None)
    assert open_array(stored(tmp_path / "c.signatures.npy")).shape == (2, 0)
    (tmp_path / "none").mkdir()
    cleaned(tmp_path / "none", [])
    assert open_array(stored(tmp_path / "none/c.ids.npy")).shape == (0, 16)
    assert open_array(stored(tmp_path / "none/c.signatures.npy")).shape == (0, 4)


def test_pairs_that_meet_in_several_bands_are_one_pair(tmp_path: Path) -> None:
    """Documents are numbered over all files; each band that is asked for is searched."""
    rows = [[1, 2, 3, 4], [9, 9, 3, 4], [1, 2, 3, 4], [1, 2, 8, 8]]
    files = [
        array_file(tmp_path / f"{n}.npy", part, np.uint32)
        for n, part in enumerate((rows[:1], rows[1:]))
    ]
    found = {}
    for bands in ([0], [1], [0, 1]):
        work = UnitWork("e", tmp_path)
        report = find_edges(work, signatures=files, width=2, threshold=0.5, bands=bands)
        edges = open_array(stored(tmp_path / "e.npy")).tolist()
        assert report.rows == {".npy": len(edges)}
        found[tuple(bands)] = edges
    assert found == {
        (0,): [[0, 2], [0, 3], [2, 3]],
        (1,): [[0, 1], [0, 2], [1, 2]],
        (0, 1): [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]],
    }
    assert len(band_keys(np.array(rows, dtype=np.uint32), 0, 2)) == 4


def test_splits_go_to_the_file_of_their_documents_and_to_its_source(tmp_path: Path) -> None:
    """Two files of source 1 stand before one of source 0, which goes first among copies."""
    texts = [["one", "two"], [], ["three", "one"]]
    sizes = [[10, 20], [], [30, 10]]
    edges = [
        array_file(tmp_path / f"e{n}.npy", pair) for n, pair in enumerate(([[0, 2]], [[1, 2]]))
    ]
    report = decide_splits(
        UnitWork("s", tmp_path),
        ids=[
            array_file(
                tmp_path / f"i{n}.npy",
                np.array([list(document_id(t)) for t in part]).reshape(-1, 16),
                np.uint8,
            )
            for n, part in enumerate(texts)
        ],
        sizes=[array_file(tmp_path / f"z{n}.npy", part) for n, part in enumerate(sizes)],
        sources=[1, 1, 0],
        edges=edges,
        exact=True,
        near=True,
        shares=[0.0, 0.0],
        seed=0,
    )
    splits = [open_array(stored(tmp_path / f"s.{n:05}.npy")).tolist() for n in range(3)]
    assert [len(part) for part in splits] == [2, 0, 2]
    low = min(["three", "one"], key=document_id)
    kept = {"three": [TRAIN, NEAR], "one": [NEAR, TRAIN]}[low]
    assert splits[2] == kept
    assert splits[0] == [EXACT, NEAR] if low == "one" else splits[0][1] == NEAR
    counted = report.summary["duplicates"]
    flat = [split for part in splits for split in part]
    amounts = [10, 20, 30, 10]
    for split, reason in ((EXACT, "exact_duplicate"), (NEAR, "near_duplicate")):
        chosen = [size for size, found in zip(amounts, flat, strict=True) if found == split]
        assert counted[reason] == {"documents": len(chosen), "bytes": sum(chosen)}
    assert [source["distinct_bytes"] for source in report.summary["sources"]] == [
        {"three": 30, "one": 10}[low],
        10 if document_id("one") < document_id("two") else 20,
    ]


def part(
    folder: Path, texts: Sequence[str], ids: Sequence[str], splits: Sequence[int], which: int
) -> UnitReport:
    return write_split(
        UnitWork("w", folder),
        documents=documents_file(folder / "d.arrow", texts, first=3),
        ids=ids_file(folder / "i.npy", ids),
        splits=array_file(folder / "s.npy", splits, np.uint8),
        split=which,
    )


def test_a_split_holds_its_documents_alone(tmp_path: Path) -> None:
    """Counted in documents and in UTF-8 bytes."""
    texts, splits = ["one", "zwölf", "drei", "vier"], [TRAIN, HELD_OUT, EXACT, HELD_OUT]
    report = part(tmp_path, texts, texts, splits, HELD_OUT)
    found = [(document.record, document.text) for document in read_documents(tmp_path / "w.arrow")]
    assert found == [(4, "zwölf"), (6, "vier")]
    assert report.summary == {"documents": 2, "bytes": 10}
    assert report.rows == {".arrow": 2}
    assert part(tmp_path, texts, texts, splits, TRAIN).summary == {"documents": 1, "bytes": 3}


@pytest.mark.parametrize("splits", [[TRAIN, TRAIN], [TRAIN]])
def test_splits_of_other_documents_are_refused(splits: list[int], tmp_path: Path) -> None:
    """Of another order, or of fewer: a document would be trained on that is held out."""
    with pytest.raises(StageError, match="the splits are of other documents"):
        part(tmp_path, ["one", "two"], ["two", "one"], splits, TRAIN)
    with pytest.raises(StageError, match="the splits are of other documents"):
        part(tmp_path, ["one", "two"], ["one", "two"], [TRAIN], TRAIN)


def test_rejects_are_what_filters_refused_and_then_duplicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once and with its reason, however many are written at a time."""
    monkeypatch.setattr(parting, "_REJECTS_A_BATCH", 2)
    texts, splits = ["one", "two", "three", "four"], [EXACT, HELD_OUT, NEAR, TRAIN]
    with RejectWriter(tmp_path / "f.arrow") as writer:
        for number in range(5):
            writer.add(Document(document_id(str(number)), number, str(number)), "too_short")
        assert writer.num_documents == 5
    report = write_rejects(
        UnitWork("r", tmp_path),
        documents=documents_file(tmp_path / "d.arrow", texts),
        ids=ids_file(tmp_path / "i.npy", texts),
        splits=array_file(tmp_path / "s.npy", splits, np.uint8),
        filtered=stored(tmp_path / "f.arrow"),
    )
    rows = rows_of(tmp_path / "r.arrow")
    assert [(row["text"], row["reason"], row["record"]) for row in rows] == [
        *((str(number), "too_short", number) for number in range(5)),
        ("one", "exact_duplicate", 0),
        ("three", "near_duplicate", 2),
    ]
    assert [row["id"] for row in rows] == [document_id(row["text"]) for row in rows]
    assert report.rows == {".arrow": 7}
    assert pa.ipc.open_file(str(tmp_path / "r.arrow")).schema == REJECTS


def test_arrays_are_joined_in_the_order_of_their_files(tmp_path: Path) -> None:
    files = [
        array_file(tmp_path / f"{n}.npy", values) for n, values in enumerate(([3, 1], [], [2]))
    ]
    assert joined(files).tolist() == [3, 1, 2]
