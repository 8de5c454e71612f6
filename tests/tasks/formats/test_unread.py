"""What no reader claims is refused by name: markup and noise never pass for text."""

import zipfile
from pathlib import Path
from typing import get_args

import pytest
from file_reading import describe, read

from tasks.config.reading import ReadingOptions
from tasks.errors import UserError
from tasks.formats.table import FORMATS, UNREAD, endings_digest, format_by_name


def test_the_config_names_the_formats_of_the_table() -> None:
    """Neither offers what the other does not have, and no ending means two things."""
    assert set(get_args(ReadingOptions.model_fields["format"].annotation)) == {"auto", *FORMATS}
    endings = [ending for form in FORMATS.values() for ending in form.endings]
    assert len({*endings, *UNREAD}) == len(endings) + len(UNREAD)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("page.html", "a web page"),
        ("page.HTM.gz", "a web page"),
        ("letter.docx", "a word processor's document"),
        ("letter.odt", "a word processor's document"),
        ("letter.doc", "a word processor's document"),
        ("table.xlsx", "a spreadsheet"),
        ("paper.pdf", "a PDF"),
        ("book.epub", "an e-book"),
        ("photo.jpeg", "an image"),
        ("crawl.warc.gz", "a web archive"),
        ("all.7z", "an archive"),
        ("all.zip", "named like an archive"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_its_name(
    name: str, what: str, tmp_path: Path
) -> None:
    """The message has the file, what it looks like, and what to do; one ends the whole source."""
    (tmp_path / name).write_bytes(b"<p>some bytes</p>")
    (tmp_path / "fine.txt").write_text("fine")
    with pytest.raises(UserError) as caught:
        describe(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert what in str(caught.value)
    assert "leave it out" in str(caught.value)


def test_an_office_file_is_not_opened_as_the_archive_it_is(tmp_path: Path) -> None:
    """Its XML would be read as documents."""
    with zipfile.ZipFile(tmp_path / "letter.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w:p>Dear all</w:p>")
    with pytest.raises(UserError, match="letter.docx: by its ending .* word processor's"):
        describe(tmp_path / "letter.docx")


def test_members_of_archives_are_refused_by_their_own_names(tmp_path: Path) -> None:
    """Archive and member are named; `exclude` leaves such members out."""
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.txt", "text")
        archive.writestr("b/page.html", "<p>markup</p>")
    with pytest.raises(UserError, match=r"in.zip, member b/page.html: .*`exclude` for members"):
        read(tmp_path / "in.zip", tmp_path)
    assert read(tmp_path / "in.zip", tmp_path, exclude=["*.html"])[0] == ["text"]


def test_an_explicit_format_overrides_the_name(tmp_path: Path) -> None:
    """The message says so; whoever wants the markup gets it."""
    (tmp_path / "page.html").write_text("<p>kept</p>")
    with pytest.raises(UserError, match="set the source's `format: text`"):
        describe(tmp_path / "page.html")
    assert read(tmp_path / "page.html", tmp_path, format="text")[0] == ["<p>kept</p>"]


@pytest.mark.parametrize(
    "name", ["a.txt", "a.md", "a.rst", "a.text", "a", "a.train", "a.2024", "mail.html.txt", ".csv"]
)
def test_all_other_names_are_text(name: str) -> None:
    """Corpora have endings of their own; only what is known not to be text is refused."""
    assert format_by_name(name, name) == "text"


def test_another_meaning_of_an_ending_is_another_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members are read by names that no key holds, so the key holds what endings mean."""
    for name in ("in.zip", "plain.txt"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("a.txt", "text")
    (tmp_path / "plain.txt").write_text("text")
    before = [file.identity() for file in describe(tmp_path)]
    meant = endings_digest()
    monkeypatch.setitem(UNREAD, ".new", ("something new", False))
    assert endings_digest() != meant
    after = [file.identity() for file in describe(tmp_path)]
    changed = [old["container"] for old, new in zip(before, after, strict=True) if old != new]
    assert changed == ["zip"]
