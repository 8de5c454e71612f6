"""Fine-tuning beside stock's Trainer, on the same sentences, from the same weights.

Each in a process of its own, on all cores, batches of 32, the same dropout (`--dropout`), learning
rate and schedule; SST-2, or what `--task` names of GLUE, where the real sets lie beside the
checkout (made sentences elsewhere):

    stock      transformers' Trainer in fp32 (on a GPU in bf16), padded to the longest of a batch
    run_glue   the same, padded to 128 tokens as transformers' script of that name does unless told
               otherwise (`--pad_to_max_length`, `--max_seq_length`)
    ours       the training that `roberta finetune` starts: a process a core, or the GPU

of an encoder with random weights: tiny (4 layers, width 256) unless `--size` names another. The
start of the processes and their first steps are not counted. The accuracy on dev after the same
steps is in the table.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from material import material
from paired import Comparison, Figures, parser, passed_on, run_worker

from roberta_model.config import PRESETS, ModelConfig
from roberta_model.data.examples import SCHEMA
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.recipe import OptimizerRecipe, TaskName
from roberta_model.training.spec import FineTuningSpec
from roberta_model.training.start import draw
from tasks.config import LaunchConfig
from tasks.config.downstream import ColumnsConfig
from tasks.finetuning.encoding import ItemEncoder
from tasks.finetuning.items import Item, find_columns, first_row, read_items
from tasks.inference.model_folder import load_tokenizer
from tasks.training.launch import Trainer, for_small_steps, launch_arguments

GLUE = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval" / "glue"
_FILES = {
    "sst2": {"train": "sst2/train.tsv.gz", "dev": "sst2/dev.tsv.gz"},
    "cola": {"train": "cola/train.jsonl.gz", "dev": "cola/valid.jsonl.gz"},
    "mrpc": {"train": "mrpc/train.jsonl.gz", "dev": "mrpc/valid.jsonl.gz"},
    "rte": {"train": "rte/train.jsonl.gz", "dev": "rte/valid.jsonl.gz"},
    "mnli": {"train": "mnli/train_10k.jsonl.gz", "dev": "mnli/valid.jsonl.gz"},
}
_LABELS = dict.fromkeys(_FILES, ("0", "1")) | {"mnli": ("0", "1", "2")}
_BATCH, _RATE, _STEPS, _MOST = 32, 2e-4, 160, 128


def main() -> None:
    """Measure and print."""
    made = parser(__doc__, rounds=3)
    made.add_argument("--size", default="tiny", choices=list(PRESETS))
    made.add_argument("--task", default="sst2", choices=list(_FILES), help="one of GLUE's sets")
    made.add_argument("--device", default="cpu", choices=["cpu", "gpu"])
    made.add_argument("--dropout", type=float, default=0.1)
    made.add_argument("--steps", type=int, default=_STEPS, help="of a training; the half is timed")
    options = made.parse_args()
    if options.worker:
        figures = (_ours if options.worker == "ours" else _stock)(options)
        print(json.dumps(figures))
        return
    more = [*passed_on(options), "--size", options.size, "--task", options.task]
    more += ["--steps", str(options.steps), "--device", options.device]
    more += ["--dropout", str(options.dropout)]

    def measure(who: str) -> Figures:
        arguments = ("--worker", who, *more)
        return run_worker(__file__, *arguments, threads=options.threads, has_memory=False)

    comparison = Comparison(
        f"Fine-tuning {options.size} on {options.task}, {_steps(options)} steps of {_BATCH}, "
        f"dropout {options.dropout:g}",
        {"examples": "examples/s", "accuracy": "accuracy on dev"},
        ("start and first steps are not counted; the accuracy is that of so few steps",),
    )
    comparison.run(
        {who: partial(measure, who) for who in ("stock", "run_glue", "ours")},
        1 if options.quick else options.rounds,
    )
    ahead = replace(comparison, peers={"ours": "run_glue"}).ratio("ours")
    comparison.notes = (*comparison.notes, f"ours beside run_glue: {ahead:.2f} times")
    comparison.show(options)


def _steps(options: argparse.Namespace) -> int:
    return 4 if options.quick else int(options.steps)


def _warm(options: argparse.Namespace) -> int:
    """Steps before the clock starts: the first ones compile and find memory.

    Ours are told at checkpoints, whose writing goes on for a while beside the steps behind them.
    """
    return _steps(options) // 2


def labelled(task: str, part: str, most: int) -> list[Item]:
    """Items of a part of one of GLUE's sets, or made ones where there is none."""
    path = GLUE / _FILES[task][part]
    if path.is_file():
        kind: TaskName = "classify" if task in ("sst2", "cola") else "pair"
        where, row = first_row(path, "auto", path.name)
        columns = find_columns(kind, row, ColumnsConfig(), where, labelled=True)
        return list(islice(read_items(path, kind, columns), most))
    rng = np.random.default_rng(len(part))
    words = ("good", "bad")
    return [
        Item("", f"a {words[n]} film " + "indeed " * int(rng.integers(30)), None, n)
        for n in rng.integers(0, 2, most).tolist()
    ]


