"""Where a model comes from, and which models a file went into: both ways through the store."""

from pathlib import Path

import pytest
from hand_made import hand_made, hand_made_run, output

from tasks.engine.identity import file_digest
from tasks.engine.records import Artifact
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile
from tasks.errors import StageError, UserError
from tasks.inspection.lineage import corpus_of, find_model, lineage_of, made_from, models_with
from tasks.publishing.latest import point_latest

MADE_FROM = {"download": "d", "clean": "c", "pretrain": "t"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def published(store: Store, key: str = "p", download: str = "d", **externals: str) -> Artifact:
    """A published model and all that it was made from, with one file of text."""
    files = [{"name": "/a.txt", "sha256": f"text of {download}"}]
    source = {"name": "letters", "type": "files", "documents": 3, "bytes": 9, "more": "x"}
    summary = {"files": files, "sources": [source]}
    hand_made(store, "download", download, ended="2026-01-01", summary=summary)
    hand_made(store, "clean", "c", ended="2026-01-02", outputs=[
        output("held_out/b.arrow"), output("train/a.arrow"),
    ])  # fmt: skip
    hand_made(store, "pretrain", "t", ended="2026-01-03", externals=externals)
    weights = output("model/model.safetensors", sha256=f"weights of {key}")
    return hand_made(
        store,
        "publish",
        key,
        ended="2026-01-04",
        made_from=MADE_FROM | {"download": download},
        outputs=[weights, output("report.html")],
    )


def test_a_model_is_told_with_every_stage_source_file_and_run(store: Store) -> None:
    hand_made_run(store, "mine", {"download": "d", "publish": "p"}, started="1")
    hand_made_run(store, "again", {"publish": "p"}, started="2")
    hand_made_run(store, "other", {"download": "d", "publish": "q"}, started="3")
    told = lineage_of(published(store))
    stages = {each["name"]: (each["key"], each["ended"]) for each in told.pop("stages")}
    assert stages == {
        "download": ("d", "2026-01-01"),
        "clean": ("c", "2026-01-02"),
        "pretrain": ("t", "2026-01-03"),
        "publish": ("p", "2026-01-04"),
    }
    assert list(stages)[-1] == "publish"
    assert told == {
        "model": store.url("7-publish/p/model"),
        "published": "2026-01-04",
        "sources": [{"name": "letters", "type": "files", "documents": 3, "bytes": 9}],
        "files": [{"name": "/a.txt", "sha256": "text of d"}],
        "continued_from": None,
        "runs": ["again", "mine"],
    }


@pytest.mark.parametrize("file", ["model.safetensors", "model.safetensors.index.json"])
def test_a_model_that_went_on_from_weights_names_them(store: Store, file: str) -> None:
    made = published(store, **{"config.json": "0", file: "w"})
    assert lineage_of(made)["continued_from"] == "w"


def test_what_is_no_longer_whole_is_named(store: Store) -> None:
    made = published(store)
    assert list(made_from(store, made)) == list(made.manifest["inputs"])
    store.remove("5-pretrain/t/manifest.json")
    with pytest.raises(StageError, match="7-publish/p was made from pretrain t, which is no"):
        made_from(store, made)


def test_the_models_of_a_file_are_those_that_read_its_very_bytes(
    store: Store, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear reader")
    for key, digest in (("p1", file_digest(text)), ("p2", "of another text")):
        hand_made(
            store, "download", f"d{key}", summary={"files": [{"name": "a", "sha256": digest}]}
        )
        hand_made(store, "publish", key, ended=f"on {key}", made_from={"download": f"d{key}"})
    point_latest(store, "7-publish/p1", "letters")
    assert models_with(store, text) == [
        {
            "model": store.url("7-publish/p1/model"),
            "published": "on p1",
            "names": ["latest", "models/letters"],
        }
    ]
    point_latest(store, "7-publish/p2", "letters")
    assert models_with(store, text)[0]["names"] == []
    store.remove("1-download/dp1/manifest.json")
    assert models_with(store, text) == []


def test_a_model_is_found_by_name_by_folder_and_by_link(store: Store) -> None:
    published(store)
    point_latest(store, "7-publish/p", "letters")
    folder = Path(store.url("7-publish/p"))
    (folder / "model").mkdir()
    assert find_model("letters", store).key == "p"
    for word in (folder, folder / "model", store.url("latest"), store.url("models/letters/model")):
        assert find_model(str(word), None).key == "p", word


@pytest.mark.parametrize("word", ["nobody", "4-pack/p", "7-publish", "7-publish/p/model/deeper"])
def test_what_is_no_published_model_is_refused(store: Store, word: str) -> None:
    published(store)
    hand_made(store, "pack", "p")
    Path(store.url("7-publish/p/model/deeper")).mkdir(parents=True)
    with pytest.raises(UserError, match="neither a published model of a store nor the name"):
        find_model(store.url(word), store)


def test_the_text_of_a_model_is_that_of_its_training_and_only_while_it_is_sure(
    store: Store, tmp_path: Path
) -> None:
    """Weights that somebody put there instead were trained on we do not know what."""
    published(store)
    folder = Path(store.url("7-publish/p/model"))
    folder.mkdir()
    weights = StoredFile("x", "weights of p", 1)
    found = corpus_of(folder, {"model.safetensors": weights})
    assert [file.sha256 for file in found] == ["of train/a.arrow"]
    assert corpus_of(folder, {"model.safetensors": StoredFile("x", "others", 1)}) == []
    assert corpus_of(folder, {"model.safetensors": weights, "more.json": weights}) == []
    assert corpus_of(tmp_path, {"model.safetensors": weights}) == []
    unit = {
        "key": "k", "label": "train/a", "function": "f", "output": True, "ledger": {},
        "summary": {}, "provenance": {},
        "files": {".arrow": {"bytes": 1, "sha256": "gone", "rows": 1}},
    }  # fmt: skip
    hand_made(store, "clean", "c", outputs=[output("train/a.arrow")], units=[unit])
    assert corpus_of(folder, {"model.safetensors": weights}) == [], "it is damaged"
    hand_made(store, "publish", "p", outputs=[output("model/x", sha256="w")], made_from={})
    assert corpus_of(folder, {"x": StoredFile("x", "w", 1)}) == []
