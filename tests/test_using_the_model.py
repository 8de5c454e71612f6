"""`docs/using-the-model.md` is true: every block of it is run, in order, as a reader would."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stock_folders import SENTENCES, stock_folder

from flows.cli import roberta

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "using-the-model.md"
FAILS = "# fails\n"


def blocks() -> list[tuple[str, str]]:
    """(language, text) of every fenced block."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    assert {language for language, _ in found} == {"python", "console"}
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the folders and files that the guide's names stand for."""
    folder = tmp_path_factory.mktemp("using")
    stock_folder(folder / "artifacts/latest/model")
    stock_folder(folder / "artifacts/classifier", "RobertaForSequenceClassification")
    stock_folder(folder / "artifacts/tagger", "RobertaForTokenClassification")
    stock_folder(folder / "artifacts/reader", "RobertaForQuestionAnswering")
    (folder / "sentences.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    (folder / "reviews.csv").write_text("stars,review\n5,It was a joy.\n1,It was not.\n")
    return folder


def run_console(text: str) -> None:
    """Every line that begins with `$ roberta`; there are no others."""
    for line in text.splitlines():
        assert line.startswith("$ roberta "), line
        done = CliRunner().invoke(roberta, shlex.split(line)[2:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.stdout


def test_every_block_does_what_it_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one session; those that are said to fail do, and for the reasons given."""
    monkeypatch.chdir(place)
    session: dict[str, Any] = {}
    failed = 0
    for language, text in blocks():
        if language == "console":
            run_console(text)
        elif text.startswith(FAILS):
            failed += 1
            with pytest.raises((RuntimeError, ValueError), match="(?i)scalar"):
                exec(compile(text, str(GUIDE), "exec"), session)
            assert session["index"].numel() == 0, "a mask was found after all"
        else:
            exec(compile(text, str(GUIDE), "exec"), session)
    assert failed == 1
