"""Paths of a config: which fields have one, what is made absolute, what lies within a root."""

import os
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config
from tasks.config.places import (
    ROOTS,
    _before_magic,
    _is_within,
    absolute,
    allowed_roots,
    check_found,
    check_places,
    is_hub_name,
    local_paths,
    read_from,
)
from tasks.errors import UserError

FINE = {
    "task": "classify",
    "train": "t.csv",
    "dev": "d.csv",
    "test": "x.csv",
    "predict": ["p", "q"],
}
EVERYTHING: dict[str, Any] = {
    "store": "s",
    "corpus": [
        {"type": "files", "paths": ["a/*.txt", "b"]},
        {"type": "hub", "dataset": "./data"},
        {"type": "hub", "dataset": "team/name"},
        {"type": "http", "urls": "https://h/a"},
    ],
    "tokenizer": {"from": "tok"},
    "model": {"from": "mod"},
    "evaluate": {
        "blimp": {"data": "pairs"},
        "tasks": [
            {"task": "cloze", "name": "c", "data": "facts"},
            {"task": "neighbours", "name": "n"},
            {"task": "minimal_pairs", "name": "m", "data": "more"},
        ],
    },
    "downstream": [FINE, {**FINE, "name": "second", "test": None, "predict": []}],
    "engine": {"launch": {"accelerate_config": "acc.yaml"}},
}
FIELDS = {
    "store": "s",
    "corpus.0.paths.0": "a/*.txt",
    "corpus.0.paths.1": "b",
    "corpus.1.dataset": "./data",
    "tokenizer.from": "tok",
    "model.from": "mod",
    "evaluate.blimp.data": "pairs",
    "evaluate.tasks.0.data": "facts",
    "evaluate.tasks.2.data": "more",
    "downstream.0.train": "t.csv",
    "downstream.0.dev": "d.csv",
    "downstream.0.test": "x.csv",
    "downstream.0.predict.0": "p",
    "downstream.0.predict.1": "q",
    "downstream.1.train": "t.csv",
    "downstream.1.dev": "d.csv",
    "engine.launch.accelerate_config": "acc.yaml",
}


def test_every_field_with_a_path_is_known() -> None:
    assert dict(local_paths(Config.model_validate(EVERYTHING))) == FIELDS


def test_every_path_is_made_absolute(tmp_path: Path) -> None:
    made = absolute(Config.model_validate(EVERYTHING), tmp_path)
    assert dict(local_paths(made)) == {
        field: os.path.normpath(f"{tmp_path}/{path}") for field, path in FIELDS.items()
    }
    assert made.corpus[2].dataset == "team/name"  # type: ignore[union-attr]


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_every_path_is_checked(tmp_path: Path, field: str) -> None:
    """All lie within the root but one."""
    made = absolute(Config.model_validate(EVERYTHING), tmp_path)
    check_places(made, [str(tmp_path)])
    values = made.model_dump(mode="json", by_alias=True)
    place: Any = values
    *way, last = [int(part) if part.isdecimal() else part for part in field.split(".")]
    for part in way:
        place = place[part]
    place[last] = "/elsewhere/x"
    with pytest.raises(UserError) as told:
        check_places(Config.model_validate(values), [str(tmp_path)])
    assert str(told.value).startswith(f"{field}: /elsewhere/x lies outside what this server may ")
    assert f"({tmp_path})" in str(told.value)


def test_addresses_stay_and_a_home_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    values = {"store": "s3://b/../c", "tokenizer": {"from": "~/tok"}, "model": {"from": "/m/../n"}}
    made = absolute(Config.model_validate({**EVERYTHING, **values}), tmp_path)
    assert (made.store, made.tokenizer.source_folder) == ("s3://b/../c", "/home/me/tok")
    assert made.model.source_folder == "/n"


def test_paths_of_another_folder_are_moved_there_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset is one only where it is a folder; in a glob the folder's own name is escaped."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c[1]" / "team").mkdir(parents=True)
    corpus = [
        {"type": "files", "paths": ["t/*.txt", "~/a", "/b", "file:///c"]},
        *({"type": "hub", "dataset": name} for name in ("team", "imdb", "./x", "~/team", "/team")),
    ]
    values = {"corpus": corpus, "tokenizer": {"from": "tok"}, "model": {"from": "mod"}}
    config = read_from(Config.model_validate(values), Path("c[1]"), {"model.from"})
    files, *hubs = config.corpus
    assert files.paths == ("c[[]1]/t/*.txt", "~/a", "/b", "file:///c")  # type: ignore[union-attr]
    datasets = [source.dataset for source in hubs]  # type: ignore[union-attr]
    assert datasets == ["./c[1]/team", "imdb", "./c[1]/./x", "~/team", "/team"]
    assert (config.tokenizer.source_folder, config.model.source_folder) == ("c[1]/tok", "mod")
    assert config.store == "./artifacts", "the default is the working folder's"
    for store, moved in (
        ("s", "c[1]/s"),
        ("s3://b", "s3://b"),
        ("./artifacts", "c[1]/./artifacts"),
    ):
        given = Config.model_validate({**values, "store": store})
        assert read_from(given, Path("c[1]")).store == moved
        assert read_from(given, Path("c[1]"), {"store"}).store == store
    assert read_from(given, Path("c[1]"), {"stor", "corpus.1"}).corpus[1].dataset == "team"  # type: ignore[union-attr]
    assert read_from(given, Path("c[1]"), {"corpus.1.dat"}).corpus[1] != given.corpus[1]
    assert read_from(given, Path()).corpus[1].dataset == "team"  # type: ignore[union-attr]


