"""The best model as a folder that stock loads, with its scores; and its answers for files.

weights, tokenizer ──▶ folder ──▶ scores with intervals ──▶ card ──▶ held against stock
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roberta_model.threads import one_thread
from tasks.config.downstream import FineTuningConfig
from tasks.engine.units import StoredFile, UnitReport, UnitWork, shown_as
from tasks.evaluation.device import Device
from tasks.finetuning.card import card_of, confusion_picture
from tasks.finetuning.contained import scores_without
from tasks.finetuning.folders import is_of_tokenizer, write_folder
from tasks.finetuning.items import Item
from tasks.finetuning.plan import Contained, DataFile, DataFiles, Files, Found
from tasks.finetuning.predictor import Predictor
from tasks.finetuning.scoring import score_answers
from tasks.finetuning.writing import predictions
from tasks.inference.model_folder import linked_folder
from tasks.inference.results import write_jsonl
from tasks.publishing.stock_check import check_against_stock

_MOST_CHECKED = 8


@shown_as("scoring and checking the model")
def publish(
    work: UnitWork,
    *,
    settings: FineTuningConfig,
    found: Mapping[str, Any],
    examples: StoredFile,
    tuned: Files,
    model: Files,
    files: DataFiles,
    names: Mapping[str, str],
    tried: Sequence[Mapping[str, Any]],
    chosen: int,
    contained: Mapping[str, Contained] | None,
    device: Device,
) -> UnitReport:
    """Write the model folder, its scores, and its answers for what it was scored on.

    Raises:
        StageError: stock does not agree with us on the folder; nothing is published.
    """
    known = Found.from_json(found, examples, settings)
    pretrained = linked_folder(work, model, "pretrained")
    folder = work.folder.with_name(f"{work.folder.name}-folder")
    folder.mkdir()
    tokenizer = {name: file for name, file in model.items() if is_of_tokenizer(name)}
    write_folder(folder, tuned, tokenizer, pretrained)
    known.reading.write(folder)
    scores: dict[str, Any] = {}
    checked: list[str] = []
    rows = {}
    predictor = Predictor(folder, device.on_this_machine())
    for part, data in files.items():
        items = list(data.items(settings, known.reading.columns))
        answers = predictor(items)
        answered = settings, known.labels, items, answers
        scores[part] = score_answers(*answered)
        if contained is not None:
            scores[part]["contamination"] = scores_without(*answered, contained[part])
        rows[f".{part}.jsonl"] = write_jsonl(_told(items, answers), work.path(f".{part}.jsonl"))
        checked += [_text_of(item) for item in items[:_MOST_CHECKED]]
    with one_thread():
        difference = check_against_stock(folder, checked)
    summary = {
        "task": settings.task,
        "metric": known.metric,
        "after": settings.after,
        "labels": list(known.labels.names),
        **known.told(),
        "scores": scores,
        "chosen": chosen,
        "tried": list(tried),
        "largest_difference": round(difference, 9),
    }
    _write_card(folder, card_of(settings, summary, names, known.reading.max_tokens), summary)
    for path in sorted(folder.iterdir()):
        shutil.copyfile(path, work.path(f"/{path.name}"))
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    work.path(".scores.json").write_text(text, encoding="utf-8")
    return UnitReport(rows=rows, summary=summary)


def _write_card(folder: Path, card: str, summary: Mapping[str, Any]) -> None:
    """The card of a folder, and the picture in it of what is taken for what."""
    if (confusion := summary["scores"]["dev"].get("confusion")) is not None:
        picture = confusion_picture(summary["labels"], confusion)
        (folder / "confusion.svg").write_text(picture, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def _text_of(item: Item) -> str:
    return " ".join(item.text) if isinstance(item.text, list) else str(item.text)


def _told(items: Sequence[Item], answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each item with its label and the model's answer."""
    return [
        {"text": item.text, "second": item.second, "label": item.label, **answer}
        for item, answer in zip(items, answers, strict=True)
    ]


@shown_as("predicting")
def predict_file(
    work: UnitWork, *, model: Files, file: DataFile, settings: FineTuningConfig, device: Device
) -> UnitReport:
    """Write the model's answer for each row of a file into `.jsonl`."""
    predictor = Predictor(linked_folder(work, model), device.on_this_machine())
    path, form = file.file.local(), settings.format
    rows = predictions(predictor, path, settings.columns, form, file.name)
    count = write_jsonl(rows, work.path(".jsonl"))
    return UnitReport(rows={".jsonl": count}, summary={"rows": count})
