"""Where a config may point: within the roots, links followed, whatever a glob says."""

from pathlib import Path
from typing import Any

import pytest

from tasks.config import Config
from tasks.config.places import absolute, allowed_roots, check_places, local_paths
from tasks.errors import UserError


def config(**changes: Any) -> Config:
    source = {"type": "files", "paths": ["texts/*.txt"]}
    return Config.model_validate({"corpus": [source], "store": "store", **changes})


def test_relative_paths_are_made_those_of_a_folder(tmp_path: Path) -> None:
    """Globs keep their wildcards, URLs stay, a name on the hub is no path."""
    changes = {
        "corpus": [
            {"type": "files", "paths": ["../texts/*/a?.txt", "/srv/b.txt"]},
            {"type": "hub", "dataset": "team/letters"},
        ],
        "store": "s3://bucket/store",
        "evaluate": {"blimp": {"data": "blimp"}},
    }
    folder = tmp_path / "of the config"
    found = dict(local_paths(absolute(config(**changes), folder)))
    assert found == {
        "store": "s3://bucket/store",
        "corpus.0.paths.0": str(tmp_path / "texts" / "*" / "a?.txt"),
        "corpus.0.paths.1": "/srv/b.txt",
        "evaluate.blimp.data": str(folder / "blimp"),
    }


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("store", {"store": "/elsewhere/store"}),
        ("store", {"store": "s3://bucket-evil/store"}),
        ("store", {"store": "memory://store"}),
        ("corpus.0.paths.0", {"corpus": [{"type": "files", "paths": ["/etc/passwd"]}]}),
        ("corpus.0.paths.0", {"corpus": [{"type": "files", "paths": ["{root}/*/../../x"]}]}),
        ("corpus.0.paths.0", {"corpus": [{"type": "files", "paths": ["{root}/out/passwd"]}]}),
        ("corpus.0.dataset", {"corpus": [{"type": "hub", "dataset": "/etc"}]}),
        ("tokenizer.from", {"tokenizer": {"from": "/etc"}}),
        ("model.from", {"model": {"from": "/etc"}}),
        ("evaluate.blimp.data", {"evaluate": {"blimp": {"data": "~/blimp"}}}),
        ("engine.launch.accelerate_config", {"engine": {"launch": {"accelerate_config": "/a"}}}),
    ],
)
def test_what_lies_outside_the_roots_is_refused_by_its_field(
    tmp_path: Path, field: str, changes: dict[str, Any]
) -> None:
    """Absolute, by `..`, by a link, by a URL that only begins alike."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to("/etc")
    source = {"type": "files", "paths": [f"{root}/texts"]}
    values = {"corpus": [source], "store": f"{root}/store", **changes}
    made = Config.model_validate(_filled(values, str(root)))
    with pytest.raises(UserError, match=rf"^{field}: .* lies outside"):
        check_places(made, [str(root), "s3://bucket"])


def _filled(value: Any, root: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, root) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, root) for each in value]
    return value.replace("{root}", root) if isinstance(value, str) else value


def test_within_the_roots_all_is_well(tmp_path: Path) -> None:
    """A folder, what lies below it, and a bucket."""
    made = absolute(config(), tmp_path)
    check_places(made, [str(tmp_path)])
    check_places(made.model_copy(update={"store": "s3://bucket/x"}), [str(tmp_path), "s3://bucket"])
    check_places(made, None)


def test_without_the_variable_everything_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the command himself may read what he may read."""
    monkeypatch.delenv("ROBERTA_ROOTS", raising=False)
    assert allowed_roots() is None
    monkeypatch.setenv("ROBERTA_ROOTS", "/a\n/b c")
    assert allowed_roots() == ["/a", "/b c"]
