"""Files of this machine: what was set and can have no effect is refused."""

import json
import zipfile
from pathlib import Path

import pytest

from tasks.config.corpus import FilesSource
from tasks.errors import UserError
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
