"""Answers held against labels: a task's metrics with intervals, and what was taken for what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.config.downstream import FineTuningConfig, Metric
from tasks.finetuning.items import Item, answers_of
from tasks.finetuning.labels import Labels, number_of, tag_names
from tasks.finetuning.metrics import (
    Measure,
    answer_measures,
    class_measures,
    confusion_of,
    is_bio,
    multi_label_measures,
    number_measures,
    tag_measures,
    with_intervals,
)

_MOST_CONFUSED = 50


def main_metric(settings: FineTuningConfig, labels: Labels) -> Metric:
    """The metric that decides: the one asked for, else the task's usual one."""
    if settings.metric is not None:
        return settings.metric
    if settings.task == "qa" or labels.problem == "multi_label_classification":
        return "f1"
    if labels.problem == "regression":
        return "spearman"
    if settings.task == "tag" and is_bio(set(labels.names)):
        return "f1"
    return "accuracy"


def is_better(metric: Metric, found: float, before: float | None) -> bool:
    """Whether a value is strictly better than one before: what is first among equals stays."""
    return before is None or (found < before if metric == "mse" else found > before)


def best_epoch(metric: Metric, epochs: Mapping[int, Mapping[str, float]]) -> int | None:
    """The step of the best of some epochs; of those alike the first."""
    best: int | None = None
    for step in sorted(epochs):
        before = None if best is None else epochs[best][metric]
        if is_better(metric, epochs[step][metric], before):
            best = step
    return best


def is_enough(
    metric: Metric, epochs: Mapping[int, Mapping[str, float]], last: int, patience: int
) -> bool:
    """Whether a training is at its last step, or `patience` epochs have been no better."""
    best = best_epoch(metric, epochs)
    if best is None:
        return False
    return last in epochs or sum(step > best for step in epochs) >= patience


def score_answers(
    settings: FineTuningConfig,
    labels: Labels,
    items: Sequence[Item],
    answers: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Every metric of a task as plain JSON: n, each metric with low and high, and the confusion."""
    measures, confusion = _measures(settings, labels, items, answers)
    scores = {
        name: {part: round(value, 6) for part, value in score._asdict().items()}
        for name, score in with_intervals(measures, len(items)).items()
    }
    found: dict[str, Any] = {"n": len(items), "metrics": scores}
    return found if confusion is None else {**found, "confusion": confusion}


def quick_score(
    settings: FineTuningConfig,
    labels: Labels,
    items: Sequence[Item],
    answers: Sequence[dict[str, Any]],
) -> dict[str, float]:
    """The metrics alone: while a model is being chosen nobody looks at intervals."""
    every = np.arange(len(items))
    measures, _ = _measures(settings, labels, items, answers)
    return {name: round(measure(every), 6) for name, measure in measures.items()}


def _measures(
    settings: FineTuningConfig,
    labels: Labels,
    items: Sequence[Item],
    answers: Sequence[dict[str, Any]],
) -> tuple[dict[str, Measure], list[list[int]] | None]:
    if settings.task == "qa":
        right = [[answer.text for answer in answers_of(item)] for item in items]
        return answer_measures([answer["answer"] for answer in answers], right), None
    if settings.task == "tag":
        gold = [tag_names(item) for item in items]
        return tag_measures(gold, [answer["tags"] for answer in answers], labels.names), None
    if labels.problem == "regression":
        numbers = [number_of(item) for item in items]
        return number_measures(numbers, [answer["value"] for answer in answers]), None
    count = len(labels.names)
    known = {name: number for number, name in enumerate(labels.names)}
    if labels.problem == "multi_label_classification":
        gold_NC = np.zeros((len(items), count), dtype=bool)
        found_NC = np.zeros((len(items), count), dtype=bool)
        for number, (item, answer) in enumerate(zip(items, answers, strict=True)):
            gold_NC[number, labels.numbers(item)] = True
            found_NC[number, [known[name] for name in answer["labels"]]] = True
        return multi_label_measures(gold_NC, found_NC), None
    classes = [labels.numbers(item)[0] for item in items]
    taken = [known[answer["label"]] for answer in answers]
    confusion = confusion_of(classes, taken, count) if count <= _MOST_CONFUSED else None
    return class_measures(classes, taken, count), confusion
