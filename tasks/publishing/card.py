"""The model card: a YAML head that the hub reads, and Markdown below it that people do.

    figures of the evidence ┐
    what it cost            ┴──▶ head (license, model-index, ...) + card.md.j2 ──▶ README.md

Nothing of a source can leave its place: the head is written by a YAML writer, and what stands in
a table goes through the filter `cell`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tasks.publishing.licences import OTHER
from tasks.publishing.plain_text import one_line
from tasks.publishing.scores import Score
from tasks.publishing.spent import CORE_WATTS, GPU_WATTS, shown_energy, shown_seconds, told_training
from tasks.publishing.templates import template


def render_card(figures: Mapping[str, Any], spent: Mapping[str, Any]) -> str:
    """The model card.

    `figures` are as `collect_figures` gives them, `spent` as `spent_on` does.
    """
    body = template("card.md.j2").render(
        **figures,
        **_spent_in_words(spent),
        rough=[score for score in figures["scores"] if score.is_rough],
    )
    return f"---\n{card_head(figures)}---\n\n{body}"


def card_head(figures: Mapping[str, Any]) -> str:
    """The YAML head, without its rules."""
    head: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "fill-mask"}
    if figures["licence"] is not None:
        head["license"] = figures["licence"]
    if figures["licence"] == OTHER:
        head["license_name"] = one_line(figures["chosen_licence"] or "see-the-sources")
    if figures["languages"]:
        head["language"] = figures["languages"]
    begun = "continued-pretraining" if figures["goes_on"] else "pretrained-from-scratch"
    head["tags"] = ["roberta", "fill-mask", "masked-lm", begun]
    if figures["scores"]:
        results = _results(figures["scores"])
        head["model-index"] = [{"name": figures["name"], "results": results}]
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)


def _results(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The scores as the hub's model index has them: a result for each task."""
    tasks = dict.fromkeys(score.task for score in scores)
    return [
        {
            "task": {"type": "fill-mask", "name": "Masked language modelling"},
            "dataset": {"name": one_line(task), "type": "-".join(one_line(task).lower().split())},
            "metrics": [
                {
                    "type": score.measure.partition(" at <")[0].replace(" ", "_"),
                    "name": score.measure,
                    "value": round(score.value, 6),
                }
                for score in scores
                if score.task == task
            ],
        }
        for task in tasks
    ]


def _spent_in_words(spent: Mapping[str, Any]) -> dict[str, str]:
    training = spent["training"]
    watts = GPU_WATTS if training["is_on_gpu"] else CORE_WATTS
    return {
        "hardware": told_training(training),
        "training_time": shown_seconds(training["clock_seconds"]),
        "whole_time": shown_seconds(spent["seconds"]),
        "energy": shown_energy(spent["watt_hours"]),
        "watts": f"{watts:.0f} W a {'GPU' if training['is_on_gpu'] else 'busy core'}",
    }
