"""evaluate: held-out masked loss, minimal pairs, and a few filled masks.

    held-out rows ──▶ held_out   ┐   beside the unigram baseline of the training rows
    BLiMP files   ──▶ blimp/...  ├──▶ scores in the manifest, details beside it
    examples      ──▶ examples   ┘

Every unit computes with one thread, so a score does not depend on how many workers there are
or on how many units an earlier run had left.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.held_out_score import HeldOutScore, MaskedScore
from roberta_model.scoring import masked_loss, pseudo_log_likelihood
from roberta_model.threads import one_thread
from tasks.artifacts import PackedText, TrainedTokenizer, model_folder_files
from tasks.config import BlimpConfig, Config, EvaluateConfig, Section
from tasks.costs import CorpusSize, Estimate, num_workers
from tasks.engine.outside import outside_file
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.evaluation.blimp import (
    count_right,
    find_files,
    fitting_pairs,
    paradigm_name,
    read_pairs,
)
from tasks.evaluation.told import figures, headline
from tasks.inference.fill_mask import BERT_MASK, fill_mask, has_mask
from tasks.inference.model_folder import MASK, load_folder
from tasks.tokenizing.specials import leave_out_specials
from tasks.training.costs import num_trained_parameters, planned_model

HELD_OUT_ROWS_A_UNIT = 512

ModelFiles = Mapping[str, StoredFile]
SpecialTokens = Literal["bos_eos", "none"]


class EvaluateSlice(Section):
    """What of the config concerns this stage."""

    evaluate: EvaluateConfig
    special_tokens: SpecialTokens


def evaluate_slice(config: Config) -> EvaluateSlice:
    """The tasks, and whether the model was pretrained with special tokens."""
    return EvaluateSlice(evaluate=config.evaluate, special_tokens=config.pack.special_tokens)


def blimp_files(slice_: EvaluateSlice) -> dict[str, StoredFile]:
    """The BLiMP files by paradigm: they are part of this stage's identity."""
    blimp = slice_.evaluate.blimp
    if blimp is None:
        return {}
    return {
        paradigm_name(path): outside_file(path)
        for path in find_files(Path(os.path.expanduser(blimp.data)))
    }


def check_tasks(config: Config) -> None:
    """Refuse what could not be scored: files that are no pairs, examples without a mask.

    Raises:
        UserError: names the first one.
    """
    if (blimp := config.evaluate.blimp) is not None:
        for path in find_files(Path(os.path.expanduser(blimp.data))):
            read_pairs(path, path.name, max_pairs=1)
    for number, text in enumerate(config.evaluate.examples):
        if not has_mask(text):
            raise UserError(
                f"evaluate.examples.{number}: there is no mask to fill in {text!r}. Write "
                f"{MASK} (or {BERT_MASK}) where the missing word is."
            )
        # A word is a token at least; how many it really is, is known later.
        limit = config.model.max_row_tokens or config.pack.row_tokens
        if config.model.source_folder is None and len(text.split()) + 2 > limit:
            raise UserError(
                f"evaluate.examples.{number}: the text has {len(text.split())} words, and the "
                f"model reads at most {limit} tokens. Shorten it, or raise model.max_row_tokens."
            )


def evaluate(context: StageContext[EvaluateSlice]) -> StageReport:
    """Score the pretrained model on every configured task.

    Raises:
        UserError: an evaluation file is not in its format.
    """
    settings = context.config.evaluate
    model = model_folder_files(context)
    summary: dict[str, Any] = {"held_out": None, "blimp": None, "examples": []}
    if settings.held_out is not None:
        summary["held_out"] = _evaluate_held_out(context, settings.held_out.max_rows, model)
    if settings.blimp is not None:
        summary["blimp"] = _evaluate_blimp(context, settings.blimp, model)
    if settings.examples:
        payload = {"model": model, "special_tokens": context.config.special_tokens}
        unit = Unit("examples", {**payload, "texts": settings.examples})
        (examples,) = context.map(fill_examples, [unit])
        summary["examples"] = examples.summary["examples"]
    return StageReport(summary=summary, headline=headline(summary), figures=figures(summary))


def estimate(config: Config, _size: CorpusSize) -> Estimate:
    """By the model's size, and much more where pairs of sentences are scored."""
    parameters = num_trained_parameters(planned_model(config))
    return {
        "disk_bytes": 1_000_000,
        "memory_bytes": num_workers(config) * (600_000_000 + 4 * parameters),
        "seconds": round(10 + parameters / 1e6 * (8 if config.evaluate.blimp else 1), 1),
    }


