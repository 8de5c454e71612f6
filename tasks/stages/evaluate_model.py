"""evaluate: held-out masked loss, minimal pairs, and a few filled masks.

    held-out rows ──▶ held_out   ┐
    BLiMP files   ──▶ blimp/...  ├──▶ scores in the manifest, details beside it
    examples      ──▶ examples   ┘

Every unit computes with one thread, so a score does not depend on how many workers there are
or on how many units an earlier run had left.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch

from roberta_model.masking import MaskingTables
from roberta_model.rows import PackedRows
from roberta_model.scoring import MaskedScore, masked_loss, pseudo_log_likelihood
from tasks.config import BlimpConfig, Config, EvaluateConfig, Section
from tasks.engine.canonical import file_digest
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.evaluation.blimp import count_right, find_files, paradigm_name, read_pairs
from tasks.inference.fill_mask import fill_mask
from tasks.inference.model_folder import load_folder

HELD_OUT_ROWS_A_UNIT = 512

ModelFiles = Mapping[str, StoredFile]


class EvaluateSlice(Section):
    """What of the config concerns this stage."""

    evaluate: EvaluateConfig
    special_tokens: Literal["bos_eos", "none"]


def evaluate_slice(config: Config) -> EvaluateSlice:
    """The tasks, and whether the model was pretrained with special tokens."""
    return EvaluateSlice(evaluate=config.evaluate, special_tokens=config.pack.special_tokens)


def blimp_files(slice_: EvaluateSlice) -> dict[str, StoredFile]:
    """The BLiMP files by paradigm: they are part of this stage's identity."""
    blimp = slice_.evaluate.blimp
    if blimp is None:
        return {}
    return {
        paradigm_name(path): StoredFile(str(path), file_digest(path), path.stat().st_size)
        for path in find_files(Path(blimp.data).expanduser())
    }


def evaluate(context: StageContext[EvaluateSlice]) -> StageReport:
    """Score the pretrained model on every configured task.

    Raises:
        UserError: an evaluation file is not in its format.
    """
    settings = context.config.evaluate
    model = _model_files(context)
    summary: dict[str, Any] = {"held_out": None, "blimp": None, "examples": []}
    if settings.held_out is not None:
        summary["held_out"] = _evaluate_held_out(context, settings.held_out.max_rows, model)
    if settings.blimp is not None:
        summary["blimp"] = _evaluate_blimp(context, settings.blimp, model)
    if settings.examples:
        unit = Unit("examples", {"model": model, "texts": settings.examples})
        (examples,) = context.map(fill_examples, [unit])
        summary["examples"] = examples.summary["examples"]
    return StageReport(summary=summary)


def _model_files(context: StageContext[EvaluateSlice]) -> ModelFiles:
    """The files of a model folder, by name: weights, config and tokenizer."""
    files = context.input("pretrain").files("model/") + context.input("tokenizer").files(
        "tokenizer/"
    )
    return {file.url.rsplit("/", 1)[-1]: file for file in files}


def _evaluate_held_out(
    context: StageContext[EvaluateSlice], max_rows: int, model: ModelFiles
) -> dict[str, Any] | None:
    """The scores over all parts of the held-out rows; None when nothing is held out."""
    rows = context.input("pack").files("held_out/")
    num_rows = min(max_rows, sum(file.rows or 0 for file in rows))
    if not num_rows:
        return None
    num_parts = -(-num_rows // HELD_OUT_ROWS_A_UNIT)
    shared = {
        "model": model,
        "rows": rows,
        "tables": context.input("tokenizer").file("masking_tables.npz"),
        "max_rows": max_rows,
    }
    units = [
        Unit(f"held_out/{number:03}", {**shared, "part": (number, num_parts)})
        for number in range(num_parts)
    ]
    parts = [MaskedScore(**result.summary) for result in context.map(score_held_out, units)]
    total = sum(parts[1:], start=parts[0])
    return {
        "rows": num_rows,
        "masked_tokens": total.num_masked,
        "loss": total.loss,
        "perplexity": total.perplexity,
        "accuracy": total.accuracy,
    }


def _evaluate_blimp(
    context: StageContext[EvaluateSlice], blimp: BlimpConfig, model: ModelFiles
) -> dict[str, Any]:
    shared = {
        "model": model,
        "max_pairs": blimp.max_pairs,
        "add_special_tokens": context.config.special_tokens == "bos_eos",
    }
    units = [
        Unit(f"blimp/{name}", {**shared, "data": file, "name": name})
        for name, file in sorted(context.externals.items())
    ]
    return summarise_blimp(context.map(score_blimp, units))


def summarise_blimp(results: Sequence[UnitResult]) -> dict[str, Any]:
    """The unweighted mean over the files, as BabyLM 2024 counts it, and the parts."""
    files = {result.summary["name"]: result.summary["accuracy"] for result in results}
    return {
        "accuracy": sum(files.values()) / len(files),
        "pairs": sum(result.summary["pairs"] for result in results),
        "ties": sum(result.summary["ties"] for result in results),
        "files": files,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: sums are then always added up in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gather_folder(work: UnitWork, files: ModelFiles) -> Path:
    """A model folder made of links to stored files, for code that wants one folder."""
    folder = work.folder.with_name(f"{work.folder.name}-model")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(file.local().resolve())
    return folder


def score_held_out(
    work: UnitWork,
    *,
    model: ModelFiles,
    rows: Sequence[StoredFile],
    tables: StoredFile,
    max_rows: int,
    part: tuple[int, int],
) -> UnitReport:
    """Sums over the masked tokens of one part of the held-out rows, on frozen masks."""
    packed = PackedRows([file.local() for file in rows])
    known = MaskingTables.load(tables.local())
    with one_thread():
        network, _ = load_folder(gather_folder(work, model))
        scored = masked_loss(network, packed, known, max_rows=max_rows, part=part)
    _write_json(work.path(".json"), asdict(scored))
    return UnitReport(summary=asdict(scored))


def score_blimp(
    work: UnitWork,
    *,
    model: ModelFiles,
    data: StoredFile,
    name: str,
    max_pairs: int | None,
    add_special_tokens: bool,
) -> UnitReport:
    """One BLiMP file: the accuracy, and every pair's two scores beside it."""
    pairs = read_pairs(data.local(), name, max_pairs)
    network, tokenizer = load_folder(gather_folder(work, model))
    sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
    encoded = tokenizer.encode_batch(sentences, add_special_tokens=add_special_tokens)
    mask_id = tokenizer.get_vocab()["<mask>"]
    with one_thread():
        scores = pseudo_log_likelihood(network, [row.ids for row in encoded], mask_id=mask_id)
    both = list(zip(scores[::2], scores[1::2], strict=True))
    right, ties = count_right(both)
    summary = {"name": name, "pairs": len(pairs), "accuracy": right / len(pairs), "ties": ties}
    _write_json(work.path(".json"), {**summary, "scores": both})
    return UnitReport(rows={".json": len(pairs)}, summary=summary)


def fill_examples(work: UnitWork, *, model: ModelFiles, texts: Sequence[str]) -> UnitReport:
    """The best five guesses for each example text."""
    folder = gather_folder(work, model)
    with one_thread():
        examples = [{"text": text, "top": fill_mask(folder, text, top=5)[0]} for text in texts]
    _write_json(work.path(".json"), examples)
    return UnitReport(summary={"examples": examples})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


EVALUATE = Stage(
    name="evaluate",
    number=6,
    version=1,
    needs=("pretrain", "pack", "tokenizer"),
    config=evaluate_slice,
    run=evaluate,
    externals=blimp_files,
)
