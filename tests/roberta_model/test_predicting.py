"""Logits of many rows: each row's own, in order, whatever they are batched with."""

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
