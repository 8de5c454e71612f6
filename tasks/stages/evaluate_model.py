"""evaluate: held-out masked loss, minimal pairs, filled masks, and what else `tasks` lists.

    held-out rows ──▶ held_out      ┐   beside the unigram baseline of the training rows
    outside files ──▶ <task>/...    ├──▶ scores in the manifest, details beside it
    examples      ──▶ examples      ┘

Which tasks there are, and how each scores, stands in `tasks/evaluation/table.py`.
"""

from typing import Any

from tasks.artifacts import (
    CleanText,
    Downloaded,
    PackedText,
    TrainedTokenizer,
    model_folder_files,
)
from tasks.config import Config, EvaluateConfig, Section
from tasks.costs import CorpusSize, Estimate, num_workers
from tasks.engine.identity import digest_of
from tasks.engine.records import Artifact
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile
from tasks.errors import UserError
from tasks.evaluation.contamination import check_contamination
from tasks.evaluation.device import Device, map_for
from tasks.evaluation.origins import origins_of
from tasks.evaluation.running import check_asked, outside_files, run_tasks
from tasks.evaluation.table import asked_by
from tasks.evaluation.task import SpecialTokens, Subject
from tasks.evaluation.told import figures, headline
from tasks.training.costs import num_trained_parameters, planned_model


class EvaluateSlice(Section):
    """What of the config concerns this stage."""

    evaluate: EvaluateConfig
    special_tokens: SpecialTokens


def evaluate_slice(config: Config) -> EvaluateSlice:
    """The tasks, and whether the model was pretrained with special tokens."""
    return EvaluateSlice(evaluate=config.evaluate, special_tokens=config.pack.special_tokens)


def evaluation_files(slice_: EvaluateSlice) -> dict[str, StoredFile]:
    """The outside files by task and name: they are part of this stage's identity."""
    return outside_files(asked_by(slice_.evaluate))


def check_tasks(config: Config) -> None:
    """Refuse what could not be scored: files that are no pairs, examples without a mask.

    Raises:
        UserError: names the first one.
    """
    check_asked(asked_by(config.evaluate))
    # A word is a token at least; how many it really is, is known later.
    limit = config.model.max_row_tokens or config.pack.row_tokens
    for number, text in enumerate(config.evaluate.examples):
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
    packed, device = PackedText.of(context), Device.of(context)
    subject = Subject(
        model_folder_files(context),
        context.config.special_tokens,
        packed.shards("held_out"),
        TrainedTokenizer.of(context).masking_tables,
        packed.token_counts,
        origins_of(packed, Downloaded.of(context), "held_out"),
        device,
    )
    run = map_for(context, device)
    done = run_tasks(asked_by(context.config.evaluate), context.externals, subject, run)
    found = {each.asked.name: each.summary for each in done}
    summary: dict[str, Any] = {
        "held_out": found.pop("held_out", None),
        "blimp": found.pop("blimp", None),
        "examples": (found.pop("examples", None) or {}).get("examples", []),
        "tasks": found,
        "scores": [score for each in done for score in each.scores],
        "contamination": None,
    }
    if (how := context.config.evaluate.contamination) is not None:
        scored = [(each.asked, each.files, each.results) for each in done]
        documents = CleanText.of(context).files("train")
        summary["contamination"] = check_contamination(scored, documents, how, context.map)
    return StageReport(summary=summary, headline=headline(summary), figures=figures(summary))


def estimate(config: Config, _size: CorpusSize) -> Estimate:
    """By the model's size, and much more where sentences are scored."""
    parameters = num_trained_parameters(planned_model(config))
    sets = bool(config.evaluate.blimp) + len(config.evaluate.tasks)
    return {
        "disk_bytes": 1_000_000 * (1 + sets),
        "memory_bytes": num_workers(config) * (600_000_000 + 4 * parameters),
        "seconds": round(10 + parameters / 1e6 * (8 * sets if sets else 1), 1),
    }


def input_digest(artifact: Artifact) -> str:
    """What the key knows of an input: of the download only which documents files are whose.

    Its texts come by way of the stages after it.
    """
    if artifact.manifest["stage"] != Downloaded.stage:
        return artifact.digest
    downloaded = Downloaded(artifact)
    whose = [[file.name, file.source] for file in downloaded.files]
    return digest_of([len(downloaded.sources), whose])


EVALUATE = Stage(
    name="evaluate",
    number=6,
    version=9,
    needs=("pretrain", "pack", "tokenizer", "clean", "download"),
    config=evaluate_slice,
    run=evaluate,
    externals=evaluation_files,
    check=check_tasks,
    estimate=estimate,
    input_digest=input_digest,
)
