"""The `corpus:` section: what is accepted, what is refused, what identifies a source."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.config.corpus import FilesSource, HttpSource, Source, source_names
from tasks.engine.identity import digest_of

sources: TypeAdapter[Any] = TypeAdapter(list[Source])


def test_short_forms_mean_what_they_say() -> None:
    """One path or address may stand for a list; addresses may be plain strings."""
    files, http = sources.validate_python(
        [
            {"type": "files", "paths": "a/*.txt", "separator": {"regex": "^=+$"}},
            {"type": "http", "urls": ["https://host/a", {"url": "http://host/b", "bytes": 5}]},
        ]
    )
    assert files.paths == ("a/*.txt",)
    assert files.separator.regex == "^=+$"
    assert [file.bytes for file in http.urls] == [None, 5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "files", "paths": []}, "at least 1 item"),
        ({"type": "files", "paths": "a", "separator": "lines"}, "write line, blank_line, file"),
        ({"type": "files", "paths": "a", "separator": {"regex": "("}}, "not a regular expression"),
        ({"type": "files", "paths": "a", "encoding": "utf-7x"}, "no text encoding 'utf-7x'"),
        ({"type": "files", "paths": "a", "encoding": "base64"}, "no text encoding 'base64'"),
        ({"type": "files", "paths": "a", "held_out": 1.5}, "less than or equal to 1"),
        ({"type": "files", "path": "a"}, "Extra inputs are not permitted"),
        ({"type": "http", "urls": "ftp://host/a"}, "not an http or https address"),
        ({"type": "http", "urls": {"url": "http://h/a", "sha256": "abc"}}, "should match pattern"),
        ({"type": "s3"}, "expected tags"),
    ],
)
def test_mistakes_are_refused(values: dict[str, Any], message: str) -> None:
    """Each is told in words that name what would be right."""
    with pytest.raises(ValidationError, match=message):
        sources.validate_python([values])


def test_what_later_stages_use_is_no_part_of_reading() -> None:
    """Changing the name, the held-out share, the licence note or a path reads nothing anew."""
    one = FilesSource(paths=("a.txt",))
    two = FilesSource(paths=("b.txt",), held_out=0.5, licence="CC BY", name="another")
    assert digest_of(one.reading_identity()) == digest_of(two.reading_identity())
    other = FilesSource(paths=("a.txt",), separator="line")
    assert digest_of(one.reading_identity()) != digest_of(other.reading_identity())


def test_a_source_without_a_name_is_called_after_what_it_reads() -> None:
    """Wherever it stands in the list; alike ones have digits of all that they say as well."""
    listed = sources.validate_python(
        [
            {"type": "files", "paths": ["old letters/**/*.txt", "more"]},
            {"type": "files", "paths": "*.txt", "name": "mine"},
            {"type": "files", "paths": "*.txt"},
            {"type": "http", "urls": "https://host/data/a%20b.jsonl?key=1"},
            {"type": "http", "urls": "https://host/"},
            {"type": "hub", "dataset": "owner/name"},
            {"type": "docstrings"},
            {"type": "docs", "packages": ["click"]},
        ]
    )
    names = source_names(listed)
    assert names == [
        *["old letters", "mine", "files", "a-20b.jsonl"],
        *["host", "name", "docstrings", "click"],
    ]
    assert source_names(listed[::-1]) == names[::-1]

    alike = sources.validate_python(
        [{"type": "files", "paths": f"{place}/texts", "held_out": 0.5} for place in "ab"]
    )
    first, second = source_names(alike)
    assert first != second
    assert {name[:6] for name in (first, second)} == {"texts-"}
    assert source_names([*listed, *alike[::-1]])[-2:] == [second, first]


def test_the_older_spelling_of_a_type_means_the_same() -> None:
    """`docs` was what docstrings were called: the same source, and the keys of ever."""
    older, newer = sources.validate_python([{"type": "docs"}, {"type": "docstrings"}])
    assert older == newer
    assert newer.type == "docstrings"
    identity = digest_of(newer.reading_identity())
    assert identity.startswith("690adcd636f1"), "artifacts made before would not be found"


def test_how_a_file_is_fetched_is_no_part_of_what_it_is() -> None:
    """Patience and secrets' names leave the identity as it is; the digest does not."""
    one = HttpSource(urls=({"url": "http://host/a"},))
    two = HttpSource(urls=({"url": "http://host/a"},), attempts=9, headers_from_env={"K": "V"})
    assert digest_of(one.reading_identity()) == digest_of(two.reading_identity())
    known = HttpSource(urls=({"url": "http://host/a", "sha256": "0" * 64},))
    assert digest_of(one.reading_identity()) != digest_of(known.reading_identity())