def test_a_folder_behind_a_link_is_the_folder_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    values = {"corpus": [{"type": "files", "paths": ["../t"]}], "store": "../s"}
    config = read_from(Config.model_validate(values), Path("link"))
    assert config.store == f"{tmp_path}/real/deep/../s"


def test_a_glob_keeps_its_wildcards_and_a_folders_name_is_none(tmp_path: Path) -> None:
    values = {"corpus": [{"type": "files", "paths": ["a?/*.txt"]}], "store": "a?/s"}
    made = absolute(Config.model_validate(values), tmp_path / "c[1]")
    assert made.corpus[0].paths == (f"{tmp_path}/c[[]1]/a?/*.txt",)  # type: ignore[union-attr]
    assert made.store == f"{tmp_path}/c[1]/a?/s"


def test_a_link_is_followed_where_a_path_is_made_absolute(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/deep")
    values = {"store": "link/../s", "corpus": [{"type": "files", "paths": ["link/../t/*.txt"]}]}
    made = absolute(Config.model_validate(values), tmp_path)
    assert made.store == f"{tmp_path}/real/s"
    assert made.corpus[0].paths == (f"{tmp_path}/real/t/*.txt",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "fixed", "rest"),
    [
        ("/a/b/*.txt", "/a/b", ("*.txt",)),
        ("/a/b?/c/*.txt", "/a", ("b?", "c", "*.txt")),
        ("a/[bc]/d", "a", ("[bc]", "d")),
        ("a/b", "a/b", ()),
        ("*", "", ("*",)),
        ("a/x[[]1]/[*]/b", "a/x[1]/*/b", ()),
        ("a/x[[]1]*/b", "a", ("x[[]1]*", "b")),
        ("/a/[?]b/**", "/a/?b", ("**",)),
    ],
)
def test_a_glob_is_a_fixed_folder_and_the_rest(path: str, fixed: str, rest: tuple[str]) -> None:
    """What was escaped is a name again in the first, and stays as it is in the second."""
    assert _before_magic(path) == (fixed, rest)


@pytest.mark.parametrize(
    ("path", "roots", "within"),
    [
        ("/r/a", ["/r"], True),
        ("/r", ["/r"], True),
        ("/r", ["/r/"], True),
        ("/ra", ["/r"], False),
        ("/", ["/r"], False),
        ("/r/../r/a", ["/r"], False),
        ("/r/a..b", ["/r"], True),
        ("/q/a", ["/r", "/q"], True),
        ("/q/a", [], False),
        ("file:///r/a", ["/r"], True),
        ("/r/a", ["file:///r"], True),
        ("local:///r/a", ["file:///r"], True),
        ("file:///q", ["/r"], False),
        ("s3://b", ["s3://b"], True),
        ("s3://b/x", ["s3://b/"], True),
        ("s3://bx", ["s3://b"], False),
        ("s3://b", ["s3://b/x"], False),
        ("s3://b/x/../y", ["s3://b"], False),
        ("s3://b/x", ["/", "/r"], False),
        ("/r/a", ["s3://r"], False),
        ("gs://b/x", ["s3://b"], False),
        ("memory://file:///r", ["/r"], False),
    ],
)
def test_what_lies_within(path: str, roots: list[str], within: bool) -> None:
    assert _is_within(path, roots, False) is within


def test_a_name_with_a_wildcard_is_one_only_where_globs_stand(tmp_path: Path) -> None:
    """A link called `[x]` is looked through, where its name is no pattern."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "[x]").symlink_to("/etc")
    root = str(tmp_path / "root")
    assert not _is_within(f"{root}/[x]/a", [root], False)
    assert _is_within(f"{root}/[x]/a", [root], True)
    assert not _is_within(f"{root}/[[]x]/a", [root], True)


def test_a_root_that_is_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert _is_within(f"{tmp_path}/real/a", [f"{tmp_path}/link"], False)
    assert _is_within(f"{tmp_path}/link/a", [f"{tmp_path}/real"], False)


def test_what_was_found_is_checked_where_roots_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ROOTS, raising=False)
    check_found(["/etc/passwd"], "corpus.0.paths")
    monkeypatch.setenv(ROOTS, str(tmp_path))
    check_found([f"{tmp_path}/a", f"{tmp_path}/[b]"], "corpus.0.paths")
    (tmp_path / "[x]").symlink_to("/etc")
    with pytest.raises(UserError, match=r"\[x\]/passwd lies outside"):
        check_found([f"{tmp_path}/[x]/passwd"], "corpus.0.paths")
    with pytest.raises(UserError, match=r"^corpus\.0\.paths: /etc/passwd lies outside"):
        check_found([f"{tmp_path}/a", "/etc/passwd"], "corpus.0.paths")


@pytest.mark.parametrize(
    ("said", "roots"),
    [("", []), ("\n\n", []), ("/a", ["/a"]), ("/a\n\ns3://b/c d\n", ["/a", "s3://b/c d"])],
)
def test_roots_are_lines_and_none_of_them_allows_nothing(
    monkeypatch: pytest.MonkeyPatch, said: str, roots: list[str]
) -> None:
    monkeypatch.setenv("ROBERTA_ROOTS", said)
    assert allowed_roots() == roots
    if not roots:
        with pytest.raises(UserError, match="lies outside"):
            check_found(["/a"], "store")
        with pytest.raises(UserError, match="^store: s lies outside"):
            check_places(Config.model_validate(EVERYTHING), roots)


@pytest.mark.parametrize(
    ("dataset", "is_name"),
    [("imdb", True), ("a/b", True), ("./a", False), ("/a", False), ("~/a", False), ("../a", False)],
)
def test_a_dataset_is_a_name_unless_it_begins_as_a_path(dataset: str, is_name: bool) -> None:
    assert is_hub_name("dataset", dataset) is is_name
    assert not is_hub_name("data", dataset)
