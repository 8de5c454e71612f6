"""Where a model is scored: asked for, found or refused, and part of no key."""

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from byte_models import byte_model

from tasks.config import EngineConfig, LaunchConfig
from tasks.config.suite import Suite
from tasks.engine.identity import digest_of
from tasks.engine.outside import outside_file
from tasks.engine.stores import open_store
from tasks.engine.units import UnitWork
from tasks.errors import UserError
from tasks.evaluation.device import Device, map_for
from tasks.evaluation.opened import open_model
from tasks.evaluation.task import Subject
from tasks.stages.evaluate_suite import evaluate_folder, model_files


class Context:
    """A stage at work whose units are noted and not run."""

    def __init__(self, **engine: Any) -> None:
        self.engine = EngineConfig(**engine)

    def map(self, *_: Any, workers: int | None = None) -> int | None:
        return workers


@pytest.mark.parametrize(
    ("name", "has_gpu", "place"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("gpu", True, "cuda")],
)
def test_the_gpu_is_used_where_there_is_one(
    name: Literal["auto", "cpu", "gpu"],
    has_gpu: bool,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless the CPU is asked for; on a GPU of this machine units come one after the other."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    device = Device(name)
    assert device.on_this_machine() == place
    run: Any = map_for(Context(), device)  # type: ignore[arg-type]
    assert run(None, []) == (1 if place == "cuda" else None)
    far: Any = Context(kind="dask", address="tcp://host:8786")
    assert map_for(far, device)(None, []) is None, "its workers have devices of their own"


def test_a_gpu_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As training does: a run that was to take an hour on it would take days."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    engine = EngineConfig(workers=1, launch=LaunchConfig(device="gpu"))
    asked = Suite.model_validate(
        {"name": "any", "tasks": [{"task": "neighbours", "name": "near", "words": ["a"]}]}
    )
    with pytest.raises(UserError, match=r"engine.launch.device: torch finds no GPU"):
        evaluate_folder(byte_model(tmp_path / "m"), asked, open_store(str(tmp_path)), engine=engine)


def test_the_device_is_in_no_key(tmp_path: Path) -> None:
    """What was scored on one is found again on the other."""
    files = {"config.json": outside_file(byte_model(tmp_path / "m") / "config.json")}
    keys = {
        digest_of(Subject(files, device=Device(name)).payload_on_device)
        for name in ("auto", "cpu", "gpu")
    }
    assert len(keys) == 1


def test_a_worker_keeps_a_model_for_each_way_of_reading(tmp_path: Path) -> None:
    """The same files read texts with <s> and </s> for one task and without them for the next."""
    files = model_files(byte_model(tmp_path / "m"))
    lengths: list[int] = []
    for special_tokens in ("bos_eos", "none", "bos_eos"):
        work = UnitWork("blimp/a", tmp_path / f"unit-{len(lengths)}")
        _, tokenizer = open_model(work, files, special_tokens)
        lengths.append(len(tokenizer.encode("abc").ids))
    assert lengths == [5, 3, 5]


def test_a_worker_keeps_a_model_for_each_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are moved there, and not taken from where they were before."""
    files = model_files(byte_model(tmp_path / "m"))
    work = UnitWork("blimp/a", tmp_path / "unit")
    near, _ = open_model(work, files, "bos_eos", Device("cpu"))
    assert open_model(work, files, "bos_eos", Device("cpu"))[0] is near
    # `meta` stands for a device that this machine need not have: weights there have no values.
    monkeypatch.setattr(Device, "on_this_machine", lambda _: "meta")
    far, _ = open_model(work, files, "bos_eos", Device("gpu"))
    assert {parameter.device.type for parameter in far.parameters()} == {"meta"}


def test_a_worker_keeps_a_model_by_the_content_of_its_files(tmp_path: Path) -> None:
    """A copy elsewhere is the same model; other weights under the same names are another."""
    work = UnitWork("blimp/a", tmp_path / "unit")
    place = byte_model(tmp_path / "m")
    shutil.copytree(place, tmp_path / "copy")
    first, _ = open_model(work, model_files(place), "bos_eos")
    copied = model_files(tmp_path / "copy")
    assert open_model(work, copied, "bos_eos")[0] is first
    byte_model(place, seed=1)
    other, _ = open_model(work, model_files(place), "bos_eos")
    weights = (model.embeddings.word.weight for model in (first, other))
    assert not torch.equal(*weights)


def test_a_worker_keeps_one_model_at_a_time(tmp_path: Path) -> None:
    """Whoever is asked about one after another needs no more memory for the last than the first."""
    work, kept = UnitWork("blimp/a", tmp_path / "unit"), []
    for seed in (0, 1, 2):
        model, _ = open_model(work, model_files(byte_model(tmp_path / "m", seed=seed)), "bos_eos")
        kept.append(weakref.ref(model))
        del model
    gc.collect()
    assert [model() is None for model in kept] == [True, True, False]


def test_what_has_little_to_compute_knows_no_device() -> None:
    """A unit that reads texts depends on the model and on how it reads them."""
    subject = Subject({}, "none", device=Device("gpu"))
    assert subject.payload == {"model": {}, "special_tokens": "none"}
    assert subject.payload_on_device == {**subject.payload, "device": Device("gpu")}
