"""A model with the new head is saved, read again, and is what stock makes of the folder."""

from pathlib import Path

import torch
from small_models import draw_weights, random_ids, small_config
from transformers import RobertaForTokenClassification

from roberta_model.architectures import HEADS, load_model
from roberta_model.huggingface import save_model

config, labels = small_config(), ("name", "place", "other")
head = HEADS["RobertaForTokenClassification"]
model = head(config, labels).on_encoder(config)  # type: ignore[call-arg]
draw_weights(model, 3)
save_model(model.eval(), Path("model"))
stock = RobertaForTokenClassification.from_pretrained("model").eval()
assert stock.config.id2label == dict(enumerate(labels))
ids, mask = random_ids((2, 12), config.vocab_size, [12, 7])
with torch.inference_mode():
    expected = stock(input_ids=ids, attention_mask=mask).logits[mask.bool()]
    for found in (model, load_model(Path("model"))):
        logits = found(ids, mask)[mask.bool()]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
