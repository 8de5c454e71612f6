"""Shards are whole documents, cut where the documents say so, however they lie in files."""

import random
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import SMALL, documents_of, run_small, times_of, write_texts

from roberta_model.data.rows import PackedRows
from tasks.artifacts import PackedText
from tasks.boundaries import draw
from tasks.documents import document_id
from tasks.engine.records import Artifact
from tasks.packing.cuts import Candidates, Layout, cut, find_candidates
from tasks.packing.encoded import Encoded
from tasks.packing.layout import Piece, pack_documents, pack_stream
from tasks.sources import parts

PACK = {"row_tokens": 16, "shard_rows": 40}
LAYOUTS = [
    (form, specials)
    for form in ("full_sentences", "doc_sentences")
    for specials in ("bos_eos", "none")
]


def sentences(count: int, seed: int) -> list[str]:
    """Different texts of many lengths."""
    draws = random.Random(seed)
    return [f"Text {seed}.{n} says " + "again " * draws.randrange(30) for n in range(count)]


def made_up(lengths: list[int], copies: bool = False) -> Encoded:
    """Documents of so many tokens, each with an id of its own, or all with one of a high draw."""
    ids = b"".join(document_id(f"{n} {length}") for n, length in enumerate(lengths))
    if copies:
        ids = b"\xf0" * 16 * len(lengths)
    return Encoded(
        np.arange(sum(lengths), dtype=np.uint16),
        np.cumsum([0, *lengths]),
        np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16),
        np.arange(len(lengths)),
    )


def sizes_of(encoded: Encoded, layout: Layout) -> Any:
    """What each document takes."""
    return layout.sizes(np.diff(encoded.offsets))


def part_of(encoded: Encoded, first: int, last: int) -> Encoded:
    """Some of the documents, as a file of their own."""
    offsets = encoded.offsets[first : last + 1]
    tokens = encoded.tokens[offsets[0] : offsets[-1]]
    records = encoded.records[first:last]
    return Encoded(tokens, offsets - offsets[0], encoded.ids[first:last], records)


@pytest.mark.parametrize(("form", "specials"), LAYOUTS)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    places=st.lists(st.integers(0, 80), max_size=6),
    copies=st.booleans(),
    shard_rows=st.sampled_from([5, 200]),
)
@settings(deadline=None, max_examples=60)
def test_shards_are_those_of_a_plain_loop_over_all_documents(
    form: Any,
    specials: Any,
    lengths: list[int],
    places: list[int],
    copies: bool,
    shard_rows: int,
) -> None:
    """Whatever files the documents lie in; the list of candidates leaves nobody out."""
    layout = Layout(16, form, specials, shard_rows)
    encoded = made_up(lengths, copies)
    expected, since = [], 0
    for size, identity in zip(layout.sizes(np.diff(encoded.offsets)), encoded.ids, strict=True):
        since += int(size)
        if layout.boundaries.ends(since, int(size), draw(identity.tobytes())):
            expected.append(since)
            since = 0
    expected += [since] if since else []
    edges = sorted({0, len(lengths), *(place for place in places if place < len(lengths))})
    files = [part_of(encoded, first, last) for first, last in pairwise(edges)]
    found = [find_candidates(file, layout) for file in files]
    shards = cut(
        [
            Candidates(file.num_documents, size, candidates, partial(sizes_of, file, layout))
            for file, (candidates, size) in zip(files, found, strict=True)
        ],
        layout.boundaries,
    )
    spans = [(edges[s.file] + s.first, edges[s.file] + s.last) for shard in shards for s in shard]
    assert all(last == first for (_, last), (first, _) in pairwise(spans))
    sizes = layout.sizes(np.diff(encoded.offsets))
    assert [
        sum(int(sizes[edges[s.file] + s.first : edges[s.file] + s.last].sum()) for s in shard)
        for shard in shards
    ] == expected


