"""The page on what an encoder was taught: one HTML file that needs nothing else.

    summary of `finetune` ──▶ each task: scores on test and dev, beside what needs no encoder,
                              what was taken for what, what was tried ──▶ taught.html.j2

It lies beside the fine-tuned folders: the model's own report is made before they are.
"""

from collections.abc import Mapping
from typing import Any

from tasks.publishing.plain_text import short_name
from tasks.publishing.scores import Score, scores_of
from tasks.publishing.templates import template

_MOST_CLASSES = 12  # in the table of what was taken for what


def render_taught(summary: Mapping[str, Any]) -> str:
    """The page.

    Args:
        summary: Of the stage: `tasks`, `scores`, `contamination`, as docs/finetuning.md has them.
    """
    deciding: dict[str, Score] = {}
    for row, score in zip(summary["scores"], scores_of(summary), strict=True):
        deciding.setdefault(row["task"], score)
    tasks = [_task(name, found, deciding[name]) for name, found in summary["tasks"].items()]
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


def _task(name: str, found: Mapping[str, Any], score: Score) -> dict[str, Any]:
    """One task, by the names that the template uses."""
    parts = dict(sorted(found["scores"].items(), reverse=True))  # test before dev
    confusion = parts["dev"].get("confusion") or []
    return {
        "name": name,
        "found": found,
        "labels": [short_name(label) for label in found["labels"]],
        "score": score,
        "parts": parts,
        "repeated": told_repeated(found),
        "told_part": next(iter(parts)),
        "baselines": {
            baseline: metrics[found["metric"]] for baseline, metrics in found["baselines"].items()
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
