"""The guides against a real run: the JSON fields that commands print, the files that lie there."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner
from command import Command
from commands_guide import json_fields, sections

from flows.cli import roberta as roberta_group

Run = dict[str, Any]


@pytest.fixture(scope="module")
def printed(first_run: Run, roberta: Command) -> dict[str, Any]:
    """What each command with `--json` says of a finished run, called in this process."""
    (roberta.folder / "two.txt").write_text("Return the list.\nlist the Return.\n")
    model, config = first_run["model"], "tiny.yaml"
    words = {
        "plan": [config],
        "explain": [config, "pretrain", "--set", "pretrain.seed=3"],
        "status": ["--store", "store"],
        "verify": [config],
        "prune": [config, "--dry-run"],
        "ledger": [config],
        "fill-mask": [model, "Return the <mask>."],
        "score": [model, "two.txt"],
        "export": [model, "--to", "documented"],
        "report": [config],
    }
    found = {"run": {key: value for key, value in first_run.items() if key != "stderr"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(roberta.folder)
        for name, arguments in words.items():
            command = roberta_group.get_command(click.Context(roberta_group), name)
            assert command is not None
            done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            found[name] = json.loads(done.stdout)
    return found


def test_json_has_the_fields_that_the_guide_names(printed: dict[str, Any]) -> None:
    """All of them and no others; of entries in lists none that the guide does not name."""
    told = {name: json_fields(rows["JSON"]) for name, rows in sections().items()}
    assert set(printed) == {name for name in told if name != "schema"}
    for name, document in printed.items():
        assert set(document) == set(told[name]), name
        for field, entries in document.items():
            for entry in _mappings(entries):
                assert set(entry) <= told[name][field], (name, field)


def _mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list, or in the lists in it."""
    if not isinstance(value, list):
        return []
    return [
        entry
        for item in value
        for entry in (_mappings(item) if isinstance(item, list) else [item])
        if isinstance(entry, dict)
    ]
