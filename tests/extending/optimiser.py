"""The config offers it; steps are what the paper says; state comes back bit for bit."""

import torch

from roberta_model.config import ModelConfig
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import OptimizerRecipe
from roberta_model.training.flat import FlatWeights
from roberta_model.training.optimizer import Optimizer
from tasks.config.pretrain import OptimizerConfig

recipe = OptimizerConfig.model_validate({"kind": "lion", "learning_rate": 0.01}).recipe()
sizes = ModelConfig(
    160, num_layers=2, width=32, num_heads=4, feedforward_width=48, max_row_tokens=24
)
flat = FlatWeights(RobertaMaskedLM(sizes), torch.float32)
gradient = torch.ones_like(flat.master)
optimizer = Optimizer(flat, gradient, recipe)
before = flat.master.clone()
optimizer.step(1.0, factor=0.5)
assert recipe == OptimizerRecipe("lion", 0.01)
(span,) = (span for span in flat.spans if span.name == "matrices")
moved = (before * (1 - 0.005 * 0.01) - flat.master)[span.start : span.stop]
assert torch.allclose(moved, torch.full_like(moved, 0.005), atol=1e-6)
other = Optimizer(flat, gradient, recipe)
other.load(optimizer.state())
assert all(torch.equal(value, other.state()[name]) for name, value in optimizer.state().items())
