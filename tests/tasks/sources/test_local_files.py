"""Files of this machine: what was set and can have no effect is refused."""

import json
import zipfile
from pathlib import Path

import pytest

from tasks.config.corpus import FilesSource, HubSource
from tasks.errors import UserError
from tasks.sources.hub import describe_folder
from tasks.sources.local_files import describe_local

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
