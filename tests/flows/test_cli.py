"""How a command ends: every exception's way to its exit code and its words."""

import datetime
import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from flows import cli
from flows.console import command_name
from tasks.errors import StageError, UserError


def aborted(cause: BaseException) -> click.Abort:
    """What click makes of an interruption."""
    problem = click.Abort()
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (UserError("a.yaml: no."), 2, "roberta: a.yaml: no."),
        (StageError("pack: no."), 1, "roberta: pack: no."),
        (click.UsageError("no such option"), 2, "no such option"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (KeyboardInterrupt(), 130, "stopped. What is finished is kept"),
        (KeyboardInterrupt("To go on: this"), 130, "stopped. To go on: this"),
        (aborted(KeyboardInterrupt()), 130, "stopped."),
        (cli.Terminated(), 143, "stopped."),
        (aborted(cli.Terminated()), 143, "stopped."),
        (click.exceptions.Exit(1), 1, ""),
        (None, 0, ""),
    ],
)
def test_each_ending_has_its_code(
    problem: BaseException | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def end(**_: object) -> int:
        if isinstance(problem, click.exceptions.Exit):
            return problem.exit_code  # as click's own main does without standalone mode
        if problem is not None:
            raise problem
        return 0

    monkeypatch.setattr(cli.roberta, "main", end)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("problem", [EOFError("the data end"), ValueError("a defect")])
def test_a_defect_is_no_interruption(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Click takes an EOFError for Ctrl-D; a traceback is what a defect deserves."""
    raised = aborted(problem) if isinstance(problem, EOFError) else problem

    def end(**_: object) -> int:
        raise raised

    monkeypatch.setattr(cli.roberta, "main", end)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(type(problem)):
        cli.main()


def test_hints_can_be_pasted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the shell does not find `roberta`, its path as it was typed."""
    script = tmp_path / "roberta"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    assert command_name() == str(script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_name() == "roberta"
    monkeypatch.setattr(sys, "argv", ["/some/pytest"])
    assert command_name() == "roberta"


def test_a_shell_can_complete_commands() -> None:
    """As the README says: click's own completion, through the console script's main."""
    program = "import sys; sys.argv = ['roberta']; from flows.cli import main; main()"
    asked = {"_ROBERTA_COMPLETE": "bash_complete", "COMP_WORDS": "roberta fil", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin", "PYTHONPATH": str(Path(cli.__file__).parents[1]), **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,fill-mask"], done.stderr


def test_a_json_document_holds_what_a_table_may(capsys: pytest.CaptureFixture[str]) -> None:
    cli.print_json({"d": datetime.date(2020, 1, 2), "x": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"d": "2020-01-02", "x": None}
