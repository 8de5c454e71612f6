"""Two real processes, started as the pretrain stage starts them, train what one trains."""

import json
import os
import re
import stat
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from recorded_training import samples_of
from small_models import train_in_process
from torch._C._distributed_c10d import TCPStore

from roberta_model.recipe import OptimizerRecipe, StartRecipe
from roberta_model.training.checkpoint import is_sound_checkpoint, read_checkpoint
from roberta_model.training.loop import StepResult, Training
from roberta_model.training.objective import MaskedLMObjective
from roberta_model.training.spec import TrainingSpec
from tasks.config import LaunchConfig
from tasks.errors import StageError
from tasks.training.launch import Trainer, launch_arguments

ROOT = Path(__file__).resolve().parents[3]
Event = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _import_paths() -> Any:
    """The trainer finds our packages and the support modules."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield


TWO = LaunchConfig(processes=2, threads=1, device="cpu")


def arguments_for(
    spec: TrainingSpec, settings: LaunchConfig = TWO, module: str = "recorded_training"
) -> list[str]:
    """What the stage gives Python, with a training module of the tests."""
    folder = Path(spec.folder)
    (folder / "spec.json").write_text(json.dumps(replace(spec, supervised=True).to_json()))
    return launch_arguments(settings, module, [str(folder / "spec.json"), str(folder)])


def launch(
    spec: TrainingSpec, settings: LaunchConfig = TWO, module: str = "recorded_training"
) -> list[Event]:
    """Train with two processes; what each was given lies in the spec's folder afterwards."""
    with Trainer(arguments_for(spec, settings, module), threads=1) as trainer:
        events = list(trainer.events())
        trainer.check_end()
    return events


def notes_of(folder: Path, rank: int) -> list[dict[str, Any]]:
    """What one process asked for, sample by sample."""
    return [json.loads(line) for line in (folder / f"{rank}.jsonl").read_text().splitlines()]


def losses_in(*folders: Path) -> list[dict[str, Any]]:
    """The losses of all steps, from the checkpoints that hold them."""
    lines = "".join((folder / "losses.jsonl").read_text() for folder in folders)
    return [json.loads(line) for line in lines.splitlines()]


@dataclass
class Pair:
    """The same 50 steps by one process and by two."""

    spec: TrainingSpec
    training: Training
    results: list[StepResult]
    folder: Path


