"""Files found by globs: links lead everywhere, and each real file is read once."""

import os
from pathlib import Path

import pytest

from tasks.config.corpus import FilesSource
from tasks.sources.globs import find_real_files
from tasks.sources.local_files import describe_local, find_files


def names(pattern: Path | str) -> list[str]:
    return sorted(str(path) for path in find_real_files(str(pattern)).values())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files at three depths."""
    root = tmp_path / "texts"
    for name in ("a.txt", "in/b.txt", "in/deep/c.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.mark.parametrize("pattern", ["", "**", "**/*"])
@pytest.mark.parametrize("num_loops", [1, 3])
def test_a_loop_of_links_gives_each_file_once(folder: Path, pattern: str, num_loops: int) -> None:
    """Links to a folder above: each path through them is another name for the same files."""
    for number in range(num_loops):
        (folder / "in" / f"loop{number}").symlink_to(folder, target_is_directory=True)
    found = names(folder / pattern)
    assert found == [str(folder / name) for name in ("a.txt", "in/b.txt", "in/deep/c.md")]


def test_linked_folders_are_followed(folder: Path, tmp_path: Path) -> None:
    """Text that lies on another disk and is linked to is part of the corpus."""
    (tmp_path / "elsewhere" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere" / "sub" / "d.txt").write_text("d")
    (folder / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert str(folder / "linked" / "sub" / "d.txt") in names(folder)
    assert names(folder / "linked") == [str(folder / "linked" / "sub" / "d.txt")]


def test_two_names_of_a_real_file_are_one_file_under_its_own(folder: Path) -> None:
    """A link beside a file, by whichever glob; equal bytes in a file of its own are another."""
    (folder / "0-link.jsonl").symlink_to(folder / "a.txt")
    (folder / "copy.txt").write_bytes((folder / "a.txt").read_bytes())
    source = FilesSource(paths=(f"{folder}/*.jsonl", f"{folder}/*.txt", str(folder)))
    found = [path.name for path in find_files(source, "corpus.0")]
    assert found == ["a.txt", "copy.txt", "b.txt", "c.md"]
    assert len(describe_local(source, "corpus.0")) == 4
    only_link = FilesSource(paths=(f"{folder}/*.jsonl",))
    assert [path.name for path in find_files(only_link, "corpus.0")] == ["0-link.jsonl"]


def test_globs_match_as_they_always_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative ones, several `**`, names with brackets; nothing hidden, nothing broken."""
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "no.txt").write_text("no")
    (folder / "in" / "broken.txt").symlink_to(folder / "nowhere")
    (folder / "[1]").mkdir()
    (folder / "[1]" / "e.txt").write_text("e")
    monkeypatch.chdir(folder)
    assert names("**/*.txt") == ["[1]/e.txt", "a.txt", "in/b.txt"]
    assert names("**/deep/**/*.md") == ["in/deep/c.md"]
    assert names("i*/**/*") == ["in/b.txt", "in/deep/c.md"]
    assert names("[1]") == [os.path.join("[1]", "e.txt")]
    assert names("*.txt") == ["a.txt"]
    assert names(".hidden/**/*.txt") == [".hidden/no.txt"]
