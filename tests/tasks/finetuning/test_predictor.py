"""Where a fine-tuned folder's answers are computed, and that it does not matter to them."""

from pathlib import Path

import pytest
import torch
from stock_folders import stock_folder

from tasks.config import LaunchConfig
from tasks.errors import UserError
from tasks.evaluation.device import Device
from tasks.finetuning.items import Item
from tasks.finetuning.predictor import Predictor

_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering")


@pytest.mark.parametrize("head", _HEADS)
def test_any_number_of_processors_gives_the_same_answers(head: str, tmp_path: Path) -> None:
    """To the bit, in order, of rows enough for several forward passes."""
    stock_folder(tmp_path, f"RobertaFor{head}")
    predictor = Predictor(tmp_path, "cpu")
    words = ["Rome", "is", "a", "town"] * 5
    text: str | list[str] = words if head == "TokenClassification" else " ".join(words)
    context = f"{text} " * 5 if head == "QuestionAnswering" else None
    items = [Item(str(n), text[n % 9 :], context, None) for n in range(90)]
    answers = []
    for workers in (1, 3):
        predictor._workers = workers
        answers.append(predictor(items))
    assert len(answers[0]) == 90
    assert answers[0] == answers[1]


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    stock_folder(tmp_path, "RobertaForSequenceClassification")
    with pytest.raises(UserError, match="no device 'mine'"):
        Predictor(tmp_path, "mine")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("name", ["auto", "cpu", "gpu"])
def test_where_answers_are_scored_is_as_the_engine_says(name: str) -> None:
    """The GPU that is asked for and is not there is told of; nobody waits for a CPU instead."""
    device = Device(LaunchConfig.model_validate({"device": name}).device)
    if name == "gpu":
        with pytest.raises(UserError, match="torch finds no GPU"):
            device.on_this_machine()
    else:
        assert device.on_this_machine() == "cpu"