def _prepared(
    options: argparse.Namespace, folder: Path
) -> tuple[ItemEncoder, list[Item], list[Item]]:
    """A model folder with a tokenizer, and the sentences."""
    tokenizer = material(options).tokenizer
    for path in tokenizer.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    encoder = ItemEncoder(load_tokenizer(folder), _MOST, 1)
    vocabulary = encoder.tokenizer.get_vocab_size()
    config = ModelConfig(vocabulary, max_row_tokens=_MOST, **vars(PRESETS[options.size]))
    model = RobertaMaskedLM(config)
    draw(model, 0)
    save_model(model, folder)
    most = 200 if options.quick else _BATCH * _steps(options)
    return encoder, labelled(options.task, "train", most), labelled(options.task, "dev", most)


def _rows(encoder: ItemEncoder, found: list[Item]) -> list[list[int]]:
    return encoder.sequences(found)


def _stock(options: argparse.Namespace) -> dict[str, float]:
    """Stock's Trainer, as its own guide to fine-tuning uses it."""
    import transformers

    fully = options.worker == "run_glue"
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        encoder, train, dev = _prepared(options, folder)
        model = transformers.RobertaForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(_LABELS[options.task]),
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
        rows = [
            {"input_ids": ids, "labels": _class_of(item)}
            for ids, item in zip(_rows(encoder, train), train, strict=True)
        ]
        stamps: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                stamps.append(time.monotonic())

        pad = transformers.AutoTokenizer.from_pretrained(folder)
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=str(folder / "out"),
                max_steps=_steps(options),
                per_device_train_batch_size=_BATCH,
                learning_rate=_RATE,
                weight_decay=0.1,
                adam_beta2=0.98,
                adam_epsilon=1e-6,
                warmup_steps=max(1, round(0.06 * _steps(options))),
                max_grad_norm=0.0,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=options.device == "cpu",
                bf16=options.device == "gpu",
                seed=0,
            ),
            train_dataset=rows,
            data_collator=transformers.DataCollatorWithPadding(
                pad, padding="max_length" if fully else True, max_length=_MOST if fully else None
            ),
            callbacks=[Clock()],
        )
        trainer.train()
        model.train(False).cpu()
        right = _right(lambda ids: model(input_ids=ids).logits, _rows(encoder, dev), dev)
    warm = _warm(options)
    seconds = stamps[-1] - stamps[warm - 1]
    return {"examples": _BATCH * (len(stamps) - warm) / seconds, "accuracy": right}


def _class_of(item: Item) -> int:
    return int(item.label)


def _right(logits: Any, rows: list[list[int]], found: list[Item]) -> float:
    with torch.inference_mode():
        taken = [int(logits(torch.tensor([ids])).argmax()) for ids in rows]
    return sum(a == _class_of(item) for a, item in zip(taken, found, strict=True)) / len(found)


def _ours(options: argparse.Namespace) -> dict[str, float]:
    """The processes that a fine-tuning starts; their own clock, which writing does not move."""
    from roberta_model.architectures import load_model

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        encoder, train, dev = _prepared(options, folder)
        path = folder / "examples.arrow"
        targets = [[float(_class_of(item))] for item in train]
        table = pa.table({"ids": _rows(encoder, train), "targets": targets}, schema=SCHEMA)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            writer.write_table(table)
        launch = for_small_steps(LaunchConfig(device=options.device))
        spec = FineTuningSpec(
            examples=str(path),
            folder=str(folder),
            initial=str(folder),
            head="sequence",
            labels=_LABELS[options.task],
            steps=_steps(options),
            checkpoint_steps=_warm(options),
            batch_rows=_BATCH,
            dropout=options.dropout,
            precision="auto",
            optimizer=OptimizerRecipe(learning_rate=_RATE, weight_decay=0.1),
            threads=launch.threads or 1,
            device=options.device,
        )
        told = folder / "spec.json"
        told.write_text(json.dumps({"kind": spec.kind, **replace(spec).to_json()}))
        arguments = launch_arguments(launch, "roberta_model.training.process", [str(told)])
        seconds, saved = 0.0, folder
        with Trainer(arguments, launch.threads or 1) as trainer:
            for event in trainer.events():
                if event["event"] == "checkpoint":
                    is_warm = event["step"] > _warm(options)
                    seconds += float(event["seconds"]) if is_warm else 0.0
                    saved = Path(event["path"])
            trainer.check_end()
        model = load_model(saved)
        right = _right(model, _rows(encoder, dev), dev)
    steps = _steps(options) - _warm(options)
    return {"examples": _BATCH * steps / seconds, "accuracy": right}


if __name__ == "__main__":
    main()
