"""A published model that is gone on from: it is whole, or nothing is done; and it is here."""

import hashlib
from pathlib import Path

import pytest

from tasks.engine.records import MANIFEST, output_entries
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord
from tasks.errors import StageError
from tasks.publishing.latest import point_latest
from tasks.publishing.published_model import model_folder, published_artifact

FOLDER, WEIGHTS = "7-publish/abc", b"weights"


def unit(label: str, suffix: str, said: bytes) -> UnitRecord:
    entry = {"bytes": len(said), "sha256": hashlib.sha256(said).hexdigest(), "rows": None}
    return UnitRecord(f"key-{label}", label, "make", True, {suffix: entry}, {}, {}, {})


def publish(store: Store) -> None:
    """An artifact of a model and a report, with its pointers."""
    units = [unit("model", "/model.safetensors", WEIGHTS), unit("report", ".html", b"<p>")]
    store.write(f"{FOLDER}/model/model.safetensors", WEIGHTS)
    store.write(f"{FOLDER}/report.html", b"<p>")
    for each in units:
        store.write(f"{FOLDER}/{each.path}", seal(each.to_json()))
    told = [each.to_json() for each in units]
    manifest = {"key": "abc", "outputs": output_entries(units), "units": told}
    store.write(f"{FOLDER}/{MANIFEST}", seal(manifest))
    point_latest(store, FOLDER, "letters")


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    here = request.param == "disk"
    opened = open_store(str(tmp_path) if here else f"memory://{tmp_path.name}-published")
    publish(opened)
    return opened


def test_it_is_read_from_a_folder_of_this_machine_wherever_the_store_is(store: Store) -> None:
    """A training and a tokenizer go on from files, which an object store has none of."""
    published = published_artifact(store, "letters")
    assert published is not None
    with model_folder(published) as folder:
        assert [path.name for path in Path(folder).iterdir()] == ["model.safetensors"]
        assert (Path(folder) / "model.safetensors").read_bytes() == WEIGHTS


def test_one_that_is_no_longer_whole_is_not_taken_for_none(store: Store) -> None:
    """Else a pipeline would begin from nothing and publish what was compared with nothing."""
    assert published_artifact(store, "another") is None
    store.remove(f"{FOLDER}/{MANIFEST}")
    with pytest.raises(StageError, match="models/letters leads to .* no longer whole"):
        published_artifact(store, "letters")


def test_damaged_weights_are_not_trained_on(store: Store) -> None:
    """Their key would be another one, and nothing would ever say why the scores are low."""
    published = published_artifact(store, "letters")
    assert published is not None
    store.write(f"{FOLDER}/model/model.safetensors", b"wEights")
    with pytest.raises(StageError, match="not as it was published"), model_folder(published):
        pass
