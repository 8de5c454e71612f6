"""Archives, compression, columns: what is opened how, what is told of it, what is passed over."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from file_reading import describe, read
from pyarrow import parquet

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.archives import is_wanted, printable
from tasks.formats.columns import arrow_records, is_text, parquet_records, validate_columns
from tasks.formats.compression import compression_of, decompressed, is_damage
from tasks.formats.damage import explained
from tasks.formats.detection import FileKind, kind_of


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.txt", True),
        ("in/a.txt", True),
        ("a.md", False),
        ("in/draft.txt", False),
        ("draft.txt.md", False),
        ("__MACOSX/a.txt", False),
        ("in/.DS_Store.txt", True),
        ("._a.txt", False),
        ("in/._a.txt", False),
        ("A.TXT", False),
    ],
)
def test_a_member_is_wanted_by_one_glob_and_by_none_not(name: str, wanted: bool) -> None:
    """One of several is enough either way; case counts."""
    assert is_wanted(name, ("*.rst", "*.txt"), ("x", "*draft*")) == wanted


def test_what_macos_leaves_behind_is_never_wanted() -> None:
    for name in (".DS_Store", "in/.DS_Store", "__MACOSX/x", "._x", "in/._x"):
        assert not is_wanted(name, ("*",), ())
    assert is_wanted("a", ("*",), ())
    assert not is_wanted("a", (), ())


def test_names_are_shown_in_one_line_whatever_they_are_made_of() -> None:
    assert printable("a\nb\rc\td\udc80é") == "a\\nb\\rc\\td\\udc80é"


def test_a_link_in_a_zip_archive_is_no_file(tmp_path: Path) -> None:
    """Its content is the name of another."""
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        info = zipfile.ZipInfo("link.txt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
        archive.mkdir("folder.txt")
        archive.writestr("a.txt", "text")
    assert read(tmp_path / "in.zip", tmp_path)[0] == ["text"]


def test_links_and_devices_in_a_tar_archive_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        (tmp_path / "a.txt").write_text("text")
        archive.add(tmp_path / "a.txt", "a.txt")
        for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("b.txt")
            info.type, info.linkname = kind, "a.txt"
            archive.addfile(info)
    assert read(tmp_path / "in.tar", tmp_path)[0] == ["text"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_globs_choose_among_the_members_of_either_archive(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"in.{kind}"
    names = ("a.txt", "b.txt", "c.log")
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name in names:
                packed.writestr(name, name)
    else:
        with tarfile.open(path, "w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(name)
                archive.addfile(info, io.BytesIO(name.encode()))
    assert read(path, tmp_path, include=["*.txt"], exclude=["b*"])[0] == ["a.txt"]


def test_a_member_of_a_tar_archive_is_named_as_it_can_be_shown(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        info = tarfile.TarInfo("a\nb.txt")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    _, report = read(tmp_path / "in.tar", tmp_path)
    assert report.summary["parts"] == [[[0, "a\\nb.txt"]]]


def test_a_compressed_tar_archive_cut_off_after_its_last_member_is_damaged(tmp_path: Path) -> None:
    """All members came; the check of the whole did not."""
    (tmp_path / "a.txt").write_text("text")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    content = (tmp_path / "in.tar").read_bytes() + bytes(1 << 20)
    (tmp_path / "in.tgz").write_bytes(gzip.compress(content))
    assert read(tmp_path / "in.tgz", tmp_path)[0] == ["text"]
    (tmp_path / "in.tgz").write_bytes(gzip.compress(content)[:-4])
    with pytest.raises(UserError, match=r"in\.tgz.*: the data are damaged"):
        read(tmp_path / "in.tgz", tmp_path)


def test_a_member_with_a_password_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    content = bytearray((tmp_path / "in.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "in.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"in\.zip, member a\.txt: cannot be unpacked .*`exclude`"):
        read(tmp_path / "in.zip", tmp_path)


@pytest.mark.parametrize("level", [1, 5, 9])
def test_bzip2_is_known_at_every_level(level: int) -> None:
    assert compression_of(bz2.compress(b"x", level)[:6]) == "bzip2"


def test_what_is_compressed_is_told_by_its_first_bytes_alone() -> None:
    heads = {
        gzip.compress(b"x")[:6]: "gzip",
        zstandard.compress(b"x")[:6]: "zstd",
        lzma.compress(b"x")[:6]: "xz",
        b"BZ": None,
        b"\x1f": None,
        b"": None,
        b"plain ": None,
    }
    for head, name in heads.items():
        assert compression_of(head) == name


def reader(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))


def test_one_layer_of_compression_is_taken_off() -> None:
    inner = gzip.compress(b"text", mtime=0)
    assert decompressed(reader(gzip.compress(inner))).read() == inner
    assert decompressed(reader(b"text")).read() == b"text"


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_zstd_frame_without_its_end_is_noticed_and_a_whole_one_is_not(cut: int) -> None:
    """Also where it is the second one, and where it has no checksum."""
    frame = zstandard.ZstdCompressor(write_checksum=False).compress(b"text" * 99)
    assert decompressed(reader(frame + frame)).read() == b"text" * 198
    for content in (frame[:-cut], frame + frame[:-cut]):
        with pytest.raises(EOFError):
            decompressed(reader(content)).read()


def test_zstd_of_a_large_window_is_read() -> None:
    """`zstd --long=31` is how large corpora are packed."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = packed.compress(b"x" * 100) + packed.flush()
    assert decompressed(reader(content)).read() == b"x" * 100


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (EOFError("ends"), True),
        (zlib.error("bad"), True),
        (OSError("Invalid data stream"), True),
        (OSError(5, "Input/output error"), False),
        (FileNotFoundError(2, "no"), False),
        (ValueError("x"), False),
    ],
)
def test_damage_is_no_failing_disk_and_no_defect(problem: Exception, told: bool) -> None:
    assert is_damage(problem) == told
    shown = explained(problem, "a.gz", 1234)
    assert (shown is problem) != told
    if told:
        assert str(shown).startswith(
            "a.gz: the data are damaged or cut short after 1,234 records ("
        )


