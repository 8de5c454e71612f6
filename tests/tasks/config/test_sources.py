"""Sources one by one: addresses that are safe, names that stay, what identifies each of them."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.config.corpus import (
    SOURCE_TYPES,
    DocstringsSource,
    FilesSource,
    HttpSource,
    HubSource,
    source_names,
)
from tasks.config.evaluate import TASK_TYPES
from tasks.config.reading import ReadingOptions, RegexSeparator


def http(urls: Any, **more: Any) -> HttpSource:
    return HttpSource.model_validate({"urls": urls, **more})


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        ("ftp://h/a", "urls.0 is not an http or https address"),
        ("https:h/a", "urls.0 is not an http or https address"),
        ("https://", "urls.0 is not an http or https address"),
        ("xhttp://h", "urls.0 is not an http or https address"),
        (["https://h/a", "file:///etc/passwd"], "urls.1 is not an http or https address"),
        ("https://me:pw@h/a", "urls.0 carries a user name or password"),
        ("https://me@h", "urls.0 carries a user name or password"),
        (["https://h/a", "https://h/a?x=1&Sig=b"], r"urls.1 carries a secret in its query \(Sig\)"),
        ("https://h/a?token=b", "use query_from_env, such as {token: MY_SECRET}"),
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(urls: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        http(urls)


@pytest.mark.parametrize(
    "url", ["HTTPS://h/a", "http://h", "https://h/a@b?x=1", "https://h/a?key=b"]
)
def test_an_address_without_one_is_taken_as_it_is(url: str) -> None:
    assert [file.url for file in http(url).urls] == [url]
    assert [file.url for file in http({"url": url}).urls] == [url]
    assert [file.url for file in http((url, {"url": url})).urls] == [url, url]


def test_addresses_are_a_list_or_one() -> None:
    for wrong in (3, None, [3], []):
        with pytest.raises(ValidationError, match="urls"):
            http(wrong)


@pytest.mark.parametrize("name", ["Authorization", "X-My_Token.1", "!#$%&'*+^`|~"])
def test_a_header_is_named_with_its_variable(name: str) -> None:
    assert http("https://h/a", headers_from_env={name: "MY_TOKEN"}).headers_from_env == {
        name: "MY_TOKEN"
    }


@pytest.mark.parametrize("name", ["", "A:", "A B", "A\n", "\u00e4"])
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="a name is none of a header"):
        http("https://h/a", headers_from_env={"X": "OK", name: "MY_TOKEN"})


@pytest.mark.parametrize("field", ["headers_from_env", "query_from_env"])
@pytest.mark.parametrize("value", ["Bearer x", "9A", "", "A-B", "A\n"])
def test_a_secret_in_the_place_of_its_variable_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"{field} names environment variables"):
        http("https://h/a", **{field: {"X": "OK", "Y": value}})


def test_what_identifies_each_kind_of_source() -> None:
    """A field more is a key more: all that was fetched would be fetched again."""
    reading = set(ReadingOptions.model_fields)
    files = FilesSource(paths=("a",))
    assert set(files.reading_identity()) == {"type"} | reading
    assert set(http("https://h/a").reading_identity()) == {"type", "urls"} | reading
    hub = {"type", "dataset", "subset", "split", "revision", "text_field", "errors"}
    hub |= {"max_documents", "max_bytes"}
    assert set(HubSource(dataset="d").reading_identity()) == hub
    assert set(DocstringsSource().reading_identity()) == {
        *("type", "packages", "standard_library", "prose", "min_characters", "max_bytes")
    }
    assert DocstringsSource().reading_identity()["type"] == "docs"
    assert {"name", "held_out", "licence"} <= set(files.identity())


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["/data/old letters/**/*.txt"], "old letters"),
        (["~/*.txt"], "files"),
        (["./../x?/a.txt"], "a.txt"),
        (["a/b[12]"], "a"),
        (["a/b/"], "b"),
        (["one", "two"], "one"),
        (["a/\u00e4\u00f6 & b?.txt"], "a"),
        (["a/-. \u00e4x\u00f6\u00fcy ._"], "x-y"),
    ],
)
def test_files_are_called_after_the_last_part_that_is_fixed(paths: list[str], name: str) -> None:
    assert FilesSource(paths=tuple(paths)).default_name(in_full=False) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.txt?x=1", "b.txt"),
        ("https://h/a/", "a"),
        ("https://h:80/", "h"),
        ("https://h", "h"),
    ],
)
def test_an_address_is_called_after_its_file_or_host(url: str, name: str) -> None:
    assert http([url, "https://other/z"]).default_name(in_full=False) == name


def test_other_sources_are_called_after_what_they_read() -> None:
    assert HubSource(dataset="team/letters/").default_name(in_full=False) == "letters"
    for packages, name in ((None, "docstrings"), (("a", "b"), "docstrings"), (("a",), "a")):
        assert DocstringsSource(packages=packages).default_name(in_full=False) == name


def test_a_name_in_full_has_six_digits_of_all_that_decides_it() -> None:
    """Neither the share held out nor patience's newer fields: the name must stay."""
    source = http("https://h/a")
    name = source.default_name(in_full=True)
    assert name[:2] == "a-"
    assert len(name) == 8
    unsaid: dict[str, Any] = {"held_out": 0.5, "licence": "x", "query_from_env": {"a": "B"}}
    unsaid |= {"max_file_bytes": 5, "private_redirects": True}
    for field, value in unsaid.items():
        assert http("https://h/a", **{field: value}).default_name(in_full=True) == name
    assert http("https://h/a", encoding="auto").default_name(in_full=True) != name
    assert http("https://g/a").default_name(in_full=True) != name


