"""A folder that gets a newer model while it is read: what is opened is one of the two, whole."""

import json
from pathlib import Path

import pytest
from stock_folders import stock_folder

from roberta_model import load
from roberta_model.architectures import load_model
from roberta_model.inference.one_state import read_in_one_state
from roberta_model.inference.unusable import UnusableError
from roberta_model.weight_files import WeightFiles


def name_classes(folder: Path, *names: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"id2label": {str(n): name for n, name in enumerate(names)}}
    path.write_text(json.dumps(config), encoding="utf-8")


def test_a_model_published_while_an_older_one_is_opened_is_the_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its classes, its weights and its record; of the older one nothing is left."""
    older, newer = tmp_path / "model", tmp_path / "newer"
    for seed, place in enumerate((older, newer)):
        stock_folder(place, "RobertaForSequenceClassification", seed=seed)
        name_classes(place, *(f"{place.name} {n}" for n in range(2)))
    expected = load(newer).classify(["Rome"])
    usual, is_swapped = WeightFiles.__enter__, False

    def swapping(files: WeightFiles) -> WeightFiles:
        nonlocal is_swapped
        if not is_swapped:  # its classes are read already
            older.rename(tmp_path / "away")
            newer.rename(older)
            is_swapped = True
        return usual(files)

    monkeypatch.setattr(WeightFiles, "__enter__", swapping)
    model = load(older)
    assert is_swapped
    assert model.classify(["Rome"]) == expected


def test_what_a_model_reads_is_what_was_beside_it_when_it_was_opened(tmp_path: Path) -> None:
    """Not what is there by the time that it is asked."""
    stock_folder(tmp_path, "RobertaForTokenClassification")
    model = load(tmp_path)
    (tmp_path / "finetuning.json").write_text("{}", encoding="utf-8")
    assert len(model.tag("Rome is")) == 2
    with pytest.raises(UnusableError, match="this is not the record of a fine-tuning"):
        load(tmp_path).tag("Rome is")


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_folder_that_never_rests_is_refused(is_failing: bool, tmp_path: Path) -> None:
    """Whatever came of it; a failure that nobody's change explains is told as it is."""
    path = tmp_path / "config.json"
    calls = 0

    def change() -> int:
        nonlocal calls
        calls += 1
        path.write_text("x" * calls)
        if is_failing:
            raise ValueError("half a file")
        return calls

    with pytest.raises(UnusableError, match="were changed while they were being read"):
        read_in_one_state(tmp_path, change)
    assert calls == 3


def test_answers_written_into_the_folder_are_no_change(tmp_path: Path) -> None:
    def answer() -> str:
        (tmp_path / "answers.jsonl").write_text("{}")
        return "read"

    assert read_in_one_state(tmp_path, answer) == "read"
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=r"no config\.json"):
        read_in_one_state(nowhere, lambda: load_model(nowhere))
