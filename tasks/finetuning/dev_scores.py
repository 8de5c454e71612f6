"""The scores of a checkpoint on the labelled data that choose, as a unit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roberta_model.inference.reading import Reading
from tasks.config.downstream import FineTuningConfig
from tasks.engine.units import UnitReport, UnitWork, shown_as
from tasks.evaluation.device import Device
from tasks.finetuning.labels import Labels
from tasks.finetuning.plan import DataFile, Files
from tasks.finetuning.predictor import Predictor
from tasks.finetuning.scoring import quick_score
from tasks.inference.model_folder import linked_folder


@shown_as("scoring dev")
def score_dev(
    work: UnitWork,
    *,
    settings: FineTuningConfig,
    reading: Mapping[str, Any],
    labels: Mapping[str, Any],
    tuned: Files,
    tokenizer: Files,
    dev: DataFile,
    device: Device,
) -> UnitReport:
    """The metrics of a checkpoint on the labelled data that choose."""
    folder = linked_folder(work, {**tuned, **tokenizer})
    read = Reading(**reading)
    read.write(folder)
    items = list(dev.items(settings, read.columns))
    answers = Predictor(folder, device.on_this_machine())(items)
    device.give_back()
    metrics = quick_score(settings, Labels(**labels), items, answers)
    write_json(work.path(".json"), metrics)
    return UnitReport(summary={"metrics": metrics})


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON, the same values as the same bytes."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
