"""The training step beside stock transformers.

Paired, each in a process of its own in every round, on the same rows, masks and threads:

    stock           RobertaForMaskedLM as run_mlm trains it: fp32, dropout 0.1, logits of all
                    positions, labels -100 elsewhere, Trainer's AdamW, clipping at 1.0
    stock, tuned    the same in bf16 autocast without dropout (where there is bf16)
    stock, compiled on a GPU: tuned, and compiled
    ours, fp32      roberta_model.training.loop.Training
    ours, auto      the same in bf16 where there is bf16; masks are made on the way

The matmul roofline (two square matrices) is measured in every process, just before. On a GPU:

    python tests/benchmarks/bench_training.py --device cuda --size base
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import torch
from material import Material, material
from paired import Comparison, Figures, parser, passed_on, run_worker

from roberta_model.config import PRESETS, ModelConfig
from roberta_model.data.batches import MaskedBatch, MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import MaskingRecipe
from roberta_model.training.loop import Training
from roberta_model.training.precision import compute_type
from roberta_model.training.process import prepare
from roberta_model.training.spec import TrainingSpec

# Rows in a step, tokens in a row.
SHAPES = {"tiny": (32, 128), "small": (16, 256), "base": (256, 512)}
VARIANTS = {
    "stock": "stock transformers, fp32, dropout 0.1",
    "stock-bf16": "stock, bf16 autocast, no dropout",
    "stock-compiled": "stock, bf16 autocast, no dropout, compiled",
    "ours-fp32": "ours, fp32",
    "ours-auto": "ours, auto",
}
_ON_GPU = ("stock-bf16", "stock-compiled", "ours-auto")
_SECONDS = 8.0
_FEWEST_STEPS = 3
_WARM_STEPS = 2
_STOCK_TOKENS = 32_768  # of one forward pass: with logits of all positions, 13 to 25 GB at base
_ROOFLINE = {"cpu": 1024, "cuda": 8192}
_MASKED_SHARE = 0.15


def main() -> None:
    """Measure and print, or be one of the workers."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--size", choices=list(SHAPES), default="tiny")
    made.add_argument("--device", choices=list(_ROOFLINE), default="cpu")
    options = made.parse_args()
    rows, row_tokens = SHAPES[options.size]
    found = material(options, row_tokens)
    if options.worker:
        print(json.dumps(measure(options, found, rows)))
        return
    names = list(_ON_GPU)
    if options.device == "cpu":
        has_bf16 = compute_type("auto", torch.device("cpu")) == torch.bfloat16
        left_out = {"stock-compiled"} if has_bf16 else {"stock-compiled", "stock-bf16"}
        names = [name for name in VARIANTS if name not in left_out]
    comparison = Comparison(
        f"Training step, {options.size}: {rows} rows x {row_tokens} tokens",
        {"tokens_per_second": "tokens/s", "gflops": "useful GFLOP/s", "share": "% of roofline"},
        (
            "useful FLOPs: what a step cannot do without, the same for all: every layer for every "
            "token, but of the last one only keys and values; the rest of it and the head for the "
            "15 % masked; backward = 2 x forward. Work beyond that counts as nothing",
            f"roofline: matmul of {_ROOFLINE[options.device]} x {_ROOFLINE[options.device]} in the "
            "variant's precision, measured beside it",
            "stock gets its batches ready made; ours masks them while it trains",
        ),
    )
    arguments = ["--size", options.size, "--device", options.device, *passed_on(options)]
    comparison.run(
        {VARIANTS[name]: partial(_worker, name, arguments, options) for name in names},
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def _worker(name: str, arguments: list[str], options: argparse.Namespace) -> Figures:
    return run_worker(__file__, "--worker", name, *arguments, threads=options.threads)


def measure(options: argparse.Namespace, found: Material, batch_rows: int) -> Figures:
    """One variant's speed: whole steps for some seconds, after two that warm up."""
    torch.set_num_threads(options.threads)
    name = options.worker
    row_tokens = PackedRows(found.rows[:1]).row_tokens
    config = _config(options, found, row_tokens)
    device = torch.device(options.device)
    dtype = torch.float32 if name in ("stock", "ours-fp32") else compute_type("auto", device)
    if name.startswith("ours"):
        precision: Literal["fp32", "auto"] = "fp32" if name == "ours-fp32" else "auto"
        steps = our_steps(found, config, batch_rows, precision, options)
    else:
        steps = stock_steps(
            found, config, batch_rows, dtype, device, is_compiled=name == "stock-compiled"
        )
    roofline = matmul_gflops(dtype, device)
    for _ in range(_WARM_STEPS):
        next(steps)
    start, done = time.monotonic(), 0
    while done < _FEWEST_STEPS or (not options.quick and time.monotonic() - start < _SECONDS):
        next(steps)
        done += 1
    speed = done * batch_rows * row_tokens / (time.monotonic() - start)
    gflops = speed * flops_per_token(config, row_tokens) / 1e9
    return {"tokens_per_second": speed, "gflops": gflops, "share": 100 * gflops / roofline}


def _config(options: argparse.Namespace, found: Material, row_tokens: int) -> ModelConfig:
    shape = dict(vars(PRESETS[options.size]))
    if options.quick:
        shape["num_layers"] = 1
    vocab_size = MaskingTables.load(found.tables).vocab_size
    return ModelConfig(vocab_size=vocab_size, max_row_tokens=row_tokens, **shape)


def flops_per_token(config: ModelConfig, row_tokens: int) -> float:
    """Multiplications and additions that a step cannot do without, matrix products alone.

    Of the last layer only keys and values are needed at every position.
    """
    width = config.width
    keys_values = 4 * width**2
    rest = 4 * width**2 + 4 * width * config.feedforward_width + 4 * row_tokens * width
    head = 2 * width**2 + 2 * width * config.vocab_size
    full = (config.num_layers - 1) * (keys_values + rest) + keys_values
    return 3.0 * (full + _MASKED_SHARE * (rest + head))


def matmul_gflops(dtype: torch.dtype, device: torch.device, seconds: float = 0.5) -> float:
    """What a large matrix product reaches, GFLOP/s."""
    size = _ROOFLINE[device.type]
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    for _ in range(5):
        left @ right
    _wait_for(device)
    start, done = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        for _ in range(5):
            left @ right
        _wait_for(device)
        done += 5
    return 2.0 * size**3 * done / (time.monotonic() - start) / 1e9


def _wait_for(device: torch.device) -> None:
    """Until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def our_steps(
    found: Material,
    config: ModelConfig,
    batch_rows: int,
    precision: Literal["fp32", "auto"],
    options: argparse.Namespace,
) -> Iterator[Any]:
    """Our training, a step at a time; it is run as `roberta run` runs it."""
    num_steps = 100_000
    spec = TrainingSpec(
        rows=found.rows,
        tables=str(found.tables),
        folder=tempfile.gettempdir(),  # nothing is saved
        model=config,
        steps=num_steps,
        batch_rows=batch_rows,
        precision=precision,
        threads=options.threads,
        device="cpu" if options.device == "cpu" else "auto",
    )
    return Training(spec, prepare(spec)).run(num_steps, lambda: False)


def stock_steps(
    found: Material,
    config: ModelConfig,
    batch_rows: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    is_compiled: bool,
) -> Iterator[None]:
    """Stock's training, a step at a time; fp32 is run_mlm as it comes, bf16 is tuned."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import RobertaConfig, RobertaForMaskedLM

    values = config.to_huggingface()
    if dtype == torch.bfloat16:
        values.update(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = RobertaForMaskedLM(RobertaConfig(**values)).train().to(device)
    run: Any = torch.compile(model) if is_compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    micro_rows = max(1, _STOCK_TOKENS // config.max_row_tokens)
    is_bf16 = dtype == torch.bfloat16
    for batch in stock_batches(found, batch_rows, device):
        for start in range(0, batch_rows, micro_rows):
            part = {name: rows[start : start + micro_rows] for name, rows in batch.items()}
            with torch.autocast(device.type, dtype) if is_bf16 else nullcontext():
                loss = run(**part).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # a Trainer that logs waits for it, as ours does each step
        yield


def stock_batches(
    found: Material, batch_rows: int, device: torch.device
) -> Iterator[dict[str, torch.Tensor]]:
    """The batches ours trains on, as stock takes them; eight of them, again and again."""
    rows = PackedRows(found.rows)
    order = SampleOrder(0, rows.num_rows, batch_rows)
    tables = MaskingTables.load(found.tables)
    batches = MaskedBatches(rows, order, Masking(tables, MaskingRecipe(), 0), 100_000)
    ready = [_as_stock(batches.batch(step).to(device)) for step in range(8)]
    while True:
        yield from ready


def _as_stock(batch: MaskedBatch) -> dict[str, torch.Tensor]:
    labels = torch.full_like(batch.input_ids_BT, -100)
    labels.view(-1)[batch.positions_M] = batch.targets_M
    return {
        "input_ids": batch.input_ids_BT,
        "attention_mask": torch.ones_like(labels),
        "labels": labels,
    }


if __name__ == "__main__":
    main()