@pytest.mark.parametrize(("form", "specials"), LAYOUTS)
@given(lengths=st.lists(st.integers(0, 60), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_sizes_say_how_many_rows_documents_fill(
    form: Any, specials: Any, lengths: list[int]
) -> None:
    """Exactly: </s> counts, and a document with rows of its own counts by them."""
    layout, encoded = Layout(16, form, specials, 5), made_up(lengths)
    make = pack_stream if form == "full_sentences" else pack_documents
    pieces = [Piece(encoded, 0, len(lengths))]
    rows = make(pieces, layout.row_tokens, layout.has_specials, encoded.tokens.dtype)
    assert len(rows.lengths_R) == -(-int(sizes_of(encoded, layout).sum()) // layout.row_size)


def rows_of(artifact: Artifact) -> dict[str, list[list[int]]]:
    """The rows of each shard."""
    found = {}
    for path, file in artifact.outputs:
        if path.startswith(("train/", "held_out/")):
            rows = PackedRows([file.local()])
            found[path] = rows.tokens(np.arange(rows.num_rows)).tolist()
    return found


def folder_of(folder: Path, files: dict[str, list[str]]) -> Path:
    """Some JSON Lines files."""
    for name, texts in files.items():
        write_texts(folder, texts, name)
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that stays what it is while texts change."""
    folder = tmp_path_factory.mktemp("taught")
    write_texts(folder / "texts", sentences(300, 0))
    artifact = run_small(folder / "store", folder / "texts", "tokenizer")["tokenizer"].artifact
    return artifact.file("tokenizer/tokenizer.json").local().parent


@pytest.mark.parametrize("edit", ["add", "change", "remove"])
def test_one_file_of_many_makes_its_own_units_and_few_shards(
    tmp_path: Path, taught: Path, edit: str
) -> None:
    """With a frozen tokenizer; all the others are taken over, and the result is as from nothing."""
    changes: dict[str, Any] = {
        "pack": PACK,
        "tokenizer": {**SMALL["tokenizer"], "from": str(taught)},
    }
    files = {f"file-{n}": sentences(60, n) for n in range(30)}
    folder = folder_of(tmp_path / "texts", files)
    before = run_small(tmp_path / "store", folder, "pack", **changes)["pack"].artifact
    if edit == "remove":
        (folder / "file-7.jsonl").unlink()
    else:
        name = "file-7" if edit == "change" else "new"
        write_texts(folder, sentences(60, 99), name)
    after = run_small(tmp_path / "store", folder, "pack", **changes)["pack"].artifact
    made, known = times_of(after), times_of(before)
    anew = [unit.label for unit in after.units if made[unit.key] != known.get(unit.key)]
    of_files = [label for label in anew if label.startswith(("encoded/", "cuts/"))]
    assert len(of_files) == (0 if edit == "remove" else 2)
    shards = [label for label in anew if label.startswith("train/")]
    assert len(shards) <= 9 < len([u for u in after.units if u.label.startswith("train/")]) / 3
    assert {label for label in anew if "/" not in label} == {"token_counts", "files"}
    alone = run_small(tmp_path / "other", folder, "pack", **changes)["pack"].artifact
    assert alone.digest == after.digest


@pytest.mark.parametrize(("form", "specials"), LAYOUTS)
def test_rows_do_not_depend_on_how_large_input_is_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, specials: str
) -> None:
    """One file rolls into many, and every row and table of documents' ids is what it was."""
    folder = folder_of(tmp_path / "texts", {"whole": sentences(700, 4), "more": sentences(50, 5)})
    pack = {"row_tokens": 16, "shard_rows": 30, "format": form, "special_tokens": specials}
    found = []
    for size in (parts.PART_BYTES, 9000, 700):
        monkeypatch.setattr(parts, "PART_BYTES", size)
        found.append(run_small(tmp_path / str(size), folder, "pack", 0.1, pack=pack))
    texts = [documents_of(outcomes["download"].artifact, "documents/") for outcomes in found]
    assert texts[0] == texts[1] == texts[2]
    num_files = [len(outcomes["download"].artifact.outputs) for outcomes in found]
    assert num_files[0] == 2 < num_files[1] < num_files[2]
    rows = [rows_of(outcomes["pack"].artifact) for outcomes in found]
    assert len(rows[0]) > 5
    shards = PackedText(found[0]["pack"].artifact).shards("train")
    handed_on = PackedRows([shard.local() for shard in shards])
    in_order = [row for path, part in rows[0].items() if path.startswith("train/") for row in part]
    assert handed_on.tokens(np.arange(handed_on.num_rows)).tolist() == in_order
    assert rows[0] == rows[1] == rows[2]
    ledgers = [outcomes["pack"].artifact.ledger.to_json() for outcomes in found]
    assert ledgers[0] == ledgers[1] == ledgers[2]


def test_shards_of_copies_are_no_longer_than_four_times_as_wanted(tmp_path: Path) -> None:
    """With repeats kept, all draws are the same: where that is high nobody would end a shard."""
    copy = next(text for text in sentences(99, 1) if draw(document_id(text)) > 0.9)
    texts = write_texts(tmp_path / "texts", [copy] * 600)
    keep = {"dedup": {"exact": False, "near": None}, "filters": {"max_repeated_phrase_share": None}}
    outcomes = run_small(tmp_path / "store", texts, "pack", pack=PACK, clean=keep)
    artifact = outcomes["pack"].artifact
    assert artifact.ledger["documents"].kept == 600
    assert len(artifact.outputs) > 5
    rows = [file.rows or 0 for path, file in artifact.outputs if path.startswith("train/")]
    assert max(rows) <= 4 * PACK["shard_rows"] + 10


def read_table(artifact: Artifact, path: str) -> list[dict[str, Any]]:
    """The lines of an Arrow file."""
    with pa.memory_map(str(artifact.file(path).local())) as source:
        rows: list[dict[str, Any]] = pa.ipc.open_file(source).read_all().to_pylist()
        return rows


def test_every_number_in_a_row_leads_to_its_document(tmp_path: Path) -> None:
    """By the shard's table: its id, the clean file, and the record in the download's file."""
    files = {"one": sentences(120, 1), "two": sentences(120, 2)}
    outcomes = run_small(
        tmp_path / "store", folder_of(tmp_path / "texts", files), "pack", 0.1, pack=PACK
    )
    artifact = outcomes["pack"].artifact
    names = {line["digest"]: line["name"] for line in read_table(artifact, "files.arrow")}
    clean = outcomes["clean"].artifact
    seen = set()
    for path in rows_of(artifact):
        split = path.split("/")[0]
        table = read_table(artifact, f"documents/{path}")
        rows = PackedRows([artifact.file(path).local()])
        numbers = {n for row in range(rows.num_rows) for n, _ in rows.document_spans(row)}
        assert numbers == set(range(len(table)))
        for line in table:
            file = f"{split}/{names[line['file']]}.arrow"
            seen.add((bytes.fromhex(line["id"]), file, line["record"]))
    expected = {
        (document.id, path, document.record)
        for path, _ in clean.outputs
        if path.startswith(("train/", "held_out/"))
        for document in documents_of(clean, path)
    }
    assert seen == expected