def test_names_of_sources_in_use_stay() -> None:
    """They are in the labels of units that are stored."""
    assert http("https://h/a").default_name(in_full=True) == "a-a08f89"
    assert FilesSource(paths=("x/a",)).default_name(in_full=True) == "a-eac9f8"
    assert FilesSource(paths=("\u00e4",)).default_name(in_full=False) == "a8bc33"
    assert FilesSource(paths=("\u00e4",)).default_name(in_full=True) == "a8bc33"


def test_names_that_are_given_stay_and_only_alike_ones_get_digits() -> None:
    one, two, three = (FilesSource(paths=(f"{n}/a",)) for n in "123")
    named = FilesSource(paths=("4/a",), name="a")
    assert source_names([one]) == ["a"]
    full = [source.default_name(in_full=True) for source in (one, two, three)]
    assert source_names([one, two, three]) == full
    assert source_names([one, named]) == [full[0], "a"]
    assert source_names([]) == []


def test_every_spelling_of_a_kind_is_known() -> None:
    assert {name: kind.__name__ for name, kind in SOURCE_TYPES.items()} == {
        "files": "FilesSource",
        "http": "HttpSource",
        "hub": "HubSource",
        "docstrings": "DocstringsSource",
        "docs": "DocstringsSource",
    }
    assert {name: kind.__name__ for name, kind in TASK_TYPES.items()} == {
        "minimal_pairs": "MinimalPairsConfig",
        "cloze": "ClozeConfig",
        "neighbours": "NeighboursConfig",
    }


@pytest.mark.parametrize("separator", ["line", "blank_line", "file", {"regex": "^=+$"}])
def test_a_separator_is_a_word_or_an_expression(separator: Any) -> None:
    found = ReadingOptions.model_validate({"separator": separator}).separator
    assert found == (RegexSeparator(regex="^=+$") if isinstance(separator, dict) else separator)


@pytest.mark.parametrize(
    ("separator", "told"),
    [
        ("lines", "write line, blank_line, file or"),
        (["line"], "write line, blank_line, file or"),
        ({"regex": "a", "flags": 1}, "write line, blank_line, file or"),
        ({"regex": 3}, "write line, blank_line, file or"),
        ({}, "write line, blank_line, file or"),
        ({"regex": "(a"}, "not a regular expression: missing"),
        ({"regex": ""}, "at least 1 character"),
    ],
)
def test_what_parts_nothing_is_refused(separator: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ReadingOptions.model_validate({"separator": separator})


@pytest.mark.parametrize("encoding", ["auto", "latin-1", {"*.txt": "auto", "a": "cp1252"}])
def test_an_encoding_is_one_of_text_or_is_guessed(encoding: Any) -> None:
    assert ReadingOptions(encoding=encoding).encoding == encoding


@pytest.mark.parametrize(
    "encoding", ["utf-7x", "hex", "rot13", {"a": "utf-8", "b": "base64"}, {"auto": "none"}, ""]
)
def test_what_is_no_encoding_of_text_is_refused(encoding: Any) -> None:
    with pytest.raises(ValidationError, match="Python knows no text encoding"):
        ReadingOptions(encoding=encoding)
