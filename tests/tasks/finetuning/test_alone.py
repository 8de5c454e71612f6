"""A fine-tuning of a folder alone: who is at work on a folder is so by himself."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from small_finetuning import alone_config

from tasks.engine.progress import Progress
from tasks.errors import UserError
from tasks.finetuning import alone
from tasks.finetuning.alone import fine_tune_folder, unfinished


def tune(model: Path, out: Path, **settings: Any) -> dict[str, Any]:
    return fine_tune_folder(alone_config(model, **settings), out, Progress())


def hold(out: Path, is_held: Any) -> None:
    with alone._held(out):
        is_held.set()
        multiprocessing.Event().wait()


def test_two_into_one_folder_do_not_take_each_others_work(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    """The one that is done first would remove what the other has done; a killed one holds none."""
    context = multiprocessing.get_context("spawn")
    is_held = context.Event()
    other = context.Process(target=hold, args=(tmp_path / "out", is_held))
    other.start()
    try:
        assert is_held.wait(60)
        with pytest.raises(UserError, match=r"out: another `roberta finetune` is at work on it\."):
            tune(model_folder, tmp_path / "out", task="classify", **sentiment)
        assert unfinished(tmp_path / "out").is_dir(), "the other's work is gone"
    finally:
        other.kill()
        other.join()
    with alone._held(tmp_path / "out"):
        pass


def test_what_another_has_made_meanwhile_is_not_replaced(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not there when the command began, and is when the other lets go."""
    usual = alone._held

    def late(out: Path) -> Any:
        out.mkdir()
        (out / "config.json").write_text("theirs")
        return usual(out)

    monkeypatch.setattr(alone, "_held", late)
    with pytest.raises(UserError, match="out: something is there already"):
        tune(model_folder, tmp_path / "out", task="classify", **sentiment)
    assert (tmp_path / "out" / "config.json").read_text() == "theirs"
    assert not unfinished(tmp_path / "out").exists()


def test_a_folder_that_was_removed_while_it_was_taken_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two would hold two folders of one name."""
    usual, calls = alone._is_taken, 0

    def removed_once(folder: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            unfinished(tmp_path / "out").rmdir()
        return usual(folder)

    monkeypatch.setattr(alone, "_is_taken", removed_once)
    with alone._held(tmp_path / "out"):
        assert unfinished(tmp_path / "out").is_dir()
    assert calls == 2
