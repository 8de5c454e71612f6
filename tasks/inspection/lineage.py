"""Lineage: from a published model back to the files it was made from, and the other way.

sources' files ──▶ download ──▶ clean ──▶ ... ──▶ publish        a model's
a file ──▶ every published model that has read it                a file's
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.artifacts import CleanText
from tasks.engine.identity import file_digest
from tasks.engine.records import MANIFEST, Artifact, read_manifest
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile
from tasks.errors import StageError, UserError
from tasks.inspection.runs import artifacts_of, read_runs
from tasks.publishing.latest import published_folder, published_folders
from tasks.stages import stage_folder

PUBLISH = "publish"


def made_from(store: Store, published: Artifact) -> dict[str, Artifact]:
    """The artifacts that a published one was made from, by stage.

    Raises:
        StageError: one of them is no longer in the store.
    """
    found = {}
    for stage, entry in published.manifest["inputs"].items():
        artifact = read_manifest(store, f"{stage_folder(stage)}/{entry['key']}")
        if artifact is None:
            raise StageError(
                f"{store.url(published.folder)} was made from {stage} {entry['key']}, which is "
                "no longer whole in the store. Run the pipeline once more to make it again."
            )
        found[stage] = artifact
    return found


def find_model(model: str, store: Store | None) -> Artifact:
    """The published artifact that a model folder, a link to one or a pipeline's name stands for.

    Raises:
        UserError: it is none of a store's.
    """
    if store is not None and (folder := published_folder(store, model)) is not None:
        found = read_manifest(store, folder)
        if found is not None:
            return found
    path = Path(model).resolve()
    for place in (path, path.parent):
        if (place / MANIFEST).is_file() and place.parent.name == stage_folder(PUBLISH):
            home = open_store(str(place.parent.parent))
            found = read_manifest(home, f"{place.parent.name}/{place.name}")
            if found is not None:
                return found
    raise UserError(
        f"{model}: this is neither a published model of a store nor the name of a pipeline that "
        "has published one. `roberta status` lists what there is."
    )


def corpus_of(folder: Path, model: Mapping[str, StoredFile]) -> list[StoredFile]:
    """The documents files that a run's model folder was trained on; none where nobody knows.

    Nobody does where the folder is none of a store's, its files are others than were published, or
    the text is no longer whole.

    Args:
        folder: The model folder.
        model: Its files by name.
    """
    try:
        published = find_model(str(folder), None)
    except UserError:
        return []
    known = {path: file.sha256 for path, file in published.outputs}
    if any(known.get(f"model/{name}") != file.sha256 for name, file in model.items()):
        return []
    made = published.manifest["inputs"].get("clean")
    if made is None:
        return []
    clean = read_manifest(published.store, f"{stage_folder('clean')}/{made['key']}")
    return [] if clean is None or clean.damaged() else CleanText(clean).files("train")


def lineage_of(published: Artifact) -> dict[str, Any]:
    """Plain JSON: the model, each stage it came through, every file that went in, and its runs.

    `{"model", "published", "stages": [{"name", "key", "ended"}], "sources": [{"name", "type",
    "documents", "bytes"}], "files": [{"name", "sha256"}], "continued_from": digest of the
    weights or None, "runs": [id]}`
    """
    store = published.store
    made = made_from(store, published)
    stages = [
        {"name": name, "key": artifact.key, "ended": artifact.ended}
        for name, artifact in {**made, PUBLISH: published}.items()
    ]
    begun = made["pretrain"].manifest["externals"]
    weights = begun.get("model.safetensors") or begun.get("model.safetensors.index.json")
    return {
        "model": store.url(f"{published.folder}/model"),
        "published": published.ended,
        "stages": stages,
        "sources": [
            {name: source[name] for name in ("name", "type", "documents", "bytes")}
            for source in made["download"].summary["sources"]
        ],
        "files": made["download"].summary["files"],
        "continued_from": weights,
        "runs": [
            str(run["run"])
            for run in read_runs(store)
            if any(entry.get("key") == published.key for entry in run["stages"])
        ],
    }


def models_with(store: Store, file: Path) -> list[dict[str, Any]]:
    """The published models that have read a file's bytes: `{"model", "published", "names"}`."""
    digest = file_digest(file)
    named: dict[str, list[str]] = {}
    for name, folder in published_folders(store):
        named.setdefault(folder, []).append(name)
    found = []
    for published in artifacts_of(store, PUBLISH):
        key = published.manifest["inputs"]["download"]["key"]
        download = read_manifest(store, f"{stage_folder('download')}/{key}")
        if download is not None and digest in {
            file["sha256"] for file in download.summary["files"]
        }:
            found.append(
                {
                    "model": store.url(f"{published.folder}/model"),
                    "published": published.ended,
                    "names": named.get(published.folder, []),
                }
            )
    return found