def _evaluate_held_out(
    context: StageContext[EvaluateSlice], max_rows: int, model: ModelFiles
) -> dict[str, Any] | None:
    """The scores over all parts of the held-out rows; None when nothing is held out."""
    packed = PackedText.of(context)
    num_rows = min(max_rows, packed.num_rows("held_out"))
    if not num_rows:
        return None
    num_parts = -(-num_rows // HELD_OUT_ROWS_A_UNIT)
    shared = {
        "model": model,
        "rows": packed.shards("held_out"),
        "tables": TrainedTokenizer.of(context).masking_tables,
        "counts": packed.token_counts,
        "max_rows": max_rows,
    }
    units = [
        Unit(f"held_out/{number:03}", {**shared, "part": (number, num_parts)})
        for number in range(num_parts)
    ]
    results = context.map(score_held_out, units)
    score = sum((HeldOutScore.from_json(part.summary) for part in results), start=HeldOutScore())
    return {"rows": num_rows, **summarise_held_out(score)}


def summarise_held_out(score: HeldOutScore) -> dict[str, Any]:
    """The figures over all chosen tokens, then by what stood in their place, then unigram's."""
    total = score.model.total
    unigram = {"mask": score.unigram.mask, "all": score.unigram.total}
    return {
        "masked_tokens": total.num_masked,
        **_means(total),
        "by_kind": {
            kind: {"tokens": part.num_masked, **_means(part)}
            for kind, part in vars(score.model).items()
        },
        "unigram": {name: _means(part) for name, part in unigram.items()},
    }


def _means(score: MaskedScore) -> dict[str, float | None]:
    """Loss, perplexity and accuracy; None where no token was asked for."""
    names = ("loss", "perplexity", "accuracy")
    return {name: getattr(score, name) if score.num_masked else None for name in names}


def _evaluate_blimp(
    context: StageContext[EvaluateSlice], blimp: BlimpConfig, model: ModelFiles
) -> dict[str, Any]:
    shared = {
        "model": model,
        "max_pairs": blimp.max_pairs,
        "special_tokens": context.config.special_tokens,
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
        "too_long": sum(result.summary["too_long"] for result in results),
        "files": files,
    }


def gather_folder(work: UnitWork, files: ModelFiles, special_tokens: SpecialTokens) -> Path:
    """A model folder made of links to stored files, for code that wants one folder.

    Its tokenizer reads texts as the published folder's will.
    """
    folder = work.folder.with_name(f"{work.folder.name}-model")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(file.local().resolve())
    if special_tokens == "none":
        leave_out_specials(folder)
    return folder


def score_held_out(
    work: UnitWork,
    *,
    model: ModelFiles,
    rows: Sequence[StoredFile],
    tables: StoredFile,
    counts: StoredFile,
    max_rows: int,
    part: tuple[int, int],
) -> UnitReport:
    """Sums over the masked tokens of one part of the held-out rows, on frozen masks."""
    packed = PackedRows([file.local() for file in rows])
    known = MaskingTables.load(tables.local())
    token_counts = np.load(counts.local(), allow_pickle=False)
    with one_thread():
        # Rows are ids already, so how the tokenizer would read a text does not matter.
        network, _ = load_folder(gather_folder(work, model, "bos_eos"))
        scored = masked_loss(
            network, packed, known, token_counts=token_counts, max_rows=max_rows, part=part
        )
    _write_json(work.path(".json"), scored.to_json())
    return UnitReport(summary=scored.to_json())


def score_blimp(
    work: UnitWork,
    *,
    model: ModelFiles,
    data: StoredFile,
    name: str,
    max_pairs: int | None,
    special_tokens: SpecialTokens,
) -> UnitReport:
    """One BLiMP file: the accuracy, and every pair's two scores beside it (null: too long)."""
    pairs = read_pairs(data.local(), name, max_pairs)
    network, tokenizer = load_folder(gather_folder(work, model, special_tokens))
    sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
    encoded = tokenizer.encode_batch(sentences)
    rows = [row.ids for row in encoded]
    lengths = [(len(good), len(bad)) for good, bad in zip(rows[::2], rows[1::2], strict=True)]
    fits = fitting_pairs(lengths, network.config.max_row_tokens, name)
    rows = [ids for number, ids in enumerate(rows) if fits[number // 2]]
    with one_thread():
        scores = pseudo_log_likelihood(network, rows, mask_id=tokenizer.get_vocab()["<mask>"])
    both = list(zip(scores[::2], scores[1::2], strict=True))
    right, ties = count_right(both)
    summary = {"name": name, "pairs": len(both), "accuracy": right / len(both), "ties": ties}
    summary["too_long"] = len(pairs) - len(both)
    scored = iter(both)
    every = [next(scored) if fit else None for fit in fits]
    _write_json(work.path(".json"), {**summary, "scores": every})
    return UnitReport(rows={".json": len(pairs)}, summary=summary)


def fill_examples(
    work: UnitWork, *, model: ModelFiles, special_tokens: SpecialTokens, texts: Sequence[str]
) -> UnitReport:
    """The best five guesses for each example text."""
    folder = gather_folder(work, model, special_tokens)
    with one_thread():
        examples = [{"text": text, "top": fill_mask(folder, text, top=5)[0]} for text in texts]
    _write_json(work.path(".json"), examples)
    return UnitReport(summary={"examples": examples})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


EVALUATE = Stage(
    name="evaluate",
    number=6,
    version=2,
    needs=("pretrain", "pack", "tokenizer"),
    config=evaluate_slice,
    run=evaluate,
    externals=blimp_files,
    check=check_tasks,
    estimate=estimate,
)
