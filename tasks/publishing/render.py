"""Turning figures into the report (HTML)."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.publishing.charts import ledger_chart, loss_chart, scores_chart, throughput_chart
from tasks.publishing.templates import template


def render_report(
    figures: Mapping[str, Any],
    losses: tuple[Sequence[int], Sequence[float]],
    circumstances: Mapping[str, Any],
) -> str:
    """The report: one HTML file that needs nothing else, neither scripts nor a network.

    `figures` are as `collect_figures` gives them, `losses` steps and their losses, and
    `circumstances` as `collect_circumstances` gives them.
    """
    throughput = circumstances["throughput"]
    blimp = figures["blimp"]
    documents = [stage for stage in figures["ledger"]["stages"] if "documents" in stage]
    return template("report.html.j2").render(
        figures,
        **circumstances,
        loss_chart=loss_chart(*losses),
        throughput_chart=throughput_chart(*throughput) if len(throughput[0]) > 1 else "",
        ledger_chart=ledger_chart(documents, "documents"),
        blimp_chart=scores_chart(blimp["files"], chance=0.5) if blimp else "",
    )
