"""Encodings byte by byte: marks, line numbers of what does not decode, and names by glob."""

import codecs
import io
import zipfile
from pathlib import Path

import pytest
from file_reading import describe, read

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats import encodings
from tasks.formats.encodings import (
    UndecodableError,
    decode_stream,
    detect_encoding,
    encoding_for,
)
from tasks.formats.source_files import SourceFile
from tasks.formats.table import ending_of, endings_digest, format_by_name


@pytest.mark.parametrize(
    ("mark", "codec", "name"),
    [
        (codecs.BOM_UTF8, "utf-8", "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    ],
)
def test_each_mark_names_its_encoding_and_is_no_text(mark: bytes, codec: str, name: str) -> None:
    content = mark + "größer".encode(codec)
    assert detect_encoding(io.BytesIO(content)) == name
    assert "".join(decode_stream(io.BytesIO(content), name, "refuse", "f")) == "größer"


@pytest.mark.parametrize("spelling", ["utf-8", "UTF-8", "utf8", "U8"])
def test_utf8_by_any_name_loses_its_mark_and_only_the_first(spelling: str) -> None:
    content = codecs.BOM_UTF8 * 2 + b"a"
    assert "".join(decode_stream(io.BytesIO(content), spelling, "refuse", "f")) == "\ufeffa"


@pytest.mark.parametrize(
    ("content", "line", "at"),
    [
        (b"\xff", 1, 0),
        (b"a\n\xff", 2, 2),
        (b"a\nb\nc\xff\n", 3, 5),
        (b"a\n\xc3", 2, 2),
        ("é\n\n".encode() + b"\xff", 3, 4),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 1 << 20])
def test_a_wrong_byte_is_known_by_its_line_and_its_offset(
    content: bytes, line: int, at: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of whatever size."""
    monkeypatch.setattr(encodings, "BLOCK_BYTES", block)
    with pytest.raises(
        UndecodableError, match=rf"f: byte {at} \(\w\w\) is not valid utf-8"
    ) as caught:
        list(decode_stream(io.BytesIO(content), "utf-8", "refuse", "f"))
    assert caught.value.line == line
    assert caught.value.told.startswith(f"byte {at} ")


def test_what_does_not_decode_is_replaced_and_never_left_out() -> None:
    """Half of a character at the end too."""
    found = "".join(decode_stream(io.BytesIO(b"a\xffb\xc3"), "utf-8", "replace", "f"))
    assert found == "a\ufffdb\ufffd"


def test_half_a_character_at_the_end_is_no_utf8() -> None:
    assert detect_encoding(io.BytesIO("ein schöner Tag, ä".encode()[:-1])) not in (None, "utf-8")


def test_every_other_zero_byte_says_which_half_comes_first() -> None:
    """From more than a tenth of them on; a few are no sign."""
    assert detect_encoding(io.BytesIO("plain".encode("utf-16-le"))) == "utf-16-le"
    assert detect_encoding(io.BytesIO("plain".encode("utf-16-be"))) == "utf-16-be"
    assert detect_encoding(io.BytesIO(b"plain words\0 and more, and more")) == "utf-8"
    mixed = "中文中文中ab".encode("utf-16-le")
    assert detect_encoding(io.BytesIO(mixed)) == "utf-16-le"


def test_looking_leaves_the_stream_at_its_beginning() -> None:
    for content in (b"plain", codecs.BOM_UTF8 + b"x", "é".encode("cp1252"), b"a\0b\0"):
        stream = io.BytesIO(content)
        detect_encoding(stream)
        assert stream.tell() == 0


def test_the_longest_glob_counts_and_of_equal_ones_the_last_by_name() -> None:
    """In whatever order a config has them."""
    globs = {"*.txt": "cp1252", "a*": "utf-8", "ab*": "koi8_r", "abc": "cp1251", "a??": "cp1250"}
    for mapping in (globs, dict(reversed(globs.items()))):
        assert encoding_for(mapping, "abc") == "cp1251"
        assert encoding_for(mapping, "abd") == "koi8_r"
        assert encoding_for(mapping, "a.txt") == "cp1252"
        assert encoding_for(mapping, "ax") == "utf-8"
    assert encoding_for("cp1252", "anything") == "cp1252"


def test_globs_are_of_files_names_and_of_members_whole_paths(tmp_path: Path) -> None:
    """A folder's name is no part of a file's; a member has no other place."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_bytes("é".encode("cp1252"))
    assert read(tmp_path / "in/a.txt", tmp_path, encoding={"a.*": "cp1252"})[0] == ["é"]
    with pytest.raises(UserError, match="no glob"):
        describe(tmp_path / "in/a.txt", encoding={"*/in/*": "cp1252"})
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("in/a.txt", "é".encode("cp1252"))
    mapping = {"in/*": "cp1252", "*": "utf-8"}
    assert read(tmp_path / "in.zip", tmp_path, encoding=mapping)[0] == ["é"]
    assert describe(tmp_path / "in.zip", encoding=mapping)[0].options.encoding == mapping


def test_guesses_are_counted_by_encoding_and_refused_where_there_is_none(tmp_path: Path) -> None:
    """Unless what does not decode is to be replaced."""
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name in "abc":
            archive.writestr(name, "schön" if name == "a" else "schön".encode("cp1252"))
    _, report = read(tmp_path / "in.zip", tmp_path, encoding="auto")
    assert report.summary["encodings"] == {"utf-8": 1, "cp1252": 2}
    (tmp_path / "dense.txt").write_bytes(bytes(range(128, 256)) * 3)
    with pytest.raises(UserError, match=r'dense\.txt: its encoding cannot .*"dense\.txt": cp1251'):
        read(tmp_path / "dense.txt", tmp_path, encoding="auto")
    texts, report = read(tmp_path / "dense.txt", tmp_path, encoding="auto", errors="replace")
    assert report.summary["encodings"] == {"utf-8": 1}
    assert "\ufffd" in texts[0]


@pytest.mark.parametrize(
    ("name", "ending", "form"),
    [
        ("a.JSONL", ".jsonl", "jsonl"),
        ("a.csv.gz", ".csv", "csv"),
        ("a.tsv.zst.gz", ".tsv", "tsv"),
        ("a.ndjson.zstd", ".ndjson", "jsonl"),
        ("a.json.XZ", ".json", "json"),
        ("a.tab.bz2", ".tab", "tsv"),
        ("a.b.c", ".c", "text"),
        ("x.csv/a", "", "text"),
        ("a.gz", "", "text"),
        ("a.feather", ".feather", "arrow"),
        ("a.ipc", ".ipc", "arrow"),
        ("a.parquet", ".parquet", "parquet"),
    ],
)
def test_a_names_ending_is_the_one_before_those_of_compressions(
    name: str, ending: str, form: str
) -> None:
    assert ending_of(name) == ending
    assert format_by_name(name, name) == form


def test_a_file_is_its_content_and_how_that_is_read(tmp_path: Path) -> None:
    """Every option counts; of a file whose format is known endings mean nothing."""
    (tmp_path / "a.txt").write_text("x")
    file = describe(tmp_path / "a.txt")[0]
    assert file.identity() == {"file": file.file, "container": "plain", "reading": file.options}
    unknown = SourceFile("n", file.file, "tar", ReadingOptions())
    assert unknown.identity() == {
        "file": file.file,
        "container": "tar",
        "reading": ReadingOptions(),
        "endings": endings_digest(),
    }
    known = SourceFile("n", file.file, "tar", ReadingOptions(format="csv"))
    assert "endings" not in known.identity()
