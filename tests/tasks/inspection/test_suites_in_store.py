"""Results of suites are listed, checked and pruned as all that lies in a store."""

import json
import shutil
from pathlib import Path

import pytest
from artifacts_guide import rows_of, unnamed
from byte_models import byte_model
from toy_stage import ToySlice

from tasks.config import Config, EngineConfig
from tasks.config.suite import Suite
from tasks.engine.progress import Progress
from tasks.engine.records import Artifact
from tasks.engine.runner import run_stage
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import Unit, UnitReport, UnitWork
from tasks.errors import UserError
from tasks.inspection.health import read_health
from tasks.inspection.prune import Pruned, prune
from tasks.inspection.runs import write_run
from tasks.inspection.status import read_status
from tasks.inspection.verify import find_damage, repair
from tasks.stages import stage_folder
from tasks.stages.evaluate_suite import evaluate_folder

ALONE = EngineConfig(workers=1)


def copy_folder(work: UnitWork, *, folder: str) -> UnitReport:
    """A model folder, as `publish` hands it on."""
    work.directory()
    for path in Path(folder).iterdir():
        shutil.copyfile(path, work.path(f"/{path.name}"))
    return UnitReport()


def published(store: Store, model: Path, run: str) -> Artifact:
    """An artifact of the stage `publish` with a model in it, and the run that made it."""

    def hand_on(context: StageContext[ToySlice]) -> StageReport:
        context.map(copy_folder, [Unit("model", {"folder": str(model)})], workers=1)
        return StageReport()

    stage = Stage("publish", 7, 1, (), lambda _: ToySlice(numbers=[int(run)]), hand_on)
    made = run_stage(stage, Config.model_construct(corpus=[], engine=ALONE), store).artifact
    stages = [{"name": "publish", "key": made.key, "state": "done"}]
    record = {"run": run, "name": "ours", "started": run, "state": "done", "process": None}
    write_run(store, {**record, "stages": stages, "model": "there", "config": {}})
    return made


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Two minimal pairs."""
    lines = [("a dog barks", "a dog bark"), ("they are", "they is")]
    pairs = [{"sentence_good": good, "sentence_bad": bad} for good, bad in lines]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    task = {"task": "minimal_pairs", "name": "pairs", "data": str(path)}
    return Suite.model_validate({"name": "ours", "tasks": [task]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def asked(store: Store, suite: Suite, model: Path) -> Artifact:
    return evaluate_folder(model, suite, store, engine=ALONE).artifact


def whys(items: list[Pruned]) -> dict[tuple[str, str], str]:
    return {(item.stage, item.key): item.why for item in items}


def test_results_stay_as_long_as_the_model_that_was_asked(
    store: Store, suite: Suite, tmp_path: Path
) -> None:
    """They go with it; those of a model that was never in the store wait for --keep 0."""
    models = [byte_model(tmp_path / f"model{seed}", seed=seed) for seed in range(3)]
    old, new = (published(store, models[seed], str(seed)) for seed in range(2))
    folders = [Path(store.url(made.folder)) / "model" for made in (old, new)]
    of_old, of_new, of_stranger = (asked(store, suite, each) for each in (*folders, models[2]))

    found = prune(store)
    assert whys(found.removed) == {
        ("publish", old.key): "no kept run refers to it",
        ("suite", of_old.key): "the model that was asked goes too",
    }
    kept = whys(found.kept)
    assert kept["suite", of_new.key] == f"they are of the model in 7-publish/{new.key}"
    assert "lies elsewhere; --keep 0" in kept["suite", of_stranger.key]
    assert not store.exists(of_old.folder)
    assert find_damage(store) == []
    assert evaluate_folder(folders[1], suite, store, engine=ALONE).state == "cached"

    gone = whys(prune(store, 0).removed)
    assert gone["suite", of_stranger.key] == "the model that was asked lies elsewhere"
    assert gone.keys() == {(stage, key) for stage, key in kept}
    assert store.names(stage_folder("suite")) == []


def test_a_store_of_suites_alone_needs_no_run(store: Store, suite: Suite, tmp_path: Path) -> None:
    """Nothing says that its results are not wanted; what is listed is what lies there."""
    made = asked(store, suite, byte_model(tmp_path / "model"))
    assert [item.key for item in prune(store).kept] == [made.key]
    (entry,) = read_status(store)["artifacts"]
    assert (entry["stage"], entry["key"], entry["state"]) == ("suite", made.key, "done")
    assert entry["units"] == len(made.units)
    assert entry["bytes"] > 0
    assert read_health(store)["disk"]["bytes_per_day"] > 0
    assert unnamed(Path(store.url("")), rows_of("path | what it holds")) == []


def test_damaged_results_are_named_and_mended_by_asking_again(
    store: Store, suite: Suite, tmp_path: Path
) -> None:
    """No run tells which folder was asked, so `--repair` says what does."""
    model = byte_model(tmp_path / "model")
    made = asked(store, suite, model)
    (path, file), *_ = made.outputs
    sound = Path(file.url).read_bytes()
    Path(file.url).write_bytes(sound[:-1] + b"?")
    damage = find_damage(store)
    assert [(each["stage"], each["path"]) for each in damage] == [
        ("suite", f"{made.folder}/{path}")
    ]
    with pytest.raises(UserError, match="roberta evaluate MODEL --suite ours`, which does"):
        repair(store, damage, None, Progress())
    asked(store, suite, model)
    assert find_damage(store) == []
    assert Path(file.url).read_bytes() == sound
