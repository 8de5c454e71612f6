"""Files of this machine: what was set and can have no effect is refused."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from tasks.config.corpus import FilesSource, HubSource
from tasks.errors import UserError
from tasks.sources import sizes
from tasks.sources.hub import describe_folder
from tasks.sources.local_files import LocalFiles, describe_local

LINE = json.dumps({"body": "The captain sailed."}) + "\n"


@pytest.mark.parametrize(
    ("names", "options", "field"),
    [
        (["a.txt"], {"text_field": "body"}, "text_field"),
        (["a.jsonl"], {"separator": "line"}, "separator"),
        (["a.txt"], {"exclude": ("*.zip",)}, "exclude"),
        (["a.jsonl"], {"include": ("*.jsonl",)}, "include"),
        (["a.txt", "a.jsonl"], {"text_field": "body", "separator": "line"}, None),
        (["a.zip"], {"include": ("*.txt",), "text_field": "body"}, None),
    ],
)
def test_an_option_without_effect_is_refused(
    tmp_path: Path, names: list[str], options: dict[str, object], field: str | None
) -> None:
    for name in names:
        (tmp_path / name).write_text(LINE)
    if "a.zip" in names:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("a.txt", "The captain sailed.")
    paths = [str(tmp_path / name) for name in names]
    source = FilesSource.model_validate({"type": "files", "paths": paths, **options})
    if field is None:
        assert len(describe_local(source, "corpus.0")) == len(names)
        return
    with pytest.raises(UserError, match=rf"^corpus\.0\.{field}: it has no effect"):
        describe_local(source, "corpus.0")


def test_what_a_link_leads_to_must_lie_within_the_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a glob and of a dataset's folder; a server's user may make links."""
    (tmp_path / "private.txt").write_text("private")
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    monkeypatch.setenv("ROBERTA_ROOTS", str(folder))
    files, dataset = FilesSource(paths=(f"{folder}/*.txt",)), HubSource(dataset=str(folder))
    assert len(describe_local(files, "corpus.0")) == len(describe_folder(dataset)) == 1
    (folder / "b.txt").symlink_to(tmp_path / "private.txt")
    with pytest.raises(UserError, match=r"^corpus\.0\.paths: .*private\.txt lies outside"):
        describe_local(files, "corpus.0")
    with pytest.raises(UserError, match=r"^corpus\.dataset: .*private\.txt lies outside"):
        describe_folder(dataset)


def tried(tmp_path: Path, **options: object) -> None:
    source = {"type": "files", "paths": [str(tmp_path / "*")], **options}
    LocalFiles(FilesSource.model_validate(source), 0).try_out()


def test_a_wrong_field_is_found_at_the_beginning_of_a_file(tmp_path: Path) -> None:
    """Of every kind; what comes later is left to the stage that reads all of it."""
    (tmp_path / "a.jsonl").write_text(LINE * 5 + "no JSON\n")
    (tmp_path / "b.csv").write_text("n,body\n1,The captain sailed.\n")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(LINE.encode()))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("a.jsonl", LINE)
    tried(tmp_path, text_field="body")
    for name in ("a.jsonl", "b.csv", "c.jsonl.gz", "d.zip"):
        with pytest.raises(UserError, match=r"there is no 'text'.* It has .*'body'"):
            tried(tmp_path)
        (tmp_path / name).unlink()


def test_what_would_be_copied_whole_first_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour's copying is no quick look: only small ones of these are."""
    (tmp_path / "a.jsonl").write_text(LINE)
    with pytest.raises(UserError, match="there is no 'text'"):
        tried(tmp_path, encoding="auto")
    monkeypatch.setattr(sizes, "_WHOLE_BYTES", 0)
    tried(tmp_path, encoding="auto")
    with pytest.raises(UserError, match="there is no 'text'"):
        tried(tmp_path)
