"""A model with the new head is saved, read again, and is what stock makes of the folder."""

from pathlib import Path

import torch
from small_models import draw_weights, random_ids, small_config
from transformers import RobertaForMultipleChoice

from roberta_model.architectures import HEADS, load_model
from roberta_model.huggingface import save_model

config = small_config()
model = HEADS["RobertaForMultipleChoice"](config).on_encoder(config)  # type: ignore[call-arg]
draw_weights(model, 3)
save_model(model.eval(), Path("model"))
stock = RobertaForMultipleChoice.from_pretrained("model").eval()
ids, mask = random_ids((3, 12), config.vocab_size, [12, 7, 9])
with torch.inference_mode():
    expected = stock(input_ids=ids[None], attention_mask=mask[None]).logits
    for found in (model, load_model(Path("model"))):
        torch.testing.assert_close(found(ids, mask).T, expected, atol=1e-5, rtol=0)
