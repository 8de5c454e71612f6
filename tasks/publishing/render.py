"""The report: one HTML page that needs nothing else, for who decides and for who digs.

figures of the evidence ┐
losses, portrait        ├──▶ report.html.j2, with report.css.j2 and report.js.j2 in it
circumstances, earlier  ┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.publishing.anchors import anchors_of
from tasks.publishing.charts import (
    curve_chart,
    flow_chart,
    lengths_chart,
    loss_chart,
    scores_chart,
)
from tasks.publishing.figures import held_out_curve
from tasks.publishing.plain_text import seen
from tasks.publishing.reasons import reasons_told
from tasks.publishing.scores import Score
from tasks.publishing.spent import CORE_WATTS, GPU_WATTS, told_training
from tasks.publishing.templates import template

_MOST_ANCHORS = 4


def render_report(
    figures: Mapping[str, Any],
    losses: Sequence[Mapping[str, Any]],
    circumstances: Mapping[str, Any],
    portrait: Mapping[str, Any] | None = None,
    earlier: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The report.

    Args:
        figures: As `collect_figures` gives them.
        losses: A training's steps, as `losses.jsonl` has them.
        circumstances: As `collect_circumstances` gives them.
        portrait: As `portrait_of` gives it.
        earlier: Models of this name that were made before, as `earlier_models` gives them.
    """
    return template("report.html.j2").render(
        **figures,
        **circumstances,
        curve=held_out_curve(losses),
        charts=_charts(figures, losses, circumstances, portrait or {}),
        account=account_of(figures["ledger"], figures["cleaned"]),
        reasons=reasons_told(figures["ledger"]["stages"]),
        portrait=_shown_portrait(portrait),
        rows=[_row(score, earlier) for score in figures["scores"]],
        earlier=earlier,
        links={stage["name"]: stage["link"] for stage in circumstances["stages"]},
        hardware=told_training(circumstances["spent"]["training"]),
        watts={"core": CORE_WATTS, "gpu": GPU_WATTS},
    )


def _charts(
    figures: Mapping[str, Any],
    losses: Sequence[Mapping[str, Any]],
    circumstances: Mapping[str, Any],
    portrait: Mapping[str, Any],
) -> dict[str, str]:
    """The pictures by name; those that there is nothing to draw for are empty."""
    speed = circumstances["throughput"]
    last = float(losses[-1]["step"])
    rates = [(float(n["step"]), n["learning_rate"]) for n in losses if "learning_rate" in n]
    documents = [stage for stage in figures["ledger"]["stages"] if "documents" in stage]
    lengths = {int(power): n for power, n in portrait.get("lengths", {}).items()}
    blimp = figures["blimp"]
    return {
        "loss": loss_chart(
            [n["step"] for n in losses], [n["loss"] for n in losses], held_out_curve(losses)
        ),
        "rate": curve_chart(rates, "learning rate", last) if rates else "",
        "speed": curve_chart(speed, "tokens a second", last) if len(speed) > 1 else "",
        "flow": flow_chart(documents, "documents") if documents else "",
        "lengths": lengths_chart(lengths) if lengths else "",
        "blimp": scores_chart(blimp["files"], chance=0.5) if blimp else "",
    }


def account_of(ledger: Mapping[str, Any], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The documents of all stages as one sum: found - dropped + gained = train + held_out.

    `agrees` says whether it comes out; `dropped` is by reason.
    """
    stages = [stage["documents"] for stage in ledger["stages"] if "documents" in stage]
    dropped: dict[str, int] = {}
    gained = 0
    for entry in stages:
        for reason, amount in entry["dropped"].items():
            if amount > 0:
                dropped[reason] = dropped.get(reason, 0) + amount
            gained -= min(amount, 0)
    found = stages[0]["in"] if stages else 0
    train, held_out = (cleaned[split]["documents"] for split in ("train", "held_out"))
    lost = sum(dropped.values())
    return {
        "found": found,
        "dropped": dict(sorted(dropped.items(), key=lambda each: (-each[1], each[0]))),
        "num_dropped": lost,
        "gained": gained,
        "kept": train + held_out,
        "train": train,
        "held_out": held_out,
        "agrees": ledger["balanced"] and found - lost + gained == train + held_out,
    }


def _row(score: Score, earlier: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A score with all that stands beside it."""
    before = [
        {"name": model["finished"], "value": each["value"], "shown": score.shown(each["value"])}
        for model in earlier
        for each in model["scores"]
        if each["name"] == score.name
    ]
    anchors = anchors_of(score.task, score.measure) if score.is_share else ()
    return {"score": score, "anchors": anchors[:_MOST_ANCHORS], "earlier": before}


def _shown_portrait(portrait: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """With texts as they can be shown: no controls, nothing that turns the direction."""
    if portrait is None:
        return None
    samples = {why: [seen(text) for text in texts] for why, texts in portrait["samples"].items()}
    tokens = {
        kind: [seen(text).replace(" ", "·") for text in texts]
        for kind, texts in portrait["tokens"].items()
    }
    has_escapes = any(seen(text) != text for each in portrait["tokens"].values() for text in each)
    return {**portrait, "samples": samples, "tokens": tokens, "has_escapes": has_escapes}
