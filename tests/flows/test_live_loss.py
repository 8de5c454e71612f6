"""The loss as it falls, and that on held-out rows beside it."""

import re
from functools import partial
from typing import cast
from uuid import UUID

import pytest

from flows import watching
from flows.loss_picture import loss_svg
from flows.watching import LiveLoss, Watch
from tasks.engine.progress import Count


class Pages:
    """Keeps what would be drawn."""

    def __init__(self) -> None:
        self.drawn: list[partial[str]] = []

    def page(self, what: str, told: str, page: partial[str], task_run: UUID | None) -> None:
        assert what == "loss"
        self.drawn.append(page)


def test_held_out_losses_are_drawn_where_they_were_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are told with each step until the next is measured; a new count begins anew."""
    monkeypatch.setattr(watching, "PICTURE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "PROGRESS_SECONDS", 0.0)
    pages = Pages()
    live = LiveLoss(cast(Watch, pages))
    for _ in range(2):
        count = Count("pretrain", "", 40, "steps")
        live.begin(count)
        told = [(5, 4.0, None), (10, 3.5, 3.6), (15, 3.2, 3.6), (20, 3.1, 3.3)]
        for done, loss, held_out in told:
            figures = (
                {"loss": loss} if held_out is None else {"loss": loss, "held-out loss": held_out}
            )
            count.reach(done, figures)
            live.update(count)
    points, held_out_points, last, _ = pages.drawn[-1].args
    assert points == [(5, 4.0), (10, 3.5), (15, 3.2), (20, 3.1)]
    assert held_out_points == [(10, 3.6), (20, 3.3)]
    assert last == 40
    assert "The training goes on." in pages.drawn[-1]()


def test_what_goes_on_is_drawn_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PROGRESS_SECONDS", 0.0)
    pages = Pages()
    live = LiveLoss(cast(Watch, pages))
    before: list[tuple[float, dict[str, float]]] = [
        (1, {"loss": 4.0}),
        (2, {"loss": 3.8, "held-out loss": 3.9}),
    ]
    count = Count("pretrain", "", 40, "steps", 2, before=before)
    live.begin(count)
    count.reach(3, {"loss": 3.5})
    live.update(count)
    points, held_out_points, *_ = pages.drawn[-1].args
    assert points == [(1, 4.0), (2, 3.8), (3, 3.5)]
    assert held_out_points == [(2, 3.9)]


def test_a_fine_tuning_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the pretraining, whose finished page it would take the place of."""
    monkeypatch.setattr(watching, "PICTURE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "PROGRESS_SECONDS", 0.0)
    pages = Pages()
    live = LiveLoss(cast(Watch, pages))
    count = Count("finetune", "mood 0.01-16-0", 40, "steps")
    live.begin(count)
    count.reach(5, {"loss": 0.6})
    live.update(count)
    assert pages.drawn == []


def heights(svg: str) -> list[list[float]]:
    """The y of each line's points."""
    lines = re.findall(r'<polyline points="([^"]*)"', svg)
    return [[float(point.split(",")[1]) for point in line.split()] for line in lines]


def test_both_lines_share_one_scale_and_are_named() -> None:
    svg = loss_svg([(1, 4.0), (2, 3.0)], 2, [(2, 3.0)])
    (first, last), (held_out,) = heights(svg)
    assert held_out == last > first
    assert "on held-out rows" in svg
    higher = heights(loss_svg([(1, 4.0), (2, 3.0)], 2, [(2, 6.0)]))
    assert higher[1][0] < higher[0][0], "what is held out may lie above all else"
    assert min(higher[1]) > 0


def test_one_line_alone_needs_no_name() -> None:
    svg = loss_svg([(1, 4.0), (2, 3.0)], 4)
    assert len(heights(svg)) == 1
    assert "rows" not in svg
    assert heights(loss_svg([], 4)) == []
