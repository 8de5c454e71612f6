"""What a training process is told of config and inputs, and which of it is the training's identity.

The finished stages before it are stood in for by their files and figures alone.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_pipeline import TINY, merged

from tasks.config import Config
from tasks.engine.identity import digest_of
from tasks.engine.units import StoredFile
from tasks.stages.pretrain_model import pretrain_slice
from tasks.training.config_to_spec import make_spec, training_identity
from tasks.training.resolved import Resolved
from tasks.training.start_files import Start


def stored(folder: Path, name: str, rows: int | None = None) -> StoredFile:
    """A file that lies there, told by its name for a digest."""
    (folder / name).touch()
    return StoredFile(str(folder / name), name, 0, rows)


def context_of(folder: Path, files: dict[str, str] | None = None, **changes: Any) -> Any:
    """A stage at work; `files` names another file in place of one."""
    names = {name: name for name in ("t0", "t1", "h0", "tables", "counts", "given")}
    names |= files or {}
    known = {name: stored(folder, file, 100) for name, file in names.items()}
    lists = {"train/": [known["t0"], known["t1"]], "held_out/": [known["h0"]]}
    pack = SimpleNamespace(
        files=lists.__getitem__, file=lambda _: known["counts"], summary={"row_tokens": 64}
    )
    tokenizer = SimpleNamespace(file=lambda _: known["tables"], summary={"vocab_size": 1200})
    base = TINY if "from" not in changes.get("model", {}) else {**TINY, "model": {}}
    config = Config.model_validate(merged(base, changes))
    return SimpleNamespace(
        config=pretrain_slice(config),
        engine=config.engine,
        input={"pack": pack, "tokenizer": tokenizer}.__getitem__,
        externals={"config.json": known["given"]} if config.model.source_folder else {},
    )


def digest_at(folder: Path, start: Start | None = None, **changes: Any) -> str:
    return digest_of(training_identity(context_of(folder, **changes), start or Start()))


@pytest.mark.parametrize("file", ["t0", "t1", "h0", "tables"])
def test_every_file_that_is_read_is_part_of_a_training(file: str, tmp_path: Path) -> None:
    assert digest_at(tmp_path, files={file: "other"}) != digest_at(tmp_path)


def test_the_order_of_rows_is_part_of_a_training(tmp_path: Path) -> None:
    assert digest_at(tmp_path, files={"t0": "t1", "t1": "t0"}) != digest_at(tmp_path)


@pytest.mark.parametrize(
    "recipe",
    [
        {"steps": 15},
        {"batch_rows": 17},
        {"seed": 1},
        {"precision": "bf16"},
        {"dropout": 0.1},
        {"loss": {"candidates": "batch"}},
        {"masking": {"rate": 0.2}},
        {"optimizer": {"weight_decay": 0.5}},
        {"schedule": {"warmup_share": 0.5}},
        {"steps": None, "minutes": 1.0},
    ],
)
def test_every_number_of_the_recipe_is_too(recipe: dict[str, Any], tmp_path: Path) -> None:
    assert digest_at(tmp_path, pretrain=recipe) != digest_at(tmp_path)


def test_so_are_the_model_and_what_it_begins_with(tmp_path: Path) -> None:
    counts = stored(tmp_path, "counts")
    digests = [
        digest_at(tmp_path),
        digest_at(tmp_path, model={"num_layers": 3}),
        digest_at(tmp_path, model={"max_row_tokens": 65}),
        digest_at(tmp_path, model={"initializer_range": 0.03}),
        digest_at(tmp_path, Start("local")),
        digest_at(tmp_path, Start("local", {"token_counts": counts})),
        digest_at(tmp_path, Start("local", {"token_vectors": counts})),
        digest_at(tmp_path, model={"from": "somewhere"}),
        digest_at(tmp_path, files={"given": "another"}, model={"from": "somewhere"}),
    ]
    assert len(set(digests)) == len(digests)


def test_where_it_runs_and_when_it_saves_is_not(tmp_path: Path) -> None:
    plain = digest_at(tmp_path)
    launch = {"launch": {"processes": 3, "threads": 7, "device": "cpu"}}
    assert digest_at(tmp_path, engine=launch) == plain
    for recipe in ({"checkpoint_steps": 9}, {"keep_checkpoints": 9}, {"micro_batch_rows": 2}):
        assert digest_at(tmp_path, pretrain=recipe) == plain
    noisy = digest_at(tmp_path, pretrain={"dropout": 0.1})
    assert digest_at(tmp_path, pretrain={"dropout": 0.1, "micro_batch_rows": 2}) != noisy


def spec_of(context: Any, folder: Path, resolved: Resolved | None = None, **given: Any) -> Any:
    told = {"resume": None, "stop_step": None, **given}
    return make_spec(context, Start(), "digest", resolved, folder=folder, **told)


def test_each_value_is_told_under_its_own_name(tmp_path: Path) -> None:
    recipe = {
        **{"batch_rows": 5, "micro_batch_rows": 2, "seed": 8, "dropout": 0.25, "steps": 9},
        **{"checkpoint_steps": 3, "precision": "bf16", "loss": {"candidates": "batch"}},
        **{"masking": {"rate": 0.4, "whole_word": True}, "optimizer": {"clip_norm": 2.0}},
        **{"schedule": {"type": "wsd"}},
    }
    launch = {"launch": {"threads": 4, "device": "cpu"}}
    context = context_of(tmp_path, pretrain=recipe, engine=launch)
    found = spec_of(context, tmp_path, resume=tmp_path / "c", stop_step=6)
    assert [Path(name).name for name in found["rows"]] == ["t0", "t1"]
    assert [Path(name).name for name in found["held_out"]] == ["h0"]
    assert Path(found["tables"]).name == "tables"
    plain = {
        **{"batch_rows": 5, "micro_batch_rows": 2, "seed": 8, "dropout": 0.25, "steps": 9},
        **{"minutes": None, "checkpoint_steps": 3, "precision": "bf16", "candidates": "batch"},
        **{"stop_step": 6, "threads": 4, "device": "cpu", "supervised": True},
        **{"training": "digest", "folder": str(tmp_path), "resume": str(tmp_path / "c")},
        **{"initial": None, "start": {"kind": "plain"}},
    }
    assert {name: found[name] for name in plain} == plain
    assert (found["masking"]["rate"], found["masking"]["whole_word"]) == (0.4, True)
    assert (found["optimizer"]["clip_norm"], found["schedule"]["type"]) == (2.0, "wsd")
    model = found["model"]
    assert (model["vocab_size"], model["max_row_tokens"], model["width"]) == (1200, 64, 64)


def test_what_was_found_out_once_holds_instead_of_minutes(tmp_path: Path) -> None:
    context = context_of(tmp_path, pretrain={"steps": None, "minutes": 3.0, "precision": "auto"})
    before = spec_of(context, tmp_path)
    assert (before["steps"], before["minutes"], before["precision"]) == (None, 3.0, "auto")
    after = spec_of(context, tmp_path, Resolved(77, "fp32"))
    assert (after["steps"], after["minutes"], after["precision"]) == (77, None, "fp32")
    assert after["resume"] is None


def test_epochs_are_steps_of_the_training_rows_alone(tmp_path: Path) -> None:
    """Two shards of a hundred rows, sixteen a step: 25 steps are two epochs."""
    context = context_of(tmp_path, pretrain={"steps": None, "epochs": 2.0})
    assert spec_of(context, tmp_path)["steps"] == 25


def test_a_model_to_continue_from_is_a_folder_of_links(tmp_path: Path) -> None:
    context = context_of(tmp_path, model={"from": "somewhere"})
    found = spec_of(context, tmp_path)
    assert found["model"] is None
    assert found["initial"] == str(tmp_path / "initial")
    assert (tmp_path / "initial" / "config.json").resolve().name == "given"
