"""Logits of many rows: each row's own, in order, whatever they are batched with."""

import time

import numpy as np
import pytest
import torch
from small_models import draw_weights, random_ids, small_config

from roberta_model import predicting
from roberta_model.heads import (
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.predicting import logits_of
from roberta_model.threads import map_in_threads

CONFIG = small_config(60)
LENGTHS = [3, 24, 7, 24, 3, 11, 5, 1, 18, 2]


def model_of(kind: str) -> RobertaWithHead:
    head = SequenceClassificationHead if kind == "sequence" else TokenClassificationHead
    model = head(CONFIG, ("a", "b", "c")).on_encoder(CONFIG)
    draw_weights(model)
    return model.eval()


@pytest.mark.parametrize("kind", ["sequence", "tokens"])
@pytest.mark.parametrize(("most_rows", "batch_tokens"), [(1024, 4096), (3, 4096), (4, 1)])
def test_every_row_has_the_logits_that_it_has_alone(
    kind: str, most_rows: int, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, without those of padding; past the rows that are cut into batches at once."""
    monkeypatch.setattr(predicting, "_MOST_ROWS", most_rows)
    ids_BT, _ = random_ids((len(LENGTHS), 24), CONFIG.vocab_size)
    rows = [ids_BT[n, :length].tolist() for n, length in enumerate(LENGTHS)]
    model = model_of(kind)
    found = logits_of(model, rows, batch_tokens)
    assert len(found) == len(rows)
    for row, logits in zip(rows, found, strict=True):
        with torch.inference_mode():
            alone = model(torch.tensor([row]))[0].numpy()
        assert logits.shape == ((3,) if kind == "sequence" else (len(row), 3))
        assert np.abs(logits - alone).max() < 1e-5


def test_of_no_rows_there_are_no_logits() -> None:
    assert logits_of(model_of("sequence"), []) == []


@pytest.mark.parametrize("kind", ["sequence", "tokens"])
def test_any_number_of_threads_computes_the_same_bits(kind: str) -> None:
    """Each forward pass is one thread's, and torch is set afterwards as it was before."""
    ids_BT, _ = random_ids((40, 24), CONFIG.vocab_size)
    rows = [row.tolist()[: 1 + n % 24] for n, row in enumerate(ids_BT)]
    model, before = model_of(kind), torch.get_num_threads()
    one, three = (logits_of(model, rows, 64, workers=workers) for workers in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))
    assert torch.get_num_threads() == before


def test_an_error_in_a_thread_is_told_and_the_rest_not_begun() -> None:
    begun: list[int] = []

    def compute(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        time.sleep(0.01)
        return number

    with pytest.raises(ValueError, match="three"):
        map_in_threads(compute, range(1000), workers=2)
    assert len(begun) < 1000


def test_each_part_is_one_threads_work() -> None:
    """Sums are then added up in one order, whatever torch is set to elsewhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for workers in (1, 2):
            found = map_in_threads(lambda _: torch.get_num_threads(), [1, 2], workers)
            assert found == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
