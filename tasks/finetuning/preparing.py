"""The data of a fine-tuning, looked through before anything is trained, and encoded to learn from.

train ──▶ columns, labels ──▶ examples.arrow, baselines
dev, test ──▶ checked: the same columns, no label that training does not know; baselines scored
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from roberta_model.data.examples import IGNORED, SCHEMA
from roberta_model.inference.reading import Columns
from roberta_model.inference.task_rows import Window
from tasks.config.downstream import FineTuningConfig
from tasks.engine.units import UnitReport, UnitWork
from tasks.errors import UserError
from tasks.finetuning.baselines import baselines
from tasks.finetuning.encoding import ItemEncoder
from tasks.finetuning.items import (
    Item,
    answers_of,
    chunks,
    find_columns,
    first_row,
)
from tasks.finetuning.labels import Labels, find_labels, number_of
from tasks.finetuning.plan import DataFile, DataFiles, Files
from tasks.finetuning.repeated import count_repeated
from tasks.inference.model_folder import linked_folder, load_tokenizer


def prepare(
    work: UnitWork,
    *,
    settings: FineTuningConfig,
    files: DataFiles,
    model: Files,
) -> UnitReport:
    """Write the examples to learn from; the summary tells all that was found.

    Args:
        work: Gets `.arrow`.
        settings: The task.
        files: train, dev, and test where there is one.
        model: The files of the model folder: its tokenizer, and how much it reads.

    Raises:
        UserError: a row is broken, has no label, or one that is not known; a file is empty; or the
            metric that is to decide is none of these labels'.
    """
    from roberta_model.huggingface import load_config

    folder = linked_folder(work, model)
    limit = load_config(folder).max_row_tokens
    most = min(settings.max_tokens, limit)
    encoder = ItemEncoder(load_tokenizer(folder), most, min(settings.stride, most // 2))
    learnt = files["train"]
    columns = columns_of(settings, learnt)

    def items_of(part: str) -> Iterator[Item]:
        return files[part].items(settings, columns)

    labels = find_labels(settings.task, items_of("train"), settings.separator, learnt.name)
    has_unanswered = settings.task == "qa" and any(not answers_of(i) for i in items_of("train"))
    counts = {"train": _write(work.path(".arrow"), items_of("train"), settings, labels, encoder)}
    cut = encoder.num_cut
    scored: dict[str, list[Item]] = {part: [] for part in ("dev", "test") if part in files}
    for part, items in scored.items():
        for item in items_of(part):
            _check(item, settings, labels)
            items.append(item)
        if not items:
            raise UserError(f"{files[part].name} holds no rows. Give a file that does.")
        counts[part] = len(items)
    found = baselines(settings, labels, encoder, items_of("train"), scored)
    _check_metric(settings, next(iter(found["dev"].values())), learnt.name)
    summary = {
        "reading": {
            "task": settings.task,
            "columns": columns._asdict(),
            "max_tokens": most,
            "stride": min(settings.stride, most // 2),
            "may_have_no_answer": has_unanswered,
        },
        "labels": vars(labels),
        "rows": counts,
        "cut": cut,
        "repeated": count_repeated(items_of, scored),
        "baselines": found,
    }
    return UnitReport(rows={".arrow": _num_rows(work.path(".arrow"))}, summary=summary)


def _check_metric(settings: FineTuningConfig, scored: Mapping[str, float], where: str) -> None:
    """Refuse a metric that answers to these labels are not scored by, before anything learns."""
    if settings.metric is not None and settings.metric not in scored:
        raise UserError(
            f"metric: labels like those of {where} are not scored by {settings.metric}, "
            f"but by {', '.join(scored)}. Choose one of these."
        )


def columns_of(settings: FineTuningConfig, train: DataFile) -> Columns:
    """Where the parts of all items stand, as the data to learn from have them.

    Raises:
        UserError: a column is not there, or none can be guessed.
    """
    where, row = first_row(train.file.local(), settings.format, train.name)
    return find_columns(settings.task, row, settings.columns, where, labelled=True)


def _write(
    path: Path,
    train: Iterable[Item],
    settings: FineTuningConfig,
    labels: Labels,
    encoder: ItemEncoder,
) -> int:
    """Write what is learnt from, some items in memory at a time; how many items."""
    count = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as out:
        for items in chunks(train):
            count += len(items)
            examples = list(_examples(items, settings, labels, encoder))
            columns = {
                "ids": [ids for ids, _ in examples],
                "targets": [targets for _, targets in examples],
            }
            out.write_batch(pa.record_batch(columns, schema=SCHEMA))
    return count


def _num_rows(path: Path) -> int:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        return sum(reader.get_batch(n).num_rows for n in range(reader.num_record_batches))


def _check(item: Item, settings: FineTuningConfig, labels: Labels) -> None:
    """Refuse a row that cannot be scored."""
    if settings.task == "qa":
        answers_of(item)
    elif settings.task == "regress":
        number_of(item)
    else:
        labels.numbers(item, tags=settings.task == "tag")


def _examples(
    items: Iterable[Item], settings: FineTuningConfig, labels: Labels, encoder: ItemEncoder
) -> Iterator[tuple[list[int], list[float]]]:
    """(token ids, targets) of some items; one with many words or a long context gives several."""
    items = list(items)
    if settings.task == "qa":
        for item in items:
            for window in encoder.windows(item):
                yield window.ids, _span_of(item, window)
    elif settings.task == "tag":
        for item in items:
            numbers = labels.numbers(item, tags=True)
            for row in encoder.word_rows(item):
                targets = [IGNORED] * len(row.ids)
                for word, place in zip(row.words, row.places, strict=True):
                    targets[place] = float(numbers[word])
                yield row.ids, targets
    else:
        for item, ids in zip(items, encoder.sequences(items), strict=True):
            yield ids, _targets_of(item, labels)


def _targets_of(item: Item, labels: Labels) -> list[float]:
    if labels.problem == "regression":
        return [number_of(item)]
    numbers = labels.numbers(item)
    if labels.problem == "multi_label_classification":
        return [float(number in numbers) for number in range(len(labels.names))]
    return [float(numbers[0])]


def _span_of(item: Item, window: Window) -> list[float]:
    """Where the first right answer begins and ends; at <s> where it is not in the window.

    White space around it does not count: tokens tell none that parts words.

    Raises:
        UserError: the answer does not stand in the context where it is said to, or has no letter.
    """
    answers = answers_of(item)
    if not answers:
        return [0.0, 0.0]
    assert item.second is not None
    answer = answers[0]
    start = item.second.find(answer.text) if answer.start < 0 else answer.start
    if not answer.text.strip():
        raise UserError(f"{item.where}: the answer is empty. Mend or remove the record.")
    if item.second[start : start + len(answer.text)] != answer.text or start < 0:
        at = f" at character {answer.start:,}" if answer.start >= 0 else ""
        raise UserError(
            f"{item.where}: the answer {answer.text[:40]!r} does not stand in its context{at}. "
            "Mend or remove the record."
        )
    stop = start + len(answer.text.rstrip())
    place = window.place(stop - len(answer.text.strip()), stop)
    return [0.0, 0.0] if place is None else [float(place[0]), float(place[1])]
