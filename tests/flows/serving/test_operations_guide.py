"""`docs/operations.md`: every command in it, run as it stands there, one after the other."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from served import LONG, Served

from tasks.config.operations import OperationsConfig

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def commands() -> list[list[str]]:
    """The `roberta` lines of the guide's shell blocks, in order, without the word itself."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


@pytest.mark.slow
def test_every_command_of_the_guide_runs(serving: Served) -> None:
    """`serve` is what they talk to; before `retry` something failed, before `cancel` it runs."""
    told = commands()
    assert told[0] == ["serve", "letters.yaml"]
    for words in told[1:]:
        if words[0] == "retry":
            broken = serving.command.folder / "texts" / "broken.jsonl"
            broken.write_text("{broken\n")
            run = serving.start("pretrain/letters", until="download")
            assert serving.wait(run)["state_type"] == "FAILED"
            broken.unlink()
        elif words[0] == "cancel":
            serving.wait(run, "COMPLETED")
            run = serving.start("pretrain/letters", config=serving.config_with(pretrain=LONG))
            serving.until(serving.trainers, 120)
        elif words[:2] == ["run", "letters.yaml"]:
            serving.wait(run, "CANCELLED")
        store = [] if words[0] in ("deploy", "run") else ["--store", "store"]
        done = serving.command(*words, *store)
        assert done.code == 0 or (words[0] == "doctor" and done.code == 1), (words, done)
        assert "Traceback" not in done.err


def test_the_settings_in_the_guide_are_settings() -> None:
    """The YAML that it shows is what a config takes."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    for block in blocks:
        OperationsConfig.model_validate(yaml.safe_load(block)["operations"])
