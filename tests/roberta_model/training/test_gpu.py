"""On a GPU: what a CPU computes, restarts to the bit, the same scores as on the CPU.

It needs nothing but the model package, so that a bare machine with a GPU can run it:

    python -m pytest --noconftest -o addopts= tests/roberta_model/training/test_gpu.py
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate.state import AcceleratorState

from roberta_model.config import ModelConfig
from roberta_model.data.examples import SCHEMA
from roberta_model.data.masking import MaskingTables
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM, load_masked_lm
from roberta_model.predicting import logits_of
from roberta_model.recipe import HeadName, OptimizerRecipe
from roberta_model.scoring import pseudo_log_likelihood
from roberta_model.training.checkpoint import read_checkpoint
from roberta_model.training.fine_tuning import first_model
from roberta_model.training.loop import StepResult, Training
from roberta_model.training.process import prepare
from roberta_model.training.spec import FineTuningSpec, TrainingSpec
from roberta_model.training.start import draw_weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

ROOT = Path(__file__).resolve().parents[3]
ROWS, T, V, STEPS = 256, 512, 600, 12  # shorter rows do not show what order does to a sum


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainingSpec:
    """Rows whose tokens follow each other by a rule, some padded; three layers of width 128."""
    folder = tmp_path_factory.mktemp("gpu")
    chance = np.random.default_rng(5)
    steps_BT = chance.integers(1, 4, (ROWS, T)).cumsum(axis=1)
    tokens_BT = (5 + steps_BT % (V - 5)).astype(np.uint16)
    lengths_B = np.where(np.arange(ROWS) % 64 == 7, T // 2, T).astype(np.int32)
    tokens_BT[np.arange(T) >= lengths_B[:, None]] = 1
    schema = pa.schema(
        [
            ("tokens", pa.list_(pa.uint16(), T)),
            ("length", pa.int32()),
            ("documents", pa.list_(pa.int64())),
            ("starts", pa.list_(pa.int32())),
        ]
    )
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(tokens_BT.reshape(-1)), T),
        pa.array(lengths_B),
        pa.array([[row] for row in range(ROWS)], pa.list_(pa.int64())),
        pa.array([[0]] * ROWS, pa.list_(pa.int32())),
    ]
    with pa.ipc.new_file(str(folder / "rows.arrow"), schema) as out:
        out.write_batch(pa.record_batch(columns, schema=schema))
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(f"Ġw{n}" for n in range(V - 5))]
    MaskingTables.from_vocabulary(words).save(folder / "tables.npz")
    return TrainingSpec(
        rows=[str(folder / "rows.arrow")],
        tables=str(folder / "tables.npz"),
        folder=str(folder),
        model=ModelConfig(V, 3, 128, 2, 256, max_row_tokens=T),
        steps=STEPS,
        batch_rows=32,
        optimizer=OptimizerRecipe(learning_rate=1e-3),
        precision="fp32",
        threads=2,
    )


def train(spec: TrainingSpec | FineTuningSpec) -> tuple[Training, list[StepResult]]:
    """Train in this process up to the spec's stop, or its end."""
    AcceleratorState._reset_state(reset_partial_state=True)  # the device of the last training
    training = Training(spec, prepare(spec))
    assert training.flat.master.is_cuda == (spec.device == "auto")
    return training, list(training.run(spec.stop_step or STEPS, lambda: False))


def check_resuming(spec: TrainingSpec | FineTuningSpec) -> None:
    """Cut off after five steps and gone on with, it has the losses and weights of one go."""
    whole, results = train(spec)
    first, before = train(replace(spec, stop_step=5))
    saved = first.save("".join(each.line() for each in before))
    rest, after = train(replace(spec, resume=str(saved)))
    assert [each.line() for each in before + after] == [each.line() for each in results]
    assert torch.equal(rest.flat.master, whole.flat.master)


def test_the_same_training_twice_is_the_same_to_the_bit(spec: TrainingSpec) -> None:
    once, twice = (train(replace(spec, precision="bf16"))[0] for _ in range(2))
    assert torch.equal(once.flat.master, twice.flat.master)


def test_the_losses_are_those_of_a_cpu(spec: TrainingSpec) -> None:
    _, on_cpu = train(replace(spec, device="cpu"))
    _, on_gpu = train(spec)
    assert [each.masked_tokens for each in on_gpu] == [each.masked_tokens for each in on_cpu]
    np.testing.assert_allclose(
        [each.loss for each in on_gpu], [each.loss for each in on_cpu], rtol=2e-4
    )


def test_micro_batches_do_not_change_a_step(spec: TrainingSpec) -> None:
    _, whole = train(spec)
    _, in_parts = train(replace(spec, micro_batch_rows=7))
    np.testing.assert_allclose(
        [each.loss for each in whole], [each.loss for each in in_parts], rtol=1e-4
    )


@pytest.mark.parametrize(
    ("precision", "dropout", "optimizer"), [("bf16", 0.1, "adam"), ("fp32", 0.0, "muon")]
)
def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(
    spec: TrainingSpec, tmp_path: Path, precision: str, dropout: float, optimizer: str
) -> None:
    recipe = OptimizerRecipe(optimizer, 1e-3)  # type: ignore[arg-type]
    spec = replace(
        spec,
        precision=precision,  # type: ignore[arg-type]
        dropout=dropout,
        optimizer=recipe,
        folder=str(tmp_path),
    )
    check_resuming(spec)


