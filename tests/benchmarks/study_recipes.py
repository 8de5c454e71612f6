"""What else might help the first model: one thing changed at a time, several seeds.

Every training is the quickstart's model, vocabulary 8,192, in one process and thread, over the
same amount of text whatever the vocabulary, the row length and the batch. So time does not
decide, and other work on the machine moves only the seconds. Some hours in all; --only chooses.

    bits a byte    cross-entropy at <mask>, over the bytes of a mean token: comparable between
                   vocabularies, which the share of right guesses is not
"""

import argparse
import json
import math
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from material import Material, corpora, material
from paired import Comparison, Figures, parser, passed_on, run_worker

from roberta_model.config import ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import MaskingRecipe, OptimizerRecipe, Schedule, StartRecipe
from roberta_model.scoring import masked_loss
from roberta_model.training.loop import Training
from roberta_model.training.spec import TrainingSpec

_QUICK_STEPS = 5


@dataclass(frozen=True)
class Variant:
    """The quickstart's recipe, and what of it is another."""

    row_tokens: int = 128
    vocab_size: int = 8192
    step_tokens: int = 8192
    layers: int = 2
    width: int = 128
    start: str = "local"
    kind: str = "muon"
    rate: float = 5e-3
    matrix_rate: float = 0.02
    deviation: float = 0.05
    whole_word: bool = False
    schedule: Schedule = Schedule()
    averaged: float | None = None  # share of the steps that an average of the weights looks back

    @property
    def optimizer(self) -> OptimizerRecipe:
        """The rates of the optimiser's kind."""
        if self.kind == "adam":
            return OptimizerRecipe("adam", self.rate)
        return OptimizerRecipe("muon", self.rate, matrix_learning_rate=self.matrix_rate)


_WSD = Schedule("wsd", decay_share=0.3)
VARIANTS = {
    "as it is": Variant(),
    "rows of 64": Variant(row_tokens=64),
    "rows of 256": Variant(row_tokens=256),
    "vocabulary 4k": Variant(vocab_size=4096),
    "vocabulary 16k": Variant(vocab_size=16_384),
    "whole words": Variant(whole_word=True),
    "wsd": Variant(schedule=_WSD),
    "EMA": Variant(averaged=0.05),
    "constant, EMA": Variant(schedule=Schedule("constant"), averaged=0.1),
    "rate 3e-3": Variant(rate=3e-3),
    "rate 8e-3": Variant(rate=8e-3),
    "matrix rate 0.014": Variant(matrix_rate=0.014),
    "matrix rate 0.03": Variant(matrix_rate=0.03),
    "batch halved": Variant(step_tokens=4096),
    "tiny": Variant(width=128, kind="adam", rate=3e-3),
    "small": Variant(layers=4, width=256, kind="adam", rate=1.5e-3, deviation=0.03),
    "tiny, Muon": Variant(width=128),
    "small, Muon": Variant(layers=4, width=256, rate=3e-3, deviation=0.03),
    "tiny, plain": Variant(start="plain", kind="adam", rate=3e-3, deviation=0.02),
    "small, plain": Variant(
        layers=4, width=256, start="plain", kind="adam", rate=1.5e-3, deviation=0.02
    ),
}


def main() -> None:
    """Train and print, or be one of the workers."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--megabytes", type=float, default=8, help="of text in each training")
    made.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    made.add_argument("--corpus", default="docstrings")
    made.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = made.parse_args()
    if options.quick:
        options.corpus, options.only = next(iter(corpora(quick=True))), options.only[:2]
    if options.worker:
        print(json.dumps(measure(options)))
        return
    compare(options)


def compare(options: argparse.Namespace) -> None:
    """Seed after seed; a table of medians."""
    rounds = 1 if options.quick else options.rounds
    comparison = Comparison(
        f"{options.megabytes:.0f} MB of {options.corpus}, {rounds} seeds",
        {
            "accuracy": "% right at &lt;mask&gt;",
            "bits": "bits a byte",
            "million_tokens": "M tokens",
            "seconds": "s",
        },
        ("ours throughout; one process, one thread",),
    )
    arguments = ["--corpus", options.corpus, "--megabytes", str(options.megabytes)]
    for seed in range(rounds):
        seeded = ["--seed", str(seed), *arguments, *passed_on(options)]
        comparison.run(
            {f"ours, {name}": partial(_worker, name, seeded) for name in options.only},
            1,
        )
    comparison.show(options)


def _worker(name: str, arguments: list[str]) -> Figures:
    return run_worker(__file__, "--worker", name, *arguments, threads=1)


def measure(options: argparse.Namespace) -> Figures:
    """One training and its scores."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    variant = VARIANTS[options.worker]
    found = material(options, variant.row_tokens, options.corpus, variant.vocab_size)
    counts = np.load(found.token_counts)
    text_bytes = sum(len(text.encode()) for text in found.documents("clean", "train/"))
    token_bytes = text_bytes / counts.sum()
    steps = round(options.megabytes * 1e6 / token_bytes / variant.step_tokens)
    steps = _QUICK_STEPS if options.quick else steps
    with tempfile.TemporaryDirectory() as folder:
        spec = make_spec(variant, found, Path(folder), options.seed, steps)
        began = time.monotonic()
        training = Training(spec, Accelerator(cpu=True))
        train(training, variant.averaged)
        seconds = time.monotonic() - began
    tables, rows = MaskingTables.load(found.tables), PackedRows(found.held_out)
    score = masked_loss(training.model.float(), rows, tables).model.mask
    return {
        "accuracy": 100 * score.accuracy,
        "bits": score.loss / math.log(2) / token_bytes,
        "million_tokens": steps * variant.step_tokens / 1e6,
        "seconds": seconds,
    }


def train(training: Training, averaged: float | None) -> None:
    """Train to the end; the model then holds its weights, or their moving average."""
    steps, master = training.spec.steps, training.flat.master
    assert steps is not None
    mean = master.clone()
    for result in training.run(steps, lambda: False):
        if averaged is not None:
            mean.lerp_(master, max(1 / (averaged * steps), 1 / result.step))
    if averaged is not None:
        master.copy_(mean)
        training.flat.publish()


def make_spec(
    variant: Variant, found: Material, folder: Path, seed: int, steps: int
) -> TrainingSpec:
    """What a variant trains."""
    tables = MaskingTables.load(found.tables)
    width = variant.width
    shape = ModelConfig(tables.vocab_size, variant.layers, width, width // 32, 4 * width)
    model = replace(shape, max_row_tokens=variant.row_tokens, initializer_range=variant.deviation)
    start = StartRecipe()
    if variant.start == "local":
        start = found.local_start(model, seed, folder)
    return TrainingSpec(
        rows=found.rows,
        tables=str(found.tables),
        folder=str(folder),  # nothing is saved
        model=model,
        steps=steps,
        batch_rows=variant.step_tokens // variant.row_tokens,
        seed=seed,
        masking=MaskingRecipe(rate=0.3, rate_end=0.15, whole_word=variant.whole_word),
        optimizer=variant.optimizer,
        schedule=variant.schedule,
        start=start,
    )


if __name__ == "__main__":
    main()
