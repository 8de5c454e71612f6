"""What the shell is offered: presets, stages, runs and names, and never an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from flows.cli import roberta
from tasks.stages import KNOWN_STAGES


def offered(*words: str, incomplete: str = "") -> dict[str, str | None]:
    """What is offered for the next word, with the help beside it; paths by their kind."""
    items = ShellComplete(roberta, {}, "roberta", "_ROBERTA_COMPLETE").get_completions(
        list(words), incomplete
    )
    return {item.value if item.type == "plain" else f"({item.type})": item.help for item in items}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose store has the records of two runs, and one that is torn."""
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "artifacts" / "runs"
    runs.mkdir(parents=True)
    for number, name in enumerate(("letters", "mail")):
        record = {"format": 2, "run": f"{number}f-{name}", "name": name, "state": "failed"}
        record |= {"started": f"2026-01-0{number + 1}", "stages": []}
        (runs / f"{record['run']}.json").write_text(json.dumps(record))
    (runs / "torn.json").write_text("{")
    return tmp_path / "artifacts"


@pytest.mark.parametrize("command", ["run", "plan", "ledger", "verify", "prune", "serve", "deploy"])
def test_a_config_is_a_preset_or_a_file(command: str) -> None:
    """Presets that begin so, and the shell's own files."""
    assert {"quickstart", "base", "nightly", "(file)"} <= set(offered(command))
    assert set(offered(command, incomplete="qu")) == {"quickstart", "(file)"}


@pytest.mark.parametrize(
    "words",
    [
        ("run", "quickstart", "--until"),
        ("run", "quickstart", "--force"),
        ("run", "quickstart", "--from"),
        ("plan", "quickstart", "--until"),
        ("explain", "quickstart"),
    ],
)
def test_a_stage_is_one_of_the_pipelines(words: tuple[str, ...]) -> None:
    """All of them in their order, or those that begin so."""
    assert list(offered(*words)) == list(KNOWN_STAGES)
    assert list(offered(*words, incomplete="p")) == ["pack", "pretrain", "publish"]


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_a_run_is_one_of_the_store(command: str, store: Path) -> None:
    """The newest first, with name and state beside its id; of another store by `--store`."""
    assert offered(command) == {"1f-mail": "mail, failed", "0f-letters": "letters, failed"}
    assert list(offered(command, incomplete="0")) == ["0f-letters"]
    store.rename(store.with_name("elsewhere"))
    assert offered(command) == {}
    assert len(offered(command, "--store", "elsewhere")) == 2
    assert offered(command, "--store", "s3://nowhere/at-all") == {}


def test_models_are_folders_and_names(store: Path) -> None:
    """A folder where one is needed; for lineage names of pipelines and files too."""
    for command in ("fill-mask", "score", "embed", "export"):
        assert list(offered(command)) == ["(dir)"]
    assert list(offered("lineage")) == ["mail", "letters", "(file)"]
    (store / "runs" / "later.json").write_text(json.dumps({"format": 99}))
    assert list(offered("lineage")) == ["(file)"]  # what cannot be read is no error here


def test_a_key_is_not_waited_for() -> None:
    """Nothing heavy is imported, in a process of its own as a shell starts it."""
    program = "import sys; sys.argv = ['roberta']; from flows.cli import main; main()"
    root = Path(__file__).resolve().parents[2]
    asked = {"COMP_WORDS": "roberta plan quickstart --until pre", "COMP_CWORD": "4"}
    environment = {
        "PATH": "/usr/bin",
        "PYTHONPATH": str(root),
        "_ROBERTA_COMPLETE": "bash_complete",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program],
        env=environment | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,pretrain"]
    heavy = {"torch", "prefect", "transformers", "pyarrow"}
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not heavy & imported
