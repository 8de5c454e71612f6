"""The pretrain stage on a real tiny training: what it keeps, recalls and refuses."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elsewhere_training
import pytest
from tiny_pipeline import bytes_on_disk, digests, merged, run_all, write_config

from roberta_model.training.checkpoint import RECORD, read_record
from tasks.config import Config
from tasks.config.load import load_config
from tasks.engine.records import Artifact
from tasks.engine.runner import Outcome
from tasks.training import launch, running
from tasks.training.checkpoint_units import Checkpoints
from tasks.training.costs import planned_model, training_disk_bytes
from tasks.training.resolved import Resolved

TRAINING = {"steps": 14, "checkpoint_steps": 2}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all stages before the training."""
    folder = tmp_path_factory.mktemp("packed")
    run_all(load_config(str(write_config(folder))), until="pack")
    return folder / "store"


@pytest.fixture(scope="module")
def undisturbed(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one training without any trouble leaves."""
    config = config_at(packed, tmp_path_factory.mktemp("undisturbed"))
    return digests(pretrain(config))["pretrain"]


def config_at(packed: Path, folder: Path, **recipe: Any) -> Config:
    """The tiny pipeline on a copy of the packed store."""
    shutil.copytree(packed, folder / "store", dirs_exist_ok=True)
    recipe = merged(TRAINING, recipe)
    return load_config(str(write_config(folder, pretrain=recipe)))


def pretrain(config: Config) -> dict[str, Outcome]:
    return run_all(config, until="pretrain")


def artifact_folder(config: Config) -> Path:
    (folder,) = (Path(config.store) / "5-pretrain").iterdir()
    return folder


def steps_kept(folder: Path) -> list[int]:
    """The checkpoints whose files lie in an artifact."""
    return sorted(int(path.parent.name) for path in folder.glob("checkpoint/*/model.safetensors"))


class StoppedError(Exception):
    """An interruption that a test makes."""


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Interrupt the stage right after a checkpoint was committed."""
    adopt = Checkpoints.adopt

    def interrupted(self: Checkpoints, folder: Path, *rest: Any) -> Any:
        done = adopt(self, folder, *rest)
        if int(folder.name) == step:
            raise StoppedError
        return done

    monkeypatch.setattr(Checkpoints, "adopt", interrupted)


@pytest.mark.parametrize("num_kept", [1, 2, 4])
def test_a_training_never_holds_more_checkpoints_than_asked_for(
    num_kept: int,
    packed: Path,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The newest ones stay while it trains, the last two in the end; bytes know nothing of it."""
    config = config_at(packed, tmp_path, keep_checkpoints=num_kept)
    held: list[list[int]] = []
    num_bytes: list[int] = []
    let_go = Checkpoints.let_go_before

    def watched(self: Checkpoints, *arguments: Any, **more: Any) -> None:
        num_bytes.append(bytes_on_disk(artifact_folder(config), but=".lasting"))
        let_go(self, *arguments, **more)
        held.append(steps_kept(artifact_folder(config)))

    monkeypatch.setattr(Checkpoints, "let_go_before", watched)
    outcomes = pretrain(config)

    every = list(range(2, 15, 2))
    expected = [every[max(0, n - num_kept) : n] for n in range(1, len(every) + 1)]
    # The one before the last stays beside the last, even where one would do.
    expected[-1] = every[-max(2, num_kept) :]
    assert held == expected
    assert steps_kept(artifact_folder(config)) == [12, 14]
    assert digests(outcomes)["pretrain"] == undisturbed

    plan = training_disk_bytes(config, planned_model(config), steps=14)
    kept = bytes_on_disk(artifact_folder(config))
    assert plan["kept_bytes"] == pytest.approx(kept, rel=0.05)
    assert plan["disk_bytes"] == pytest.approx(max(kept, *num_bytes), rel=0.05)


@pytest.mark.parametrize("moment", ["before letting go", "while letting go"])
def test_a_kill_between_writing_and_letting_go_loses_nothing(
    moment: str,
    packed: Path,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next run goes on from the newest checkpoint, and the older ones go then."""
    config = config_at(packed, tmp_path, keep_checkpoints=1)
    with monkeypatch.context() as patch:
        name = "let_go_before" if moment == "before letting go" else "let_go"
        original = getattr(Checkpoints, name)
        calls: list[Any] = []

        def killed(self: Checkpoints, *arguments: Any, **more: Any) -> None:
            calls.append(arguments)
            if len(calls) == 3:
                raise StoppedError
            original(self, *arguments, **more)

        patch.setattr(Checkpoints, name, killed)
        with pytest.raises(StoppedError):
            pretrain(config)
    # The trainer is ended cleanly and leaves one more; the newest of all is gone on from.
    newest = steps_kept(artifact_folder(config))[-1]
    assert newest >= 6
    began = first_steps(monkeypatch)
    assert digests(pretrain(config))["pretrain"] == undisturbed
    assert began in ([], [newest])
    assert steps_kept(artifact_folder(config)) == [12, 14]


def first_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The step each training process goes on from, from now on."""
    began: list[int] = []
    events = launch.Trainer.events

    def watched(self: launch.Trainer, stall: float | None) -> Iterator[dict[str, Any]]:
        for event in events(self, stall):
            if event["event"] == "start":
                began.append(event["step"])
            yield event

    monkeypatch.setattr(launch.Trainer, "events", watched)
    return began


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.unlink()
    path.write_bytes(bytes(content))


def test_the_last_verified_checkpoint_stays_while_newer_ones_are_damaged(
    packed: Path, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that rots what it just took must not cost the whole training."""
    config = config_at(packed, tmp_path, keep_checkpoints=1)
    let_go = Checkpoints.let_go_before

    def rotting(self: Checkpoints, step: int, *rest: Any, **more: Any) -> None:
        if step == 6:
            place = artifact_folder(config) / "checkpoint" / f"{step:08d}"
            damage(place / "model.safetensors")
        let_go(self, step, *rest, **more)
        if step == 6:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "let_go_before", rotting)
        # Nothing further, as after a power cut.
        patch.setattr(launch.Trainer, "stop", lambda self: iter(()))
        patch.setattr(Checkpoints, "adopt_left", lambda self, goal: None)
        with pytest.raises(StoppedError):
            pretrain(config)
    shutil.rmtree(artifact_folder(config) / ".lasting")
    assert steps_kept(artifact_folder(config)) == [4, 6]
    began = first_steps(monkeypatch)
    assert digests(pretrain(config))["pretrain"] == undisturbed
    assert began == [4]


def leave_behind(config: Config, checkpoint: Path, **facts: Any) -> Path:
    """Put a checkpoint where a killed run would have left it, with other facts in its record."""
    place = artifact_folder(config) / ".lasting" / "1-killed" / checkpoint.name
    shutil.copytree(checkpoint, place)
    record = {**json.loads((place / RECORD).read_text()), **facts}
    (place / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return place


@pytest.mark.parametrize("facts", [{"training": "f" * 64}, {"steps": 20}, {"precision": "bf16"}])
def test_a_checkpoint_of_another_training_is_not_gone_on_from(
    facts: dict[str, Any],
    packed: Path,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever its step: going on from its weights, which are of step 4, would end with others."""
    config = config_at(packed, tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            pretrain(config)
    folder = artifact_folder(config)
    (newest,) = [read_record(path) for path in (folder / "checkpoint").glob("00000004")]
    assert newest is not None  # how much further the first trainer gets depends on the machine
    source = folder / "checkpoint" / "00000004"
    stranger = leave_behind(config, source, **facts, step=10)
    stranger.rename(stranger.with_name("00000010"))
    began = first_steps(monkeypatch)
    assert digests(pretrain(config))["pretrain"] == undisturbed
    assert began[0] >= 4


def resolved_file(config: Config) -> Path:
    return artifact_folder(config) / "resolved.json"


@pytest.fixture(scope="module")
def measured(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Any]:
    """A finished training of a tenth of a minute."""
    config = config_at(
        packed,
        tmp_path_factory.mktemp("measured"),
        steps=None,
        minutes=0.05,
        checkpoint_steps=10,
        precision="auto",
    )
    return config, digests(pretrain(config))["pretrain"]


@pytest.mark.parametrize("manifest", ["kept", "damaged too"])
def test_a_measured_number_of_steps_outlives_its_file(
    manifest: str, measured: tuple[Config, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in every checkpoint; measured anew it would be another training."""
    config, expected = measured
    shutil.copytree(config.store, tmp_path / "store")
    config = config.model_copy(update={"store": str(tmp_path / "store")})
    before = resolved_file(config).read_bytes()
    damage(resolved_file(config))
    if manifest != "kept":
        damage(artifact_folder(config) / "manifest.json")
        (record,) = (artifact_folder(config) / "units").glob("*--resolved.json")
        damage(record)
    began = first_steps(monkeypatch)
    assert digests(pretrain(config))["pretrain"] == expected
    assert began == [], "nothing was trained or measured again"
    assert resolved_file(config).read_bytes() == before


@pytest.mark.slow
def test_a_killed_training_of_minutes_keeps_its_length(
    measured: tuple[Config, Any], packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its length was committed: the checkpoint that it left knows it."""
    config = config_at(
        packed, tmp_path, steps=None, minutes=0.05, checkpoint_steps=10, precision="auto"
    )
    lengths: list[Resolved] = []

    def killed(self: Checkpoints, found: Resolved) -> None:
        lengths.append(found)
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "resolve", killed)
        patch.setattr(Checkpoints, "recall", lambda self: None)
        with pytest.raises(StoppedError):
            pretrain(config)
    assert not resolved_file(config).exists()
    made = pretrain(config)["pretrain"].artifact
    assert made.summary["steps"] == lengths[0].steps
    assert json.loads(resolved_file(config).read_text()) == lengths[0]._asdict()


def test_minutes_end_in_the_bytes_of_as_many_steps(
    measured: tuple[Config, Any], packed: Path, tmp_path: Path
) -> None:
    """Measuring comes first, in the same process, and leaves no trace in the training."""
    config, _ = measured
    made = artifact_of(config)
    steps = int(made.summary["steps"])
    precision = str(made.summary["precision"])
    told = config_at(packed, tmp_path, steps=steps, precision=precision, checkpoint_steps=500)
    again = pretrain(told)["pretrain"].artifact
    assert steps > 1
    assert [f.sha256 for _, f in again.outputs] == [f.sha256 for _, f in made.outputs]


def artifact_of(config: Config) -> Artifact:
    return pretrain(config)["pretrain"].artifact


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
def test_precision_auto_stays_what_it_was_on_the_machine_where_it_began(
    native: bool,
    packed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A training that began in bf16 goes on in bf16; a machine that emulates it is told of."""
    config = config_at(packed, tmp_path, precision="auto")
    began = "bf16" if native else "fp32"
    told = config_at(packed, tmp_path / "told", precision=began)
    support = Path(elsewhere_training.__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{support.parents[1]}{os.pathsep}{support}")
    monkeypatch.setenv("TEST_NATIVE_BF16", "1" if native else "0")
    monkeypatch.setattr(running, "TRAINING_MODULE", "elsewhere_training")
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            pretrain(config)
    monkeypatch.setenv("TEST_NATIVE_BF16", "0" if native else "1")
    caplog.set_level("WARNING")
    made = pretrain(config)["pretrain"].artifact
    assert made.summary["precision"] == began
    assert ("only emulates bf16" in caplog.text) == native
    monkeypatch.undo()
    again = pretrain(told)["pretrain"].artifact
    assert [f.sha256 for _, f in again.outputs] == [f.sha256 for _, f in made.outputs]
