"""Where a config that travels to a server may point to, and that nothing gets around it."""

from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config
from tasks.config.places import ROOTS, absolute, check_places
from tasks.errors import UserError
from tasks.sources.globs import find_real_files
from tasks.sources.hub import describe_folder
from tasks.sources.local_files import find_files


def config(**changes: Any) -> Config:
    values = {
        "store": "/srv/all/store",
        "corpus": [{"type": "files", "paths": ["/srv/all/texts/*"]}],
    }
    return Config.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("change", "roots"),
    [
        ({"store": "s3://bucket-evil/x"}, ["/srv/all", "s3://bucket"]),
        ({"store": "s3://bucket/../other"}, ["/srv/all", "s3://bucket"]),
        ({"store": "simplecache::s3://bucket/x"}, ["/srv/all", "s3://bucket"]),
        ({"store": "file:///etc"}, ["/srv/all", "s3://bucket"]),
        ({"store": "file:///srv/all/../etc"}, ["/srv/all", "file:///srv/all"]),
        ({"store": "local:///srv/allless"}, ["/srv/all"]),
        ({"tokenizer": {"from": "/etc"}}, ["/srv/all"]),
        ({"model": {"from": "~/models"}}, ["/srv/all/x", "/srv/all/store", "/srv/all/texts"]),
        ({"evaluate": {"blimp": {"data": "/srv/allless"}}}, ["/srv/all"]),
        ({"corpus": [{"type": "hub", "dataset": "/etc"}]}, ["/srv/all"]),
        ({"corpus": [{"type": "files", "paths": ["/srv/all/*/../../etc/passwd"]}]}, ["/srv/all"]),
        ({"corpus": [{"type": "files", "paths": ["/srv/al[l]/texts/a"]}]}, ["/srv/all"]),
    ],
)
def test_a_place_outside_the_roots_is_refused(
    change: dict[str, Any], roots: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it looks like."""
    monkeypatch.setenv("HOME", "/home/me")
    with pytest.raises(UserError, match="lies outside what this server may touch"):
        check_places(config(**change), roots)


@pytest.mark.parametrize("store", ["s3://bucket/x", "s3://bucket", "file:///srv/all/x", "/srv/all"])
def test_a_place_within_the_roots_is_allowed(store: str) -> None:
    """A folder may be written as a URL, too."""
    check_places(config(store=store), ["/srv/all", "s3://bucket/"])


def test_a_folder_whose_name_looks_like_a_glob_stays_that_folder(tmp_path: Path) -> None:
    """Relative paths are made absolute, and still found and allowed."""
    folder = tmp_path / "run [1]"
    (folder / "texts").mkdir(parents=True)
    (folder / "texts" / "a.txt").write_text("text")
    made = absolute(config(store="store", corpus=[{"type": "files", "paths": "texts/*"}]), folder)
    assert made.store == str(folder / "store")
    source: Any = made.corpus[0]
    assert list(find_real_files(source.paths[0])) == [str(folder / "texts" / "a.txt")]
    check_places(made, [str(folder)])
    with pytest.raises(UserError, match=r"corpus\.0\.paths"):
        check_places(made, [str(folder / "store")])


@pytest.mark.parametrize("path", ["in/link/*", "in/l*/secret.txt", "in/**", "in"])
def test_what_a_glob_finds_outside_by_a_link_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The fixed part of a glob lies within the root, and what it matches leads out of it."""
    (tmp_path / "root" / "in").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret.txt").write_text("secret")
    (tmp_path / "root" / "in" / "link").symlink_to(tmp_path / "out")
    source: Any = config(corpus=[{"type": "files", "paths": str(tmp_path / "root" / path)}])
    assert find_files(source.corpus[0], "corpus.0"), "without roots it is read"
    monkeypatch.setenv(ROOTS, str(tmp_path / "root"))
    with pytest.raises(UserError, match=r"corpus\.0\.paths: .*secret.txt lies outside"):
        find_files(source.corpus[0], "corpus.0")


def test_a_dataset_folder_is_not_left_by_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a file in it is one, too."""
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.jsonl").write_text("{}")
    (tmp_path / "root" / "a.jsonl").symlink_to(tmp_path / "secret.jsonl")
    monkeypatch.setenv(ROOTS, str(tmp_path / "root"))
    source: Any = config(corpus=[{"type": "hub", "dataset": str(tmp_path / "root")}]).corpus[0]
    with pytest.raises(UserError, match=r"secret\.jsonl lies outside"):
        describe_folder(source)


@pytest.mark.parametrize("name", ["x" * 101, "letters.json"])
def test_a_name_that_no_pointer_can_have_is_refused_before_anything_runs(name: str) -> None:
    """`models/<name>.json` is written at the end of a run, when all the work is done."""
    with pytest.raises(ValueError, match="name"):
        config(name=name)
