"""Reading files: every format, compression and archive gives the same documents."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from file_reading import describe, read
from pyarrow import parquet

from tasks.config.reading import ReadingOptions
from tasks.documents import read_documents
from tasks.engine.identity import digest_of
from tasks.engine.units import UnitWork
from tasks.errors import UserError
from tasks.formats.columns import arrow_records, parquet_records
from tasks.sources.read_files import read_files

TEXTS = ["The first document.", "Ein zweites, schöneres.", "三番目の文書。\nIt has two lines."]
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def as_bytes(kind: str) -> bytes:
    table = pa.table({"id": range(3), "text": TEXTS})
    sink = io.BytesIO()
    if kind == "txt":
        return "\n\n".join(TEXTS).encode()
    if kind == "jsonl":
        return "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    if kind == "json":
        return json.dumps([{"text": text} for text in TEXTS], indent=1).encode()
    if kind in ("csv", "tsv"):
        lines = io.StringIO()
        rows = csv.writer(lines, "excel" if kind == "csv" else "excel-tab")
        rows.writerows([("id", "text"), *enumerate(TEXTS)])
        return lines.getvalue().encode()
    if kind == "parquet":
        parquet.write_table(table, sink, row_group_size=2)
    else:
        make = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    "kind", ["txt", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "stream.arrow"]
)
def test_every_format_and_compression_gives_the_same_documents(
    kind: str, compression: str, tmp_path: Path
) -> None:
    """What is in a file is what counts, not how it is wrapped."""
    path = tmp_path / f"data.{kind}{compression}"
    path.write_bytes(COMPRESSIONS[compression](as_bytes(kind)))
    texts, report = read(path, tmp_path)
    assert texts == TEXTS
    assert report.summary["bytes"] == sum(len(text.encode()) for text in TEXTS)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_is_told_without_an_ending(compression: str, tmp_path: Path) -> None:
    """Magic bytes decide, so a misnamed file reads as what it is."""
    path = tmp_path / "data"
    path.write_bytes(COMPRESSIONS[compression](as_bytes("txt")))
    assert read(path, tmp_path)[0] == TEXTS


def test_frames_one_after_another_are_one_file(tmp_path: Path) -> None:
    """Gzip and zstd files are often concatenated; no part of them is lost."""
    for ending in (".gz", ".zst", ".bz2", ".xz"):
        pack = COMPRESSIONS[ending]
        path = tmp_path / f"data.txt{ending}"
        path.write_bytes(pack(b"one\n") + pack(b"two\n"))
        assert read(path, tmp_path, separator="line")[0] == ["one", "two"]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("ending", ["archive", "tgz"])
def test_members_of_archives_are_read_where_they_lie(
    make: Callable[[Path, dict[str, bytes]], Path], ending: str, tmp_path: Path
) -> None:
    """Formats and compressions mix inside; links and litter are not followed; nothing unpacks."""
    members = {
        "../../escape.txt": b"outside",
        "b/data.jsonl.gz": gzip.compress(b'{"text": "packed"}\n'),
        "a/table.parquet": as_bytes("parquet"),
        "c.csv": b'n,text\n1,"a cell,\nin two lines"\n',
        "README": b"not wanted",
        "__MACOSX/._x.txt": b"\xff\xfe\x00",
    }
    path = make(tmp_path / f"in.{ending}", members)
    before = sorted(tmp_path.parent.rglob("*"))
    texts, report = read(path, tmp_path, exclude=["README"])
    assert texts == ["outside", "packed", *TEXTS, "a cell,\nin two lines"]
    assert report.summary["parts"] == [
        [[0, "../../escape.txt"], [1, "b/data.jsonl.gz"], [2, "a/table.parquet"], [5, "c.csv"]]
    ]
    after = set(tmp_path.parent.rglob("*")) - set(before)
    assert {path.name for path in after} == {"unit", "documents", "00-00000.arrow"}


def test_legacy_encodings_in_an_archive(tmp_path: Path) -> None:
    """`auto` is told for each member; a mapping names it by glob."""
    members = {"x-utf8": "schön".encode(), "x-latin": "schön und größer".encode("latin-1")}
    path = make_zip(tmp_path / "in.zip", members)
    texts, report = read(path, tmp_path, encoding="auto", separator="file")
    assert texts == ["schön", "schön und größer"]
    assert report.summary["encodings"] == {"utf-8": 1, "cp1252": 1}
    named = {"*": "utf-8", "*-latin": "latin-1"}
    assert read(path, tmp_path, encoding=named, separator="file")[0] == texts
    with pytest.raises(UserError, match=r"in.zip, member x-latin: byte 3 \(f6\)"):
        read(path, tmp_path)


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_damaged_data_is_named_with_the_record_reached(
    ending: str, harm: str, tmp_path: Path
) -> None:
    """A file cut short or altered is refused: half a corpus must not pass for a whole one."""
    lines = "".join(f"line {n} {hash((n, 1)) % 10**9}\n" for n in range(40_000)).encode()
    packed = bytearray(COMPRESSIONS[ending](lines))
    if harm == "cut":
        del packed[-20:]
    else:
        packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / f"data.txt{ending}"
    path.write_bytes(packed)
    with pytest.raises(UserError, match=r"data.txt\S+: the data are damaged.*records"):
        read(path, tmp_path, separator="line")


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream.arrow", "zip", "tar"])
def test_damaged_containers_are_named(kind: str, tmp_path: Path) -> None:
    """The same for columnar files and archives."""
    path = tmp_path / f"data.{kind}"
    if kind in ("zip", "tar"):
        make = make_zip if kind == "zip" else make_tar
        make(path, {"a.txt": b"a" * 10**5, "b.txt": bytes(range(256)) * 100})
    else:
        path.write_bytes(as_bytes(kind))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match=f"data.{kind}"):
        read(path, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"txt": "a"}', r"line 2: there is no 'text'. It has 'txt'; did you mean 'txt'"),
        ('{"body": "a long text", "n": 1}', r"line 2: there is no 'text'.* did you mean 'body'"),
        ('{"text": 5}', r"line 2: 'text' holds the number 5, not text"),
        ('{"text": ["a"]}', r"line 2: 'text' holds a list, not text"),
        ('["a"]', r"line 2: an object with the key 'text' was expected, not a list"),
        ('{"text": "a"', r"line 2: this is not JSON"),
        ('{"text": "\\ud800 alone"}', r"record 1: .*surrogate pair \(\\ud800 at character 0"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(line: str, message: str, tmp_path: Path) -> None:
    """File, line, key, and what is there instead."""
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(UserError, match=r"data.jsonl, " + message):
        read(path, tmp_path)


def test_columns_that_are_missing_or_hold_no_text_are_named(tmp_path: Path) -> None:
    """The same for Parquet and Arrow."""
    for kind in ("parquet", "arrow"):
        path = tmp_path / f"data.{kind}"
        path.write_bytes(as_bytes(kind))
        with pytest.raises(UserError, match="no 'txt'. It has 'id', 'text'; did you mean 'text'"):
            read(path, tmp_path, text_field="txt")
        with pytest.raises(UserError, match="column 'id' holds int64, not text"):
            read(path, tmp_path, text_field="id")


def test_json_comes_as_a_list_or_as_objects_in_a_row(tmp_path: Path) -> None:
    """Lists of any length stream; dotted fields lead into objects; a cut list is refused."""
    path = tmp_path / "data.json"
    many = [{"a": {"b": f"document {n} " + "x" * 1000}} for n in range(3000)]
    path.write_text(json.dumps(many))
    assert len(read(path, tmp_path, text_field="a.b")[0]) == 3000
    path.write_text("\n".join(json.dumps(value, indent=2) for value in many[:3]))
    assert read(path, tmp_path, text_field="a.b")[0] == [value["a"]["b"] for value in many[:3]]
    path.write_text(json.dumps(many)[:-1])
    with pytest.raises(UserError, match=r"record 3,000: this is not JSON"):
        read(path, tmp_path, text_field="a.b")
    path.write_text(json.dumps(many[:2]) + "[]")
    with pytest.raises(UserError, match="more after the end of the list"):
        read(path, tmp_path, text_field="a.b")


def test_empty_and_null_records_are_counted_not_kept(tmp_path: Path) -> None:
    """The ledger balances: what is dropped has a reason; records keep their numbers."""
    path = tmp_path / "data.jsonl"
    texts = ["one", None, " \n", "", "two"]
    path.write_text("".join(json.dumps({"text": text}) + "\n\n" for text in texts))
    found, report = read(path, tmp_path)
    assert found == ["one", "two"]
    balance = report.ledger.to_json()
    assert balance["documents"] == {"in": 5, "kept": 2, "dropped": {"empty": 3}}
    assert balance["bytes"] == {"in": 8, "kept": 6, "dropped": {"empty": 2}}
    documents = list(read_documents(tmp_path / "unit/documents/00-00000.arrow"))
    assert [document.record for document in documents] == [0, 4]


def test_separators(tmp_path: Path) -> None:
    """line, blank_line, file and regex on one text with Windows line ends and a mark."""
    path = tmp_path / "data.txt"
    path.write_bytes("\ufeff# A\r\none\r\n  \r\n# B\r\ntwo\r\n\r\n".encode())
    assert read(path, tmp_path, separator="line")[0] == ["# A", "one", "# B", "two"]
    assert read(path, tmp_path)[0] == ["# A\r\none", "# B\r\ntwo"]
    assert read(path, tmp_path, separator="file")[0] == ["# A\r\none\r\n  \r\n# B\r\ntwo\r\n\r\n"]
    parts = read(path, tmp_path, separator={"regex": "^(?=# )"})[0]
    assert parts == ["# A\r\none\r\n  ", "# B\r\ntwo"]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_a_document_beyond_the_limit_is_refused(kind: str, tmp_path: Path) -> None:
    """Memory stays bounded whatever a file holds, and the message says what to change."""
    path = tmp_path / f"data.{kind}"
    path.write_bytes(as_bytes(kind))
    with pytest.raises(UserError, match=r"record 2 is longer than 30 bytes.*max_document_bytes"):
        read(path, tmp_path, max_document_bytes=30)


def test_a_glob_without_files_is_refused(tmp_path: Path) -> None:
    """The message names the source and the pattern."""
    with pytest.raises(UserError, match=r"corpus.0: no file matches '.*\*.nope'"):
        describe(tmp_path / "*.nope")


def test_names_and_places_leave_no_trace(tmp_path: Path) -> None:
    """Renamed and moved files give the same order, the same bytes and the same identity."""
    for folder, names in (("one", "abc"), ("two", "zyx")):
        (tmp_path / folder / "deep").mkdir(parents=True)
        for name, text in zip(names, TEXTS, strict=True):
            (tmp_path / folder / "deep" / f"{name}.txt").write_text(text)
    one, two = describe(tmp_path / "one"), describe(tmp_path / "two")
    assert digest_of(one) == digest_of(two)
    read(tmp_path / "one", tmp_path)
    first = (tmp_path / "unit/documents/00-00000.arrow").read_bytes()
    read(tmp_path / "two", tmp_path)
    assert (tmp_path / "unit/documents/00-00000.arrow").read_bytes() == first


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """Otherwise a unit's key would name bytes that it was not made of."""
    path = tmp_path / "data.txt"
    path.write_text("before")
    files = describe(path)
    path.write_text("behind")
    with pytest.raises(UserError, match="changed while it was being read"):
        read_files(UnitWork("u", tmp_path / "u"), files=files)