def test_a_killed_training_process_goes_on_to_the_same_bytes(
    spec: TrainingSpec, tmp_path: Path
) -> None:
    def start(name: str, **changes: Any) -> tuple[subprocess.Popen[str], Path]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        told = replace(
            spec, folder=str(folder), precision="auto", steps=40, checkpoint_steps=10, **changes
        )
        (folder / "spec.json").write_text(json.dumps(told.to_json()))
        command = [
            sys.executable,
            "-m",
            "roberta_model.training.process",
            str(folder / "spec.json"),
        ]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True), folder

    undisturbed, whole = start("whole")
    undisturbed.communicate(timeout=200)
    victim, folder = start("killed")
    deadline = time.monotonic() + 200
    while not (folder / "00000020" / "checkpoint.json").exists():
        assert time.monotonic() < deadline
        assert victim.poll() is None
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    second, _ = start("killed", resume=str(folder / "00000020"))
    second.communicate(timeout=200)
    (weights, state, _), (wanted, wanted_state, _) = (
        read_checkpoint(each / "00000040") for each in (folder, whole)
    )
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert all(torch.equal(state[name], wanted_state[name]) for name in wanted_state)


def test_scores_are_those_of_a_cpu_and_of_stock(spec: TrainingSpec, tmp_path: Path) -> None:
    training, results = train(spec)
    folder = training.save("".join(each.line() for each in results))
    ours = load_masked_lm(folder)
    rows = [[0, *range(9 + n, 30 + 2 * n), 2] for n in range(6)]
    asked: Any = {"mask_id": 4, "special_ids": range(4)}
    on_cpu = pseudo_log_likelihood(ours, rows, **asked)
    on_gpu = pseudo_log_likelihood(ours.to("cuda"), rows, **asked)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4)
    ids_BT = torch.tensor([rows[0]], device="cuda")
    transformers = pytest.importorskip("transformers")
    stock = transformers.RobertaForMaskedLM.from_pretrained(folder).to("cuda").eval()
    assert isinstance(ours, RobertaMaskedLM)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(ids_BT), stock(ids_BT).logits, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> FineTuningSpec:
    """Rows of 5 to 60 tokens, whose class is that of their second token; an encoder to teach."""
    folder = tmp_path_factory.mktemp("labelled")
    chance = np.random.default_rng(7)
    rows = [chance.integers(5, V, chance.integers(5, 61)).tolist() for _ in range(400)]
    targets = [[float(row[1] % 3)] for row in rows]
    with pa.ipc.new_file(str(folder / "examples.arrow"), SCHEMA) as out:
        out.write_table(pa.table({"ids": rows, "targets": targets}, schema=SCHEMA))
    model = RobertaMaskedLM(ModelConfig(V, 3, 128, 2, 256, max_row_tokens=64))
    draw_weights(model, 0.02, 0)
    save_model(model, folder / "model")
    return FineTuningSpec(
        examples=str(folder / "examples.arrow"),
        folder=str(folder),
        initial=str(folder / "model"),
        head="sequence",
        labels=("none", "one", "two"),
        steps=STEPS,
        batch_rows=32,
        optimizer=OptimizerRecipe(learning_rate=1e-3, head_learning_rate=5e-3),
        first_attention="uniform",
        dropout=0.0,
        precision="fp32",
        threads=2,
    )


def test_fine_tuning_has_the_losses_of_a_cpu(labelled: FineTuningSpec) -> None:
    _, on_cpu = train(replace(labelled, device="cpu"))
    _, on_gpu = train(labelled)
    np.testing.assert_allclose(
        [each.loss for each in on_gpu], [each.loss for each in on_cpu], rtol=5e-4
    )


@pytest.mark.parametrize("head", ["sequence", "tokens", "span"])
def test_a_resumed_fine_tuning_is_the_uninterrupted_one_to_the_bit(
    labelled: FineTuningSpec, tmp_path: Path, head: HeadName
) -> None:
    """Steps of one pass and of several, padded and not; the gradients' sums are always the same."""
    spec = replace(labelled, precision="bf16", dropout=0.1, folder=str(tmp_path))
    if head != "sequence":
        rows = pa.ipc.open_file(labelled.examples).read_all()["ids"].to_pylist()
        answers = [
            [float(t % 3) for t in row] if head == "tokens" else [1.0, len(row) - 1.0]
            for row in rows
        ]
        with pa.ipc.new_file(str(tmp_path / "examples.arrow"), SCHEMA) as out:
            out.write_table(pa.table({"ids": rows, "targets": answers}, schema=SCHEMA))
        labels = () if head == "span" else labelled.labels
        spec = replace(
            spec,
            examples=str(tmp_path / "examples.arrow"),
            head=head,
            labels=labels,
            first_attention="pretrained",
            batch_rows=200,
        )
    check_resuming(spec)


@pytest.mark.parametrize("head", ["sequence", "tokens", "span"])
def test_a_fine_tuned_model_answers_as_on_a_cpu(labelled: FineTuningSpec, head: HeadName) -> None:
    """Rows of all lengths, in batches; what they are scored by and written down as."""
    labels = () if head == "span" else labelled.labels
    spec = replace(labelled, head=head, labels=labels, first_attention="pretrained")
    model = first_model(spec).eval()
    rows = [[0, *range(5, 6 + n % 50), 2] for n in range(300)]
    on_cpu = logits_of(model, rows, workers=2)
    on_gpu = logits_of(model.to("cuda"), rows)
    for ours, known in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_allclose(ours, known, rtol=1e-3, atol=1e-3)