@pytest.mark.parametrize(
    "problem",
    [
        pa.ArrowInvalid("bad"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        zipfile.BadZipFile("bad"),
        tarfile.ReadError("bad"),
    ],
)
def test_broken_columns_names_and_archives_are_damage_too(problem: Exception) -> None:
    assert isinstance(explained(problem, "a", 0), UserError)


def kind(content: bytes, name: str = "a", wanted: str = "auto") -> FileKind:
    return kind_of(reader(content), name, wanted, name)


def zip_of(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def test_archives_are_known_by_their_bytes_and_keep_the_wanted_format() -> None:
    """Compressed tar archives too, and a zip archive of nothing."""
    tar = tar_of("a")
    for content, container in (
        (zip_of(a="x"), "zip"),
        (zip_of(), "zip"),
        (tar, "tar"),
        (gzip.compress(tar), "tar"),
        (bz2.compress(tar), "tar"),
    ):
        assert kind(content) == (container, "auto")
        assert kind(content, wanted="text") == (container, "text")


def test_columns_are_known_by_their_bytes_unless_a_format_is_wanted() -> None:
    assert kind(b"PAR1....", "a.txt") == ("plain", "parquet")
    assert kind(b"ARROW1..", "a.txt") == ("plain", "arrow")
    assert kind(b"PAR1....", "a.txt", "text") == ("plain", "text")
    assert kind(b"ARROW1..", "a.txt", "csv") == ("plain", "csv")


def test_text_that_begins_like_an_archive_is_none() -> None:
    assert kind(b"PK\x03\x04 is how it begins", "a.txt") == ("plain", "text")
    assert kind(b"x" * 257 + b"ustar", "a.jsonl") == ("tar", "auto")
    assert kind(b"x" * 256 + b"ustar", "a.jsonl") == ("plain", "jsonl")


def test_a_name_that_says_no_text_is_refused_before_looking_inside() -> None:
    """Unless a format is wanted: office files are zip archives."""
    with pytest.raises(UserError, match="word processor"):
        kind(zip_of(), "a.docx")
    assert kind(zip_of(), "a.docx", "text") == ("zip", "text")


def test_an_archive_within_an_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("inner.zip", zip_of())
    with pytest.raises(UserError, match=r"member inner\.zip: this is named like an archive"):
        read(tmp_path / "in.zip", tmp_path)
    assert describe(tmp_path / "in.zip")[0].container == "zip"


@pytest.mark.parametrize("make", [pa.string, pa.large_string, pa.string_view])
def test_all_kinds_of_text_are_text_and_bytes_are_not(make: Callable[[], pa.DataType]) -> None:
    assert is_text(make())
    assert is_text(pa.dictionary(pa.int32(), make()))
    assert not is_text(pa.binary())
    assert not is_text(pa.dictionary(pa.int32(), pa.int64()))
    assert not is_text(pa.list_(make()))


def columns_of(kind: str, table: pa.Table) -> io.BytesIO:
    sink = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, sink, compression="none", use_dictionary=False)
    else:
        make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with make(sink, table.schema) as writer:
            writer.write_table(table)
    sink.seek(0)
    return sink


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_the_named_column_is_read_with_its_nulls(kind: str) -> None:
    """Of text by number too; of another type it is refused with the type."""
    body = pa.array(["one", None, "one"]).dictionary_encode()
    table = pa.table({"text": ["x", "y", "z"], "n": [1, 2, 3], "body": body})
    records = parquet_records if kind == "parquet" else arrow_records
    options = ReadingOptions(text_field="body")
    assert list(records(columns_of(kind, table), options, "a")) == ["one", None, "one"]
    with pytest.raises(UserError, match="a: the column 'n' holds int64, not text"):
        list(records(columns_of(kind, table), ReadingOptions(text_field="n"), "a"))
    with pytest.raises(
        UserError, match="a: there is no 'x'. It has 'text', 'n', 'body'; did you mean 'text'"
    ):
        list(records(columns_of(kind, table), ReadingOptions(text_field="x"), "a"))


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_a_wrong_byte_in_any_column_of_any_batch_is_found(kind: str) -> None:
    """A library that reads such a file believes it."""
    table = pa.table({"text": ["a" * 30] * 2, "other": ["b" * 30] * 2})
    content = columns_of(kind, table).getvalue()
    validate_columns(reader(content))
    with pytest.raises((pa.ArrowException, OSError)):
        validate_columns(reader(content.replace(b"b" * 30, b"\xff" * 30)))
    if kind == "parquet":
        records = parquet_records(
            io.BytesIO(content.replace(b"a" * 30, b"\xff" * 30)), ReadingOptions(), "a"
        )
        with pytest.raises((pa.ArrowException, UnicodeDecodeError)):
            list(records)


def test_other_files_are_not_looked_through() -> None:
    validate_columns(reader(b"text\n"))
    validate_columns(reader(b""))
