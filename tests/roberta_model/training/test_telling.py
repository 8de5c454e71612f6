"""What a training tells of itself: its steps, its speed, its device, and when it saves."""

import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_models import byte_tables, small_config, write_random_rows

from roberta_model.recipe import OptimizerRecipe, Schedule
from roberta_model.training import device, precision, process
from roberta_model.training.checkpoint import read_record
from roberta_model.training.loop import StepResult, Training, check_same_training
from roberta_model.training.pace import Clock
from roberta_model.training.precision import Precision, compute_type
from roberta_model.training.spec import TrainingSpec

CPU = torch.device("cpu")


@pytest.fixture
def spec(tmp_path: Path) -> TrainingSpec:
    """Five steps of eight rows, of twenty rows in all."""
    tables = byte_tables(0)
    write_random_rows(tmp_path / "rows.arrow", 20, 16, tables.vocab_size)
    tables.save(tmp_path / "tables.npz")
    (tmp_path / "made").mkdir()
    return TrainingSpec(
        rows=[str(tmp_path / "rows.arrow")],
        tables=str(tmp_path / "tables.npz"),
        folder=str(tmp_path / "made"),
        model=small_config(tables.vocab_size, num_layers=1),
        steps=5,
        batch_rows=8,
        precision="fp32",
        optimizer=OptimizerRecipe(learning_rate=0.01, embedding_learning_rate=0.5),
        schedule=Schedule("linear", 0.4),
        checkpoint_steps=2,
        device="cpu",
        training="mine",
    )


def test_a_step_is_told_without_time_or_place() -> None:
    told = StepResult(3, 1.5, 20, 0.25, 0.5, 1, must_stop=True, held_out_loss=2.5).line()
    assert told == (
        '{"step": 3, "loss": 1.5, "masked_tokens": 20, "learning_rate": 0.25, '
        '"gradient_norm": 0.5, "epoch": 1, "held_out_loss": 2.5}\n'
    )


def test_steps_count_from_one_and_tell_the_rate_and_the_epoch_they_were_made_with(
    spec: TrainingSpec,
) -> None:
    """Warm-up over two of five steps, then three down to nothing; steps begin at row 0, 8, ..."""
    training = Training(spec, Accelerator(cpu=True))
    results = list(training.run(5, lambda: False))
    assert [result.step for result in results] == [1, 2, 3, 4, 5]
    rates = [result.learning_rate for result in results]
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.02 / 3, 0.01 / 3])
    assert [result.epoch for result in results] == [0, 0, 0, 1, 1]
    expected = [training.objective.batches.batch(n).num_masked for n in range(5)]  # type: ignore[attr-defined]
    assert [result.masked_tokens for result in results] == expected
    assert {result.held_out_loss for result in results} == {None}


@pytest.mark.parametrize("name", ["training", "steps", "seed", "precision"])
def test_a_record_of_another_training_is_refused_by_each_of_its_facts(
    name: str, spec: TrainingSpec
) -> None:
    record = {"training": "mine", "steps": 5, "seed": 0, "precision": "fp32"}
    check_same_training(record, spec)
    for other in ({**record, name: "x"}, {n: v for n, v in record.items() if n != name}):
        with pytest.raises(ValueError, match=f"its {name} is"):
            check_same_training(other, spec)
    check_same_training({**record, "precision": "bf16"}, replace(spec, precision="auto"))


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[TrainingSpec, int], list[dict[str, Any]]]:
    """The events of a training here and now, which is asked to stop at one of its looks."""

    def run(spec: TrainingSpec, stop_at: int = 99) -> list[dict[str, Any]]:
        looks: Iterator[bool] = (number >= stop_at for number in range(1, 100))
        monkeypatch.setattr(process, "StopRequest", lambda _: lambda: next(looks))
        monkeypatch.setattr(process, "prepare", lambda _: Accelerator(cpu=True))
        process.train(spec)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def saved(events: list[dict[str, Any]]) -> list[int]:
    return [event["step"] for event in events if event["event"] == "checkpoint"]


def lines_in(spec: TrainingSpec, step: int) -> list[int]:
    text = (Path(spec.folder) / f"{step:08d}" / "losses.jsonl").read_text()
    return [json.loads(line)["step"] for line in text.splitlines()]


def test_a_training_saves_every_few_steps_and_at_its_end(spec: TrainingSpec, told: Any) -> None:
    """Each checkpoint holds the losses since the one before, and what the training is."""
    before = time.monotonic()
    events = told(spec)
    assert events[0] == {
        **{"event": "start", "step": 0, "steps": 5, "precision": "fp32"},
        **{"device": "cpu", "is_emulated": False},
    }
    told_at = {event["at"] for event in events if event["event"] in ("warm", "step", "held_out")}
    assert before < min(told_at) <= max(told_at) < time.monotonic()
    assert (events[1]["event"], events[1]["step"]) == ("warm", 1), "it is no measure of the rest"
    assert saved(events) == [2, 4, 5]
    assert events[-1] == {"event": "done", "step": 5}
    assert [lines_in(spec, step) for step in (2, 4, 5)] == [[1, 2], [3, 4], [5]]
    record = read_record(Path(spec.folder) / "00000004")
    assert record is not None
    facts = {name: record[name] for name in ("training", "step", "steps", "seed", "precision")}
    assert facts == {"training": "mine", "step": 4, "steps": 5, "seed": 0, "precision": "fp32"}
    checkpoints = [event for event in events if event["event"] == "checkpoint"]
    first = checkpoints[0]
    assert first["path"] == str(Path(spec.folder) / "00000002")
    assert (first["processes"], first["threads"], first["is_on_gpu"]) == (1, 1, False)
    # Whatever the time, speed and seconds are of the steps since the checkpoint before.
    tokens = [each["seconds"] * each["tokens_per_second"] for each in checkpoints]
    assert tokens == pytest.approx([2 * 8 * 16, 2 * 8 * 16, 8 * 16], rel=0.3)


