"""The published models of a store with their scores: what another one is held against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.records import Artifact, read_manifest
from tasks.engine.store import Store
from tasks.inspection.runs import artifacts_of
from tasks.publishing.scores import Score, scores_of
from tasks.stages import FINE_TUNING, stage_folder

_EVALUATE, _PUBLISH = "evaluate", "publish"
_OF_ENCODER = ("pretrain", "tokenizer")


@dataclass(frozen=True)
class PublishedModel:
    """One published artifact.

    Attributes:
        published: The artifact itself.
        evaluated: Its evaluation.
        taught: What it was taught last, if anything.
    """

    published: Artifact
    evaluated: Artifact
    taught: Artifact | None = None

    @property
    def name(self) -> str:
        """The pipeline's."""
        return str(self.published.config["name"])

    @property
    def finished(self) -> str:
        """When it was published, to the minute, UTC."""
        return self.published.ended[:16].replace("T", " ")

    @property
    def scores(self) -> list[Score]:
        """Its scores, and of each task that it was taught the one that decides."""
        taught = {} if self.taught is None else self.taught.summary
        deciding: dict[str, Score] = {}
        for score in scores_of(taught):
            deciding.setdefault(score.task, score)
        return [*scores_of(self.evaluated.summary), *deciding.values()]

    @property
    def folder(self) -> str:
        """Where the model folder is."""
        return self.published.store.url(f"{self.published.folder}/model")


def published_models(store: Store, name: str | None = None) -> Iterator[PublishedModel]:
    """The published models whose evaluation is still there, newest first; with `name`, its own."""
    taught = artifacts_of(store, FINE_TUNING)
    for artifact in artifacts_of(store, _PUBLISH):
        if name not in (None, artifact.config["name"]):
            continue
        key = artifact.manifest["inputs"][_EVALUATE]["key"]
        evaluated = read_manifest(store, f"{stage_folder(_EVALUATE)}/{key}")
        if evaluated is not None:
            yield PublishedModel(artifact, evaluated, _taught(taught, artifact))


def _taught(newest_first: Sequence[Artifact], published: Artifact) -> Artifact | None:
    """The newest fine-tuning of a published model's encoder."""
    encoder = _encoder(published)
    return next((each for each in newest_first if encoder and _encoder(each) == encoder), None)


def _encoder(artifact: Artifact) -> list[str]:
    """The keys of the weights and the tokenizer that an artifact was made from."""
    inputs = artifact.manifest["inputs"]
    return [inputs[name]["key"] for name in _OF_ENCODER if name in inputs]


def earlier_models(store: Store, name: str, evaluation: str, most: int = 8) -> list[dict[str, Any]]:
    """Models of a name with another evaluation than this one, newest first, as plain JSON.

    Each `{"finished", "key", "scores": [{"name", "value", "shown"}]}`.
    """
    found: dict[str, PublishedModel] = {}
    for model in published_models(store, name):
        if model.evaluated.key != evaluation and len(found) < most:
            found.setdefault(model.evaluated.key, model)
    return [
        {
            "finished": model.finished,
            "key": model.published.key,
            "scores": [
                {"name": score.name, "value": score.value, "shown": score.shown()}
                for score in model.scores
            ],
        }
        for model in found.values()
    ]
