"""Whatever a text, a name or a model holds, it is shown on a terminal and never steers it."""

import io
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import cli, console
from flows.commands.tables import new_table, show_all
from flows.terminal import printable, printable_json

# Clear the screen, the same with one C1 byte, go to the line's start, turn what follows around.
HOSTILE = "a\x1b[2J\x9b2J\rb\u202egnp.exe\u2066\u2028"
SHOWN = r"a\x1b[2J\x9b2J\x0db\u202egnp.exe\u2066\u2028"


def unsafe(text: str) -> list[str]:
    """The characters that would steer a terminal."""
    return [c for c in text if (not c.isprintable() and c not in "\n\t ") or c in HOSTILE[1:2]]


def test_words_of_every_script_and_emoji_stay_as_they_are() -> None:
    """Joiners are part of words in Persian and Hindi, and of emoji."""
    text = "Größe\tмир 世界\nनमस्‍ते می‌خواهم 👩‍💻"
    assert printable(text) == text
    assert printable(HOSTILE) == SHOWN


def test_a_cell_of_a_table_is_no_row_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a line feed in it could say that all is done; tags that nobody sees are shown."""
    table = new_table("run", "why")
    table.add_row("evil\nforged  done", ["one reason", "another\tone \U000e0041\u200f"])
    show_all(table)
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("forged") for line in lines)
    assert r"evil\x0aforged" in "".join(lines)
    assert len(lines) == 3, "the reasons stand below each other"
    assert r"another\x09one \U000e0041\u200f" in "".join(lines)
    assert json.loads(printable_json('"\x7f\U000e0041"')) == "\x7f\U000e0041"


def test_json_says_the_same_in_escapes() -> None:
    """A program reads what there is; a terminal is not steered by it."""
    text = printable_json(json.dumps({HOSTILE: [HOSTILE]}, ensure_ascii=False))
    assert not unsafe(text)
    assert json.loads(text) == {HOSTILE: [HOSTILE]}


def test_tables_and_lines_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """What commands list: runs, files, reasons, each in its cell."""
    table = new_table("file", "why")
    table.add_row(HOSTILE, "[bold]no markup[/bold]")
    show_all(f"store {HOSTILE}", table)
    out = capsys.readouterr().out
    assert not unsafe(out)
    assert out.count("gnp.exe") == 2
    assert "[bold]no markup[/bold]" in out


@pytest.mark.parametrize("verbose", [False, True])
def test_log_lines_are_printable(verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files reach the log, and the log a terminal."""
    root, lines = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level
    try:
        root.handlers.clear()
        monkeypatch.setattr(sys, "stderr", lines)
        console.configure_logging(verbose)
        logging.getLogger("tasks.sources").warning("%s is odd", HOSTILE)
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    assert f"{SHOWN} is odd\n" in lines.getvalue()


def run(*arguments: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(cli, "configure_logging", lambda verbose: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["roberta", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    return str(capsys.readouterr().err)


def test_errors_are_printable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ours and those about arguments name what they are about, as escapes."""
    for arguments in (
        ("fill-mask", str(tmp_path / HOSTILE), "A <mask>."),
        ("score", str(tmp_path), str(tmp_path / HOSTILE)),
        (HOSTILE,),
    ):
        err = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
        assert not unsafe(err), ascii(err)
        assert "gnp.exe" in err
