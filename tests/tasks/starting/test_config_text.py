"""The config that `init` writes, line by line: paths, shares, comments that end nothing."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import StageError, UserError
from tasks.starting.config_text import (
    _comment,
    _left_out_lines,
    _millions,
    _placed,
    _scalar,
    _source_lines,
    config_name,
    config_text,
    source_labels,
)
from tasks.starting.listing import Listing
from tasks.starting.make_config import _nothing, write_new
from tasks.starting.sizes import suitable_sizes
from tasks.starting.survey import Found

ENGLISH = "It was the best of times, and that was the worst of it."


def found(**more: Any) -> Found:
    size = {"documents": 1234, "bytes": 5_000_000}
    return Found({}, paths=["/in/*.txt"], size=size, texts=[ENGLISH], **more)


def written(*sources: Found, cores: int = 1, left_out: Mapping[str, str] | None = None) -> str:
    sizes = suitable_sizes(5_000_000, 3, 1e11, is_gpu=False, is_unspaced=False, cores=cores)
    reasons = {Path(name): why for name, why in (left_out or {}).items()}
    return config_text("letters", sources, reasons, sizes, 3, Path("/out/c.yaml"))


@pytest.mark.parametrize(
    ("text_bytes", "share"),
    [(1_999_999, 0.05), (2_000_000, 0.02), (19_999_999, 0.02), (20_000_000, 0.01)],
)
def test_of_little_text_a_larger_share_is_held_out(text_bytes: int, share: float) -> None:
    assert f"held_out: {share} " in _source_lines(found(), text_bytes, Path("/"))[-1]


def test_a_path_is_told_from_the_configs_folder_and_an_absolute_one_as_it_is() -> None:
    assert _placed("/in/*.txt", Path("/out")) == "/in/*.txt"
    assert _placed("in/**/*.txt", Path("out")) == os.path.join("..", "in/**/*.txt")


@pytest.mark.parametrize(
    "value", ["a: b # c", "yes", "1e3", "*", "", "мир", [1, "two"], {"a": None}]
)
def test_a_value_is_read_as_it_was(value: Any) -> None:
    text = _scalar(value)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}\n") == {"key": value}


def test_what_stands_in_a_comment_cannot_end_it() -> None:
    assert _comment("a\nname: evil\x1b[2J\u2028b") == "a?name: evil?[2J?b"
    text = written(found(fields=["x\ny: 1"]), left_out={"torn\nstore: /etc": "bad\nname: evil"})
    read = yaml.safe_load(text)
    assert (read["name"], "store" in read, "y" in read) == ("letters", False, False)


def test_what_is_left_out_is_counted_by_reason_and_five_are_named() -> None:
    left_out = {Path(f"{n}.bin"): "no text" for n in range(6)} | {Path("a.png"): "an image"}
    assert _left_out_lines(left_out) == [
        "# Left out, 6 (no text): 0.bin, 1.bin, 2.bin, 3.bin, 4.bin, ...",
        "# Left out, 1 (an image): a.png",
    ]


def test_a_config_says_what_suits_and_nothing_of_a_language_that_is_unclear() -> None:
    read = yaml.safe_load(written(found()))
    assert read["publish"] == {"language": "en"}
    assert read["corpus"] == [{"type": "files", "paths": ["/in/*.txt"], "held_out": 0.02}]
    assert read["evaluate"] == {"held_out": {"max_rows": 512}}
    assert "engine" not in read
    assert yaml.safe_load(written(found(), cores=2))["engine"] == {"launch": {"processes": 2}}
    other = found()
    other.texts = ["абв" * 200, ENGLISH]
    text = written(other)
    assert "publish" not in yaml.safe_load(text)
    assert "# publish: {language: en, licence: ours}" in text
    assert "# Scripts, by letters: Cyrillic " in text


def of(*names: str, paths: tuple[str, ...]) -> Found:
    return Found({}, files=[Path("/in", name) for name in names], paths=list(paths))


def test_sources_that_one_path_tells_apart_are_called_by_it_and_others_by_folder_and_ending() -> (
    None
):
    reviews = of("r/neg/1.txt", "r/pos/1.txt", paths=("/in/r/neg/*.txt", "/in/r/pos/*.txt"))
    letters = of("a.csv", paths=("/in/**/*.csv",))
    notes = of("b.jsonl.gz", paths=("/in/**/*.jsonl.gz",))
    book = of("old/c.txt.gz", paths=("/in/**/*.txt.gz",))
    archive = of("d.zip", paths=("/in/d.zip",))
    every = [reviews, letters, notes, book, archive]
    assert source_labels(every) == ["r", "in csv", "in jsonl.gz", "old", None]
    assert source_labels([letters]) == [None]
    assert source_labels([letters, letters]) == [None, None], "digits tell them apart"
    odd = of("мир/a.txt", paths=("/in/мир/a.txt", "/in/мир/b.txt"))
    assert source_labels([odd, archive]) == [None, None]
    assert _source_lines(found(), 1, Path("/"), "in csv")[2] == "    name: in csv"


def test_numbers_are_told_in_millions() -> None:
    assert [_millions(n) for n in (1_250_000, 99_900_000, 100_000_000)] == [
        "1.2 M",
        "99.9 M",
        "100 M",
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a b/c d.tar.gz", "c-d"),
        ("..hidden", "corpus"),
        ("x" * 99, "x" * 60),
        ("-a_.b", "a"),
        ("мир", "corpus"),
    ],
)
def test_a_name_is_what_a_config_may_be_called(path: str, name: str) -> None:
    assert config_name([Path(path), Path("other")]) == name


def test_a_folder_is_called_by_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    assert config_name([tmp_path / "v1.2"]) == "v1.2"


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    write_new(path, "one")
    with pytest.raises(UserError, match="there is one already"):
        write_new(path, "two")
    assert path.read_text() == "one"
    with pytest.raises(UserError, match="cannot be written: .*Name another place"):
        write_new(path / "c.yaml", "x")


def test_a_full_disk_is_no_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StageError, match="c.yaml: .*No space left on device.*make room"):
        write_new(tmp_path / "c.yaml", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("why", "hint"),
    [
        ("which field holds the text is unclear: a", "by --column"),
        ("may not be read", "Make it readable"),
        ("an image", "Convert it to text"),
    ],
)
def test_where_nothing_can_be_read_the_reasons_are_told_and_what_to_do(why: str, hint: str) -> None:
    left_out = {Path(str(n)): "an image" for n in range(4)} | {Path("x"): why}
    told = _nothing([Path("in")], Listing(left_out=left_out))
    assert told.startswith("in: nothing in it is text that can be read (0: an image; 1: an image; ")
    assert "; and 2 more). " in told
    assert hint in told
    assert (
        "and" not in _nothing([Path("in")], Listing(left_out={Path("x"): "an image"})).split(")")[0]
    )
