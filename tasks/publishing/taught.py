"""The page on what an encoder was taught: one HTML file that needs nothing else.

    summary of `finetune` ──▶ each task: scores on test and dev, beside what needs no encoder,
                              what was taken for what, what was tried ──▶ taught.html.j2

It lies beside the fine-tuned folders: the model's own report is made before they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.publishing.plain_text import short_name
from tasks.publishing.scores import Score, scores_of
from tasks.publishing.templates import template

_MOST_CLASSES = 12  # in the table of what was taken for what
_BASELINES = {"commonest": "the commonest answer", "bag of words": "a bag of words"}
_MEANS = {
    "macro_f1": "the mean of the classes' F1, to which a rare class counts as much as a common one",
    "mcc": "Matthews's correlation: 1 is all right, 0 no better than chance, however unequal the "
    "classes",
}


def render_taught(summary: Mapping[str, Any], predicted: Sequence[str] = ()) -> str:
    """The page.

    Args:
        summary: Of the stage: `tasks`, `scores`, `contamination`, as docs/finetuning.md has them.
        predicted: What was answered beside, such as `mood/predict/0`.
    """
    deciding: dict[str, Score] = {}
    for row, score in zip(summary["scores"], scores_of(summary), strict=True):
        deciding.setdefault(row["task"], score)
    tasks = [
        _task(name, found, deciding[name])
        | {"answered": [label for label in predicted if label.startswith(f"{name}/")]}
        for name, found in summary["tasks"].items()
    ]
    return template("taught.html.j2").render(tasks=tasks, contamination=summary["contamination"])


def told_repeated(found: Mapping[str, Any]) -> list[str]:
    """A sentence for each part of a task's data that has rows of a part before it.

    >>> found = {"repeated": {"dev": 0, "test": 3}, "rows": {"train": 90, "dev": 8, "test": 1200}}
    >>> told_repeated(found)
    ['3 of the 1,200 examples of test stand in train or dev too: these tell what was kept by heart']
    """
    before = {"dev": "train", "test": "train or dev"}
    return [
        f"{count:,} of the {found['rows'][part]:,} examples of {part} stand in {before[part]} too: "
        "these tell what was kept by heart"
        for part, count in found["repeated"].items()
        if count
    ]


def best_baseline(found: Mapping[str, Any], part: str) -> tuple[str, float] | None:
    """Of what needs no encoder the best by the deciding metric, on a part of a task's data.

    >>> on_dev = {"mean": {"mse": 0.7}, "other": {"mse": 0.9}}
    >>> best_baseline({"metric": "mse", "baselines_on": {"dev": on_dev}}, "dev")
    ('mean', 0.7)
    """
    metric = found["metric"]
    values = [(name, scored[metric]) for name, scored in found["baselines_on"][part].items()]
    best = min if metric == "mse" else max
    return best(values, key=lambda pair: pair[1], default=None)


def told_unbeaten(found: Mapping[str, Any]) -> list[str]:
    """A sentence where a task's main score is no better than the best baseline on the same rows."""
    part, metric = "test" if "test" in found["scores"] else "dev", found["metric"]
    best, value = best_baseline(found, part), found["scores"][part]["metrics"][metric]["value"]
    if best is None or (value < best[1] if metric == "mse" else value > best[1]):
        return []
    name = _BASELINES.get(best[0], f"the {best[0]}")
    return [
        f"No better than {name}, which needs no encoder: {metric} on {part} is {value:.3f}, "
        f"beside {best[1]:.3f}"
    ]


def _task(name: str, found: Mapping[str, Any], score: Score) -> dict[str, Any]:
    """One task, by the names that the template uses."""
    parts = dict(sorted(found["scores"].items(), reverse=True))  # test before dev
    main = next(iter(parts.values()))
    confusion = parts["dev"].get("confusion") or []
    return {
        "name": name,
        "found": found,
        "labels": [short_name(label) for label in found["labels"]],
        "score": score,
        "parts": parts,
        "repeated": told_repeated(found),
        "told_part": next(iter(parts)),
        "unbeaten": told_unbeaten(found),
        "means": {metric: told for metric, told in _MEANS.items() if metric in main["metrics"]},
        "baselines": {
            part: {
                name: metrics[found["metric"]]
                for name, metrics in found["baselines_on"][part].items()
            }
            for part in parts
        },
        "confusion": confusion if len(confusion) <= _MOST_CLASSES else [],
        "contamination": [
            _contained(part, scored["contamination"], found["metric"])
            for part, scored in parts.items()
            if "contamination" in scored
        ],
    }


def _contained(part: str, told: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What of a file the pretraining text holds, and the deciding metric without it."""
    without = told["without"]
    shown = None if without is None else without["metrics"].get(metric)
    return {**told, "part": part, "metric_without": shown}
