"""All published models of a store by score, and published scores of known models among them."""

from collections.abc import Iterable, Sequence
from typing import Any

from tasks.engine.store import Store
from tasks.errors import UserError
from tasks.inspection.models import PublishedModel, published_models
from tasks.publishing.anchors import anchors_of
from tasks.publishing.latest import published_folder
from tasks.publishing.scores import Score


def leaderboard(store: Store) -> dict[str, Any]:
    """Plain JSON: `{"store", "boards": [{"score", "higher_is_better", "rows": [...]}]}`.

    A board for each score that a model has, best first. A row is a model of the store (`name`,
    `finished`, `key`, `parameters`, `value`, `interval`, `items`, `unit`, and `is_latest`: whether
    `models/<name>` points to it) or a published one (`name`, `value`, `set`, `source`), as `kind`
    says.

    Raises:
        UserError: the store has no published model.
    """
    models = list(published_models(store))
    if not models:
        raise UserError(
            f"{store.url('')}: no model was published here yet. Use `roberta run`, or name the "
            "right store by --store."
        )
    names = dict.fromkeys(score.name for model in models for score in model.scores)
    newest = {model.name: model.published.folder for model in reversed(models)}
    latest = {published_folder(store, name) or folder for name, folder in newest.items()}
    return {"store": store.url(""), "boards": [_board(name, models, latest) for name in names]}


def _board(name: str, models: Sequence[PublishedModel], latest: set[str]) -> dict[str, Any]:
    rows = []
    one: Score | None = None
    for model in models:
        for score in model.scores:
            if score.name == name:
                one = score
                rows.append(_row(model, score, model.published.folder in latest))
    assert one is not None
    if one.is_share:
        rows += list(_published(one))
    sign = -1 if one.higher_is_better else 1
    rows.sort(key=lambda row: (sign * row["value"], row["kind"], row["name"]))
    shown = {"score": name, "higher_is_better": one.higher_is_better, "is_share": one.is_share}
    return {**shown, "rows": rows}


def _row(model: PublishedModel, score: Score, is_latest: bool) -> dict[str, Any]:
    return {
        "kind": "model",
        "name": model.name,
        "value": score.value,
        "interval": None if score.interval is None else list(score.interval),
        "items": score.items,
        "unit": score.unit,
        "finished": model.finished,
        "key": model.published.key,
        "parameters": model.published.summary.get("parameters"),
        "is_latest": is_latest,
    }


def _published(score: Score) -> Iterable[dict[str, Any]]:
    for anchor in anchors_of(score.task, score.measure):
        yield {
            "kind": "published",
            "name": anchor.name,
            "value": anchor.value,
            "set": anchor.set,
            "source": anchor.source,
        }