@pytest.fixture(scope="module")
def pair(packed: Any, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Fp32, batches of 16 rows; the two processes take 8 each, as 3, 3 and 2.

    Muon for the matrices, Adam for the rest, from a local start: all there is.
    """
    place = tmp_path_factory.mktemp("two")
    recipe = {"optimizer": OptimizerRecipe("muon", 3e-3), "start": StartRecipe("local")}
    recipe["held_out"] = packed.rows[:1]
    alone = packed.spec(place / "alone", **recipe)
    training, results = train_in_process(alone)
    spec = packed.spec(place / "two", checkpoint_steps=25, micro_batch_rows=3, **recipe)
    events = launch(spec)
    assert events[-1] == {"event": "done", "step": 50}
    return Pair(spec, training, results, place / "two")


def test_two_processes_share_the_samples_and_masks_of_one(pair: Pair) -> None:
    """Each sample of each step goes to exactly one process, hidden just as it is alone."""
    first, second = (notes_of(pair.folder, rank) for rank in (0, 1))
    assert len(first) == len(second) == 50 * 8
    objective = pair.training.objective
    assert isinstance(objective, MaskedLMObjective)
    batches = objective.batches
    expected = [
        note for step in range(50) for note in samples_of(batches, batches.batch(step), step, 0)
    ]
    assert {note["row"][0] for note in expected} >= {0, 1}, "the steps cross an epoch"
    assert sorted([*first, *second], key=lambda note: note["sample"]) == expected


def test_two_processes_have_the_losses_of_one(pair: Pair) -> None:
    """Over 50 steps, to 1e-4, with every masked token counted; and the same weights."""
    told = losses_in(pair.folder / "00000025", pair.folder / "00000050")
    assert [line["step"] for line in told] == list(range(1, 51))
    alone = pair.results
    assert [line["masked_tokens"] for line in told] == [r.masked_tokens for r in alone]
    assert [line["loss"] for line in told] == pytest.approx([r.loss for r in alone], abs=1e-4)
    norms = [r.gradient_norm for r in alone]
    assert [line["gradient_norm"] for line in told] == pytest.approx(norms, rel=1e-2)
    held_out = {r.step: r.held_out_loss for r in alone if r.held_out_loss is not None}
    measured = {n["step"]: n["held_out_loss"] for n in told if n["held_out_loss"] is not None}
    assert measured == pytest.approx(held_out, abs=1e-4)
    assert len(measured) > 1
    assert alone[-1].loss < alone[0].loss - 0.3
    weights, _, record = read_checkpoint(pair.folder / "00000050")
    assert record["step"] == 50
    for name, value in pair.training.flat.weights().items():
        torch.testing.assert_close(weights[name], value, atol=2e-3, rtol=0, msg=name)


def test_two_resumed_processes_end_in_the_same_bytes(pair: Pair, tmp_path: Path) -> None:
    """From the checkpoint in the middle on: weights, moments and losses, file by file."""
    resume = pair.folder / "00000025"
    events = launch(replace(pair.spec, folder=str(tmp_path), resume=str(resume)))
    assert events[0]["step"] == 25
    for name in ("model.safetensors", "optimizer.safetensors", "losses.jsonl"):
        resumed = (tmp_path / "00000050" / name).read_bytes()
        assert resumed == (pair.folder / "00000050" / name).read_bytes(), name


def test_two_that_share_no_memory_send_each_other_their_sums(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on two machines, and where a system has no anonymous files: the same losses."""
    spec = replace(pair.spec, folder=str(tmp_path), stop_step=10)
    monkeypatch.chdir(tmp_path)
    events = launch(spec, module="sending_training")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000010", "spec.json"]
    assert [event["event"] for event in events][-2:] == ["checkpoint", "done"]
    told = losses_in(tmp_path / "00000010")
    assert [line["loss"] for line in told] == pytest.approx(
        [result.loss for result in pair.results[:10]], abs=1e-4
    )


def test_one_process_goes_on_from_the_checkpoint_of_two(pair: Pair) -> None:
    """Within rounding: how many machines there are may change while a training runs."""
    resume = str(pair.folder / "00000025")
    training, results = train_in_process(replace(pair.spec, resume=resume))
    assert [r.step for r in results] == list(range(26, 51))
    expected = [result.loss for result in pair.results[25:]]
    assert [result.loss for result in results] == pytest.approx(expected, abs=1e-4)
    for name, value in pair.training.flat.weights().items():
        torch.testing.assert_close(
            training.flat.weights()[name], value, atol=2e-3, rtol=0, msg=name
        )


def keys_told_to_anybody(pid: int) -> list[str]:
    """What torch's launcher keeps where every process and every machine may read and write it."""
    listening = psutil.Process(pid).net_connections("inet")
    ports = [each.laddr.port for each in listening if each.status == psutil.CONN_LISTEN]
    stores = [TCPStore("127.0.0.1", port, is_master=False) for port in ports]
    return [key for store in stores for key in store.list_keys()]


def test_a_stop_reaches_both_processes(packed: Any, tmp_path: Path) -> None:
    """SIGTERM while they train: a sound checkpoint is written, and no process is left behind.

    The state of their meeting is a pickle: it is in a file of this user, which is removed, and not
    behind a port, where whoever writes another one has his code run.
    """
    spec = packed.spec(tmp_path, steps=100_000, checkpoint_steps=100_000)
    arguments = arguments_for(spec)
    meeting = Path(arguments[arguments.index("--rdzv-endpoint") + 1])
    assert stat.S_IMODE(meeting.stat().st_mode) == 0o600
    with Trainer(arguments, threads=1) as trainer:
        next(event for event in trainer.events() if event["event"] == "step")
        family = psutil.Process(trainer.process.pid).children(recursive=True)
        mapped = [Path(f"/proc/{child.pid}/maps") for child in family]
        is_shared = [
            "memfd:roberta-training" in path.read_text() for path in mapped if path.exists()
        ]
        told = keys_told_to_anybody(trainer.process.pid)
        events = list(trainer.stop())
        _, alive = psutil.wait_procs(family, timeout=10)
    assert len(family) == 2
    assert not alive
    assert all(is_shared), "on Linux what they sum up lies in memory that both have"
    assert told
    assert [key for key in told if re.fullmatch(r"torch\.rendezvous\.[^/]+", key)] == []
    assert not meeting.exists()
    assert [event["event"] for event in events][-2:] == ["checkpoint", "stopped"]
    assert is_sound_checkpoint(Path(events[-2]["path"]))
    assert read_checkpoint(Path(events[-2]["path"]))[2]["step"] == events[-1]["step"]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_that_is_killed_ends_both_and_is_told_so(
    packed: Any, tmp_path: Path, rank: str
) -> None:
    """As the system does where memory runs out: the other waits for nobody, in two seconds."""
    spec = packed.spec(tmp_path, steps=100_000, checkpoint_steps=100_000)
    with Trainer(arguments_for(spec), threads=1) as trainer:
        events = trainer.events()
        next(event for event in events if event["event"] == "step")
        family = psutil.Process(trainer.process.pid).children(recursive=True)
        (chosen,) = (child for child in family if child.environ()["RANK"] == rank)
        chosen.kill()
        assert "checkpoint" not in [event["event"] for event in events]
        _, alive = psutil.wait_procs(family, timeout=10)
        with pytest.raises(StageError, match="one of the training processes ended with.*SIGKILL"):
            trainer.check_end()
    assert not alive


@pytest.mark.slow
def test_two_processes_agree_on_the_steps_that_fit_into_the_minutes(
    packed: Any, tmp_path: Path
) -> None:
    """Each has measured its own; the first one's count."""
    events = launch(packed.spec(tmp_path, steps=None, minutes=1e-6))
    assert events[-1] == {"event": "done", "step": 1}


def test_a_mistake_is_told_once_and_clearly(packed: Any, tmp_path: Path) -> None:
    """What both processes complain of is one sentence, without the launcher's own noise."""
    spec = packed.spec(tmp_path)
    wrong = replace(spec, model=replace(spec.model, max_row_tokens=32))
    with pytest.raises(StageError) as caught:
        launch(wrong)
    message = str(caught.value)
    assert "the model takes rows of at most 32 tokens" in message
    assert "Traceback" not in message
    assert "\n" not in message


def test_weights_that_are_no_numbers_end_both_processes_without_a_checkpoint(
    packed: Any, tmp_path: Path
) -> None:
    """A rate beyond all bounds: loss and gradient are sound, the weights after them are not.

    Were they looked at by the first process alone, the other would wait for it for ever.
    """
    spec = packed.spec(
        tmp_path, steps=3, checkpoint_steps=1, optimizer=OptimizerRecipe(learning_rate=1e39)
    )
    start = time.monotonic()
    with Trainer(arguments_for(spec), threads=1) as trainer:
        family: list[psutil.Process] = []
        events = []
        for event in trainer.events():
            events.append(event["event"])
            family = family or psutil.Process(trainer.process.pid).children(recursive=True)
        with pytest.raises(
            StageError, match="weights are nan or infinite after step 1.*learning rate"
        ):
            trainer.check_end()
        _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert time.monotonic() - start < 60
    assert "checkpoint" not in events
    # Each came to its own end, where its notes are written; none was ended by the launcher.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.jsonl", "1.jsonl", "spec.json"]


def test_an_accelerate_config_decides_how_processes_are_started(
    packed: Any, tmp_path: Path
) -> None:
    """For several machines there is Accelerate's own launcher; its file says all."""
    settings = tmp_path / "accelerate.yaml"
    settings.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nnum_machines: 1\n"
        "num_processes: 1\nmixed_precision: 'no'\nuse_cpu: true\n"
    )
    spec = packed.spec(tmp_path, steps=2)
    events = launch(spec, LaunchConfig(accelerate_config=str(settings), device="cpu"))
    assert events[-1] == {"event": "done", "step": 2}
