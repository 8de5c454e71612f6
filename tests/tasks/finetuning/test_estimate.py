"""What a plan says of a fine-tuning: tokens as they will really be, and time that follows them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from byte_models import byte_model
from pyarrow import parquet
from small_finetuning import sentences, write_jsonl

from roberta_model.config import PRESETS, ModelConfig
from tasks.config import Config
from tasks.config.downstream import FineTuningConfig
from tasks.finetuning import estimate
from tasks.finetuning.encoding import ItemEncoder
from tasks.finetuning.estimate import Load, load_of, work_of
from tasks.finetuning.items import find_columns, first_row, read_items
from tasks.inference.model_folder import load_tokenizer
from tasks.stages import finetune_model

TINY, BASE = (
    ModelConfig(8192, max_row_tokens=128, **vars(PRESETS[name])) for name in ("tiny", "base")
)


def settings_of(path: Path, **changes: Any) -> FineTuningConfig:
    usual = {"task": "classify", "train": str(path), "dev": str(path), "epochs": 2}
    return FineTuningConfig.model_validate({**usual, **changes})


@pytest.fixture
def moods(tmp_path: Path) -> Path:
    rows = [{"text": text, "label": label} for text, label in sentences(50, 0)]
    return write_jsonl(tmp_path / "moods.jsonl", rows)


def squad(path: Path, num_questions: int) -> Path:
    """Contexts of several windows, each with several questions."""
    answers = [{"text": "warm", "answer_start": 0}]
    qas = [{"id": str(n), "question": f"how is it {n} ?", "answers": answers} for n in range(3)]
    paragraphs = [
        {"context": "warm and kind " * (5 + 7 * n), "qas": qas} for n in range(num_questions // 3)
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    return path


def really(folder: Path, path: Path, settings: FineTuningConfig, most: int) -> int:
    """The tokens that the task's own encoder makes of a file."""
    where, row = first_row(path, "auto")
    columns = find_columns(settings.task, row, settings.columns, where, labelled=False)
    items = list(read_items(path, settings.task, columns))
    encoder = ItemEncoder(load_tokenizer(folder), most, min(settings.stride, most // 2))
    if settings.task == "qa":
        return sum(len(window.ids) for item in items for window in encoder.windows(item))
    if settings.task == "tag":
        return sum(len(row.ids) for item in items for row in encoder.word_rows(item))
    return sum(map(len, encoder.sequences(items)))


@pytest.mark.parametrize("task", ["classify", "pair", "tag", "qa"])
def test_the_tokens_are_those_that_the_encoder_makes(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a token a byte nothing is left to guess: cut texts, rows of words, windows and all."""
    monkeypatch.setattr(estimate, "BYTES_A_TOKEN", 1.0)
    texts = [text * (1 + n % 4) for n, (text, _) in enumerate(sentences(20, 1))]
    rows: list[dict[str, Any]] = [
        {"text": text, "sentence1": text, "sentence2": "so", "tokens": text.split()}
        for text in texts
    ]
    wanted = {"tag": ("tokens",), "pair": ("sentence1", "sentence2")}.get(task, ("text",))
    path = write_jsonl(tmp_path / "x.jsonl", [{name: row[name] for name in wanted} for row in rows])
    if task == "qa":
        path = squad(tmp_path / "squad.json", 12)
    settings = settings_of(path, task=task, max_tokens=64, stride=10)
    found = load_of(settings, path, 90)
    expected = really(byte_model(tmp_path / "model"), path, settings, 64)
    assert found.tokens == pytest.approx(expected, rel=0.06)
    assert found.examples == (12 if task == "qa" else 20)
    assert (found.rows > found.examples) == (task in ("qa", "tag"))


def test_work_follows_epochs_choices_seeds_and_the_encoder(moods: Path) -> None:
    """Each alone."""
    files = {"train": moods, "dev": moods}
    one = work_of(settings_of(moods, learning_rates=[1e-4]), files, TINY)
    assert (one.examples, one.steps, one.precision, one.seconds) == (100, 4, "auto", 30.0)
    for changes, times in (
        ({"learning_rates": [1e-4], "epochs": 6}, 3),
        ({"learning_rates": [1e-4, 2e-4]}, 2),
        ({"learning_rates": [1e-4], "batch_sizes": [8, 16], "seeds": 3}, 4),
    ):
        more = work_of(settings_of(moods, **changes), files, TINY)
        assert (more.examples, more.tokens) == (times * one.examples, times * one.tokens)
        # dev is read once more in the end.
        assert more.operations == pytest.approx(times * one.operations, rel=0.15)
    wide = work_of(settings_of(moods, learning_rates=[1e-4], batch_sizes=[32]), files, BASE)
    share = BASE.num_matrix_parameters / TINY.num_matrix_parameters
    assert wide.operations == pytest.approx(share * one.operations)
    assert work_of(settings_of(moods), files, BASE).seconds == 20 + 6 * 10, "six trainings"


def test_a_compressed_file_counts_as_what_is_in_it(moods: Path, tmp_path: Path) -> None:
    """The size on the disk says little."""
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(moods.read_bytes()))
    settings = settings_of(moods)
    assert load_of(settings, packed, 128) == load_of(settings, moods, 128)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_a_file_longer_than_is_looked_at_goes_on_as_it_began(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By how many of its stored bytes were read, however it is packed."""
    texts = [f"{n} {n * 7919 % 10_007} is what it says, {n % 13}" for n in range(120_000)]
    path = tmp_path / f"long{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.table({"text": texts, "label": ["warm"] * len(texts)}), path)
    elif ending == ".csv":
        lines = ["text,label", *(f'"{text}",warm' for text in texts)]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        write_jsonl(tmp_path / "long.jsonl", [{"text": text, "label": "warm"} for text in texts])
        if ending == ".jsonl.gz":
            path.write_bytes(gzip.compress((tmp_path / "long.jsonl").read_bytes()))
    settings = settings_of(path)
    whole = load_of(settings, path, 128)
    monkeypatch.setattr(estimate, "_MOST_ROWS", 40_000)
    part = load_of(settings, path, 128)
    assert whole.examples == len(texts)
    assert part.examples == pytest.approx(len(texts), rel=0.1)
    assert part.tokens / part.examples == pytest.approx(whole.tokens / whole.examples, rel=0.1)


def test_what_is_broken_is_left_to_the_run_to_tell(moods: Path) -> None:
    """A plan counts as far as it can read."""
    moods.write_text(moods.read_text(encoding="utf-8") + '{"text": \n', encoding="utf-8")
    assert load_of(settings_of(moods), moods, 128).examples == 50
    moods.write_text('{"neither": 1}\n', encoding="utf-8")
    assert load_of(settings_of(moods), moods, 128) == Load(0, 0, 0)


def test_the_stages_time_is_that_of_its_operations(
    moods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of known speed, in the precision in question; the rest is starting things."""
    asked = []

    def speed(precision: str) -> float:
        asked.append(precision)
        return 1e6

    monkeypatch.setattr(finetune_model, "matmul_flops", speed)
    tasks = [
        settings_of(moods, name=name, learning_rates=[1e-4]).model_dump() for name in ("a", "b")
    ]
    config = Config.model_validate(
        {"corpus": [{"type": "docs"}], "model": {"preset": "tiny"}, "downstream": tasks}
    )
    found = finetune_model.estimate(config, {"documents": 0, "bytes": 0})
    work = work_of(config.downstream[0], {"train": moods, "dev": moods}, TINY)
    assert asked == ["auto"]
    assert found["examples"] == 200
    started = found["seconds"] - 2 * work.operations / (1e6 * finetune_model._SHARE)
    assert 2 * 10 < started < 2 * 60
