"""First weights and optimisers at equal time, several seeds, on the corpora that there are.

    plain        RoBERTa's own start: everything drawn, Adam
    local        heads that look next door, token frequencies in the bias, SVD embeddings; Adam
    local, Muon  the same with Muon for the layers' matrices, as the quickstart trains

Each training is the quickstart's model, vocabulary 8,192, in one process, with a schedule laid
over as many steps as fit into --seconds, which are measured first; Adam at 3e-3, beside Muon at
5e-3. Scored on held-out rows with frozen masks.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
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
from roberta_model.recipe import MaskingRecipe, OptimizerRecipe, StartRecipe
from roberta_model.scoring import masked_loss
from roberta_model.training.loop import Training
from roberta_model.training.spec import TrainingSpec

VARIANTS = {
    "plain": "ours, start: plain",
    "local": "ours, start: local",
    "local-muon": "ours, start: local, Muon",
}
_ROW_TOKENS, _BATCH_ROWS = 128, 32
_PROBE_STEPS = 20


def main() -> None:
    """Measure and print, or be one of the workers."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--seconds", type=float, default=60, help="of each training")
    made.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    made.add_argument("--corpus", help="only this one")
    options = made.parse_args()
    if options.worker:
        print(json.dumps(measure(options)))
        return
    for corpus in [options.corpus] if options.corpus else corpora(options.quick):
        compare(corpus, options)


def compare(corpus: str, options: argparse.Namespace) -> None:
    """All variants on one corpus, seed after seed; a table of medians."""
    material(options, _ROW_TOKENS, corpus, 8192)
    rounds = 1 if options.quick else options.rounds
    comparison = Comparison(
        f"{options.seconds:.0f} s of training on {corpus}, {rounds} seeds",
        {
            "accuracy": "% right at &lt;mask&gt;",
            "perplexity": "perplexity",
            "million_tokens": "M tokens",
            "prepare_seconds": "s before it",
        },
        ("s before it: counting the token vectors, which the pipeline does once and keeps",),
    )
    arguments = ["--corpus", corpus, "--seconds", str(options.seconds), *passed_on(options)]
    for seed in range(rounds):
        seeded = ["--seed", str(seed), *arguments]
        comparison.run(
            {title: partial(_worker, name, seeded, options) for name, title in VARIANTS.items()},
            1,
        )
    comparison.show(options)


def _worker(name: str, arguments: list[str], options: argparse.Namespace) -> Figures:
    return run_worker(__file__, "--worker", name, *arguments, threads=options.threads)


def measure(options: argparse.Namespace) -> Figures:
    """One training and its scores."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    found = material(options, _ROW_TOKENS, options.corpus, 8192)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        spec = make_spec(options, found, Path(folder))
        prepared = time.monotonic() - began
        steps = _PROBE_STEPS if options.quick else steps_for(spec, options.seconds)
        training = Training(replace(spec, steps=steps), Accelerator(cpu=True))
        for _ in training.run(steps, lambda: False):
            pass
    score = masked_loss(
        training.model.float(), PackedRows(found.held_out), MaskingTables.load(found.tables)
    )
    return {
        "accuracy": 100 * score.model.mask.accuracy,
        "perplexity": score.model.total.perplexity,
        "million_tokens": steps * _BATCH_ROWS * _ROW_TOKENS / 1e6,
        "prepare_seconds": prepared,
    }


def make_spec(options: argparse.Namespace, found: Material, folder: Path) -> TrainingSpec:
    """The quickstart's training with one of the starts."""
    tables = MaskingTables.load(found.tables)
    model = ModelConfig(
        tables.vocab_size, 2, 128, 4, 512, max_row_tokens=_ROW_TOKENS, initializer_range=0.05
    )
    start = StartRecipe()
    if options.worker != "plain":
        start = found.local_start(model, options.seed, folder)
    muon = OptimizerRecipe("muon", 5e-3, matrix_learning_rate=0.02)
    adam = OptimizerRecipe("adam", 3e-3)
    return TrainingSpec(
        rows=found.rows,
        tables=str(found.tables),
        folder=str(folder),  # nothing is saved
        model=model,
        steps=10_000,
        batch_rows=_BATCH_ROWS,
        seed=options.seed,
        masking=MaskingRecipe(rate=0.3, rate_end=0.15),
        optimizer=muon if options.worker == "local-muon" else adam,
        start=start,
    )


def steps_for(spec: TrainingSpec, seconds: float) -> int:
    """How many steps fit into the time, from a few that are not used otherwise."""
    probe, times = Training(spec, Accelerator(cpu=True)), []
    for _ in probe.run(_PROBE_STEPS, lambda: False):
        times.append(time.monotonic())
    return max(1, round(seconds / float(np.median(np.diff(times[2:])))))


if __name__ == "__main__":
    main()
