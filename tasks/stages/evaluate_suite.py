"""A suite asked of any model folder: the evaluation's tasks with the engine's restarts.

    model folder ─┐
    suite ────────┴──▶ 6-suite/<key>/<task>/... ──▶ manifest

It is a stage of its own that no pipeline has. Its key is made of the folder's and the sets'
bytes, so the same question to the same model is answered at once, and one that was cut off goes
on with the items that are not done. Of the model folder of a run, whose text still lies in its
store, it tells what of the sets that text holds; of any other folder nobody knows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roberta_model.weight_files import INDEX, SINGLE, weight_files
from tasks.config import Config, EngineConfig, Section
from tasks.config.evaluate import ContaminationConfig
from tasks.config.suite import Suite
from tasks.engine.outside import outside_file
from tasks.engine.progress import Progress
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.units import StoredFile
from tasks.evaluation.contamination import check_contamination
from tasks.evaluation.device import Device, map_for
from tasks.evaluation.running import check_asked, outside_files, run_tasks
from tasks.evaluation.table import asked_of
from tasks.evaluation.task import Subject
from tasks.evaluation.told import headline
from tasks.finetuning.downstream import check_downstream, downstream_files, score_rows, teach
from tasks.inference.model_folder import check_fills_masks, check_folder
from tasks.inspection.lineage import corpus_of
from tasks.inspection.suites import MODEL

NAME, NUMBER, VERSION = "suite", 6, 12
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")


class _SuiteSlice(Section):
    """What a suite's key knows beside the outside files: the digests of what was trained on."""

    suite: Suite
    corpus: tuple[str, ...]


def evaluate_folder(
    folder: Path,
    suite: Suite,
    store: Store,
    *,
    engine: EngineConfig | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Ask a model folder a suite, or find the answers that are there already.

    Raises:
        UserError: the folder cannot be loaded, or a set of the suite is not what it should be.
        StageError: the work could not be finished; finished items are kept.
    """
    check_asked(asked_of(suite.tasks, "tasks"))
    check_downstream(suite.downstream)
    model = model_files(folder)
    if suite.tasks:
        check_fills_masks(folder)
    documents = corpus_of(folder, model)
    # All that a stage reads of the whole config is its slice, which is the suite's, and the engine.
    config = Config.model_construct(corpus=[], engine=engine or EngineConfig())
    return run_stage(_stage(suite, model, documents), config, store, progress=progress)


def model_files(folder: Path) -> dict[str, StoredFile]:
    """The files of a Hugging Face folder that scoring reads, by name.

    Raises:
        UserError: it is no model folder.
    """
    check_folder(folder)
    index = [] if (folder / SINGLE).is_file() else [folder / INDEX]
    tokenizer = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    paths = [*weight_files(folder), *index, folder / "config.json", *tokenizer]
    return {path.name: outside_file(path) for path in paths}


def _stage(
    suite: Suite, model: dict[str, StoredFile], documents: Sequence[StoredFile]
) -> Stage[_SuiteSlice]:
    """The stage that asks this suite of this model, which was trained on these documents."""
    asked, how = asked_of(suite.tasks, "tasks"), ContaminationConfig()
    slice_ = _SuiteSlice(suite=suite, corpus=tuple(file.sha256 for file in documents))

    def run(context: StageContext[_SuiteSlice]) -> StageReport:
        device = Device.of(context)
        subject = Subject(model, device=device)
        done = run_tasks(asked, context.externals, subject, map_for(context, device))
        summary: dict[str, Any] = {
            "suite": suite.name,
            "tasks": {each.asked.name: each.summary for each in done},
            "scores": [score for each in done for score in each.scores],
            "contamination": None,
        }
        if documents:
            scored = [(each.asked, each.files, each.results) for each in done]
            summary["contamination"] = check_contamination(scored, documents, how, context.map)
        for name, found in teach(context, suite.downstream, model, documents, how).items():
            summary["tasks"][name] = found
            summary["scores"] += score_rows(name, found)
        return StageReport(summary=summary, headline=headline(summary))

    def externals(_: _SuiteSlice) -> dict[str, StoredFile]:
        own = {f"{MODEL}{name}": file for name, file in model.items()}
        return own | outside_files(asked) | downstream_files(suite.downstream)

    return Stage(NAME, NUMBER, VERSION, (), lambda _: slice_, run, externals=externals)