def test_documents_do_not_depend_on_which_files_share_a_unit(tmp_path: Path) -> None:
    """A document stays the same when a corpus grows and files are grouped anew."""
    for name, text in zip("ab", TEXTS[:2], strict=True):
        (tmp_path / f"{name}.txt").write_text(text)
    files = describe(tmp_path)
    together = UnitWork("u", tmp_path / "together")
    read_files(together, files=files)
    ids = []
    for number, file in enumerate(files):
        work = UnitWork("u", tmp_path / f"alone{number}")
        read_files(work, files=[file])
        ids += [document.id for document in read_documents(work.path(".arrow"))]
    assert [document.id for document in read_documents(together.path(".arrow"))] == ids


@pytest.mark.parametrize("kind", ["parquet", "arrow file", "arrow stream"])
def test_every_row_of_a_long_batch_is_read_once_in_order(kind: str) -> None:
    """Past the rows that are in memory at a time, whatever batches the file is made of."""
    texts = [f"Document {number}." for number in range(5000)]
    table, sink = pa.table({"text": texts}), io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, sink)
    else:
        make = pa.ipc.new_file if kind == "arrow file" else pa.ipc.new_stream
        with make(sink, table.schema) as writer:
            writer.write_table(table)
    sink.seek(0)
    records = parquet_records if kind == "parquet" else arrow_records
    assert list(records(sink, ReadingOptions(), "here")) == texts