def test_a_training_ends_at_the_step_it_is_told_and_goes_on_from_there(
    spec: TrainingSpec, told: Any
) -> None:
    """`stop_step` is a part of the whole training, and beyond its end it is the end."""
    first = told(replace(spec, stop_step=3))
    assert saved(first) == [2, 3]
    assert first[-1] == {"event": "done", "step": 3}
    resumed = replace(spec, stop_step=9, resume=str(Path(spec.folder) / "00000003"))
    second = told(resumed)
    assert (second[0]["step"], second[1]["step"], saved(second)) == (3, 4, [4, 5])
    assert second[-1] == {"event": "done", "step": 5}
    finished = told(replace(spec, resume=str(Path(spec.folder) / "00000005")))
    assert [event["event"] for event in finished] == ["start", "done"]


def test_a_single_step_is_no_measure_of_speed(spec: TrainingSpec, told: Any) -> None:
    """It was told as 0 tokens a second."""
    events = told(replace(spec, stop_step=1))
    assert [event["event"] for event in events] == ["start", "warm", "step", "checkpoint", "done"]
    assert "tokens_per_second" not in events[2]


def test_a_training_that_is_to_stop_saves_first(spec: TrainingSpec, told: Any) -> None:
    """After the step that was at work, whether or not a checkpoint was due."""
    events = told(spec, 3)
    assert saved(events) == [2, 3]
    assert events[-1] == {"event": "stopped", "step": 3}
    assert lines_in(spec, 3) == [3]


def test_only_the_first_of_several_processes_tells(capsys: pytest.CaptureFixture[str]) -> None:
    process.Storyteller(False).tell("step", step=1)
    process.Storyteller(True).tell("step", step=2)
    assert capsys.readouterr().out == '{"event": "step", "step": 2}\n'


def test_an_error_is_one_line_and_a_code(
    spec: TrainingSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({**spec.to_json(), "stepz": 3}))
    assert process.main([str(tmp_path / "spec.json")]) == 1
    said = capsys.readouterr()
    assert said.err == "ValueError: the training spec has unknown fields: stepz\n"
    assert said.out == ""


def test_a_gpu_that_is_asked_for_and_not_there_is_refused(
    spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training on the processor instead would take weeks."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch finds no GPU on this machine"):
        process.prepare(replace(spec, device="gpu"))


def test_a_stop_is_asked_for_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not before; whoever hangs is ended after the time that the launcher waits."""
    handlers: dict[int, Any] = {}
    timers: list[tuple[float, Any, tuple[int, ...]]] = []

    class Timer:
        def __init__(self, seconds: float, end: Any, args: tuple[int, ...]) -> None:
            timers.append((seconds, end, args))

        def start(self) -> None:
            """Nothing happens here."""

    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(threading, "Timer", Timer)
    stop = process.StopRequest(supervised=False)
    assert not stop()
    assert handlers[signal.SIGINT] == signal.SIG_IGN, "the supervisor decides"
    handlers[signal.SIGTERM]()
    handlers[signal.SIGTERM]()
    assert stop()
    assert timers == [(25.0, os._exit, (1,))]


def test_speed_is_tokens_of_the_steps_since_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a lap, and of the whole interval since a checkpoint; each begins anew."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(50)
    assert not clock.is_due()
    for seconds in (0.5, 0.5):
        now[0] += seconds
        clock.count()
    assert clock.is_due()
    assert clock.lap() == {"tokens_per_second": 100.0}
    assert not clock.is_due()
    now[0] += 3.0
    clock.count()
    assert clock.lap() == {"tokens_per_second": 16.7}
    assert clock.interval() == {"seconds": 4.0, "tokens_per_second": 37.5}
    clock.restart()
    now[0] += 2.0
    clock.count()
    assert clock.interval() == {"seconds": 2.0, "tokens_per_second": 25.0}


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_what_the_processor_does_well(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for by name is done, and said to be emulated where it is."""
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: native)
    best = torch.bfloat16 if native else torch.float32
    assert compute_type("auto", CPU) == best
    assert compute_type("bf16", CPU) == torch.bfloat16
    assert compute_type("fp32", CPU) == torch.float32
    assert Precision.of("auto", CPU) == ("bf16" if native else "fp32", best, False)
    assert Precision.of("bf16", CPU) == ("bf16", torch.bfloat16, not native)
    assert Precision.of("fp32", CPU) == ("fp32", torch.float32, False)


def test_bf16_is_native_with_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are asked: wide registers alone do not have it."""
    for wide, flags, expected in (
        ("AVX512", True, True),
        ("AVX512", False, False),
        ("AVX2", True, False),
    ):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda wide=wide: wide)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda flags=flags: flags)
        assert precision.has_native_bf16(CPU) == expected
    assert not precision.has_native_bf16(torch.device("meta"))


def test_a_processor_is_told_by_the_name_the_system_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that is not empty; without one the kind of machine, and never nothing."""
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("vendor\t: x\nmodel name\t:\nmodel name\t: A: B 3\n")
    assert device.device_name("cpu") == "A: B 3"
    assert device.device_name("mps") == "mps"
    (tmp_path / "cpuinfo").unlink()
    assert device.device_name("cpu") == (platform.processor() or platform.machine())
