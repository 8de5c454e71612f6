"""The whole pack stage beside `datasets.map` and group_texts, as run_mlm prepares its data.

Paired, each in a process of its own in every round, on the same clean documents and tokenizer:

    datasets   load_dataset("json"), map(tokenize), map(group_texts), two processes each
    ours       the pack stage: encode, lay out, write shards, tabulate documents, flush, hash

Both write rows of 128 tokens to the disk.
"""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from material import Material, material
from paired import Comparison, Figures, parser, passed_on, run_worker

from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.stages import get_stage

VARIANTS = {"datasets": "datasets.map + group_texts", "ours": "ours, the pack stage"}


def main() -> None:
    """Measure and print, or be one of the workers."""
    options = parser(__doc__, rounds=3).parse_args()
    found = material(options)
    if options.worker:
        with tempfile.TemporaryDirectory() as folder:
            measure = our_stage if options.worker == "ours" else datasets_map
            print(json.dumps(measure(found, Path(folder), options.threads)))
        return
    arguments = passed_on(options)
    comparison = Comparison(
        f"Documents to packed rows, {options.threads} processes",
        {"megabytes": "MB/s", "millions": "million tokens/s", "peak_mb": "peak MB"},
        (
            "MB of UTF-8 text; time from the first byte read to the last row on the disk, "
            "processes started included, imports not",
            "datasets drops the end of every batch of 1,000 documents and keeps no account; ours "
            "also records where every document lies",
        ),
    )
    comparison.run(
        {
            label: partial(
                run_worker, __file__, "--worker", name, *arguments, threads=options.threads
            )
            for name, label in VARIANTS.items()
        },
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def _figures(found: Material, tokens: int, seconds: float) -> Figures:
    size = sum(found.artifacts["clean"].summary[split]["bytes"] for split in ("train", "held_out"))
    return {"megabytes": size / 1e6 / seconds, "millions": tokens / 1e6 / seconds}


def our_stage(found: Material, folder: Path, threads: int) -> Figures:
    """The stage in a store of its own."""
    stage = get_stage("pack")
    start = time.perf_counter()
    outcome = run_stage(stage, found.config, open_store(str(folder)), found.artifacts)
    seconds = time.perf_counter() - start
    summary = outcome.artifact.summary
    tokens = sum(summary[split]["tokens"] for split in ("train", "held_out"))
    return _figures(found, tokens, seconds)


def datasets_map(found: Material, folder: Path, threads: int) -> Figures:
    """What run_mlm does, without its command line."""
    texts = folder / "texts.jsonl"
    with texts.open("w", encoding="utf-8") as file:
        for split in ("train/", "held_out/"):
            for text in found.documents("clean", split):
                file.write(json.dumps({"text": text}) + "\n")
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    import datasets
    from transformers import RobertaTokenizerFast

    datasets.disable_progress_bars()
    tokenizer = RobertaTokenizerFast.from_pretrained(str(found.tokenizer))
    row_tokens = found.config.pack.row_tokens
    start = time.perf_counter()
    loaded = datasets.load_dataset("json", data_files=str(texts), split="train")
    processes = min(threads, len(loaded))
    encoded = loaded.map(
        tokenize,
        fn_kwargs={"tokenizer": tokenizer},
        batched=True,
        num_proc=processes,
        remove_columns=["text"],
    )
    rows = encoded.map(
        group_texts, fn_kwargs={"row_tokens": row_tokens}, batched=True, num_proc=processes
    )
    seconds = time.perf_counter() - start
    return _figures(found, len(rows) * row_tokens, seconds)


def tokenize(batch: Mapping[str, list[str]], tokenizer: Any) -> Any:
    """As in run_mlm."""
    return tokenizer(batch["text"], return_special_tokens_mask=True)


def group_texts(batch: Mapping[str, list[list[int]]], row_tokens: int) -> dict[str, Any]:
    """As in run_mlm: one stream of a batch of documents, cut into rows."""
    joined = {key: [i for one in values for i in one] for key, values in batch.items()}
    total = len(next(iter(joined.values()))) // row_tokens * row_tokens
    return {
        key: [values[i : i + row_tokens] for i in range(0, total, row_tokens)]
        for key, values in joined.items()
    }


if __name__ == "__main__":
    main()
