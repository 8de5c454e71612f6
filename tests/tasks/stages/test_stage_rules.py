"""Small rules inside of stages: what decides a key, a sample, a goal, a figure; without a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_pipeline import TINY, merged

from tasks.config import Config, ModelSection
from tasks.documents import DocumentWriter, document_id
from tasks.engine.identity import digest_of
from tasks.engine.units import StoredFile, UnitWork
from tasks.errors import UserError
from tasks.stages import (
    KNOWN_STAGES,
    check_outside,
    evaluate_model,
    evaluate_suite,
    finetune_model,
    get_stage,
    pretrain_model,
    publish_model,
    stage_folder,
    train_tokenizer,
)
from tasks.stages.download_corpus import corpus_slice
from tasks.stages.pack_rows import pack_slice
from tasks.training import config_to_spec
from tasks.training.costs import cost_of_training, missing_device


def config_of(**changes: Any) -> Config:
    return Config.model_validate(merged(TINY, changes))


NEEDS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "download": (1, ()),
    "clean": (2, ("download",)),
    "tokenizer": (3, ("clean",)),
    "pack": (4, ("clean", "tokenizer")),
    "pretrain": (5, ("pack", "tokenizer")),
    "evaluate": (6, ("pretrain", "pack", "tokenizer", "clean", "download")),
    "publish": (7, ("download", "clean", "tokenizer", "pack", "pretrain", "evaluate")),
    "finetune": (8, ("pretrain", "tokenizer", "clean")),
}


def test_each_stage_has_its_place_and_its_inputs() -> None:
    """A number is where its artifacts lie; an input that is not named is in no key."""
    assert list(NEEDS) == list(KNOWN_STAGES)
    for name, (number, needs) in NEEDS.items():
        stage = get_stage(name)
        assert (stage.name, stage.number, stage.needs) == (name, number, needs)
        assert stage_folder(name) == stage.folder == f"{number}-{name}"
    assert stage_folder("suite") == "6-suite"
    for unknown in ("packs", "suites"):
        with pytest.raises(UserError, match=f"{unknown}: there is no such stage"):
            stage_folder(unknown)


def test_libraries_that_decide_bytes_are_in_the_keys() -> None:
    found = {name: get_stage(name).libraries for name in KNOWN_STAGES}
    assert {name: libraries for name, libraries in found.items() if libraries} == {
        "download": ("charset-normalizer", "unicode", "pyarrow"),
        "clean": ("ftfy", "regex", "unicode", "pyarrow"),
        "tokenizer": ("tokenizers",),
        "pack": ("tokenizers", "pyarrow"),
    }


DOCS = TINY["corpus"][0]


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("download", {"corpus": [{**DOCS, "max_bytes": 300_000}]}),
        ("download", {"corpus": [{**DOCS, "name": "other"}]}),
        ("clean", {"corpus": [{**DOCS, "held_out": 0.06}]}),
        ("clean", {"corpus": [{**DOCS, "name": "other"}]}),
        ("clean", {"clean": {"seed": 1}}),
        ("tokenizer", {"tokenizer": {"vocab_size": 1201}}),
        ("tokenizer", {"tokenizer": {"refresh": "never"}}),
        ("pack", {"pack": {"row_tokens": 65}}),
        ("pack", {"pack": {"shard_rows": 7}}),
        ("pretrain", {"pretrain": {"seed": 1}}),
        ("pretrain", {"model": {"max_row_tokens": 128}}),
        ("evaluate", {"evaluate": {"examples": ["a <mask>"]}}),
        ("evaluate", {"pack": {"special_tokens": "none"}}),
        ("publish", {"name": "other"}),
        ("publish", {"publish": {"language": "de"}}),
        ("publish", {"corpus": [{**DOCS, "licence": "CC0"}]}),
        ("finetune", {"evaluate": {"contamination": None}}),
    ],
)
def test_what_a_stage_reads_of_the_config_is_in_its_key(
    stage: str, changes: dict[str, Any]
) -> None:
    keys = {digest_of(get_stage(stage).config(config_of(**each))) for each in ({}, changes)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("download", {"corpus": [{**DOCS, "held_out": 0.5, "licence": "CC0"}]}),
        ("clean", {"corpus": [{**DOCS, "licence": "CC0"}], "name": "other"}),
        ("tokenizer", {"name": "other"}),
        ("pack", {"name": "other", "tokenizer": {"vocab_size": 999}}),
        ("pretrain", {"name": "other", "evaluate": {"examples": []}}),
        ("evaluate", {"pack": {"row_tokens": 65}}),
        ("publish", {"pretrain": {"seed": 3}}),
    ],
)
def test_what_a_stage_does_not_read_is_not(stage: str, changes: dict[str, Any]) -> None:
    keys = {digest_of(get_stage(stage).config(config_of(**each))) for each in ({}, changes)}
    assert len(keys) == 1


def test_a_tokenizer_that_stays_is_its_pipelines() -> None:
    """So its key has the name, and knows nothing of its inputs; with `from` it never stays."""
    stage = get_stage("tokenizer")
    for section, pipeline in (
        ({}, None),
        ({"refresh": "never"}, "tiny"),
        ({"refresh": "never", "from": "x"}, None),
    ):
        sliced = stage.config(config_of(tokenizer=section))
        assert sliced.pipeline == pipeline
        assert stage.stands(sliced) is (pipeline is not None)
    assert corpus_slice(config_of()).sources[0].name == "python"
    assert pack_slice(config_of()).row_tokens == 64


def test_each_source_has_its_own_share_and_name() -> None:
    corpus = [{**DOCS, "held_out": share, "name": f"n{share}"} for share in (0.2, 0.1)]
    sliced = get_stage("clean").config(config_of(corpus=corpus))
    assert (sliced.held_out, sliced.names) == ((0.2, 0.1), ("n0.2", "n0.1"))


def written(folder: Path, name: str, texts: list[str]) -> StoredFile:
    with DocumentWriter(folder / name) as writer:
        for number, text in enumerate(texts):
            writer.add(number, text)
    return StoredFile(str(folder / name), "", (folder / name).stat().st_size)


def drawn(text: str) -> int:
    """What the first half of a document's id draws."""
    return int.from_bytes(document_id(text)[:8], "big")


def test_a_sample_is_of_the_documents_that_draw_below_their_share(tmp_path: Path) -> None:
    """In the order of the files; a document that draws the limit itself is outside."""
    texts = [f"text {number}" for number in range(40)]
    files = [written(tmp_path, "a", texts[:15]), written(tmp_path, "b", texts[15:])]
    limit = int(0.3 * 2**64)
    expected = [text for text in texts if drawn(text) < limit]
    assert 3 < len(expected) < 25
    assert list(train_tokenizer.sample_texts(files, 0.3)) == expected
    assert list(train_tokenizer.sample_texts(files, 1.0)) == texts
    nearest = min(texts, key=drawn)
    assert list(train_tokenizer.sample_texts(files, 0.0)) == [nearest]
    assert list(train_tokenizer.sample_texts([], 0.5)) == []


def test_the_share_of_a_sample_is_its_bytes_of_all_and_all_at_most() -> None:
    assert [train_tokenizer.share_of(30, total) for total in (120, 30, 10, 0)] == [0.25, 1, 1, 1]


def test_a_headline_says_tokens_a_word_where_there_are_words() -> None:
    told = {"vocab_size": 1200, "tokens_per_word": 1.254, "check": {"bytes_per_token": 2.5}}
    assert train_tokenizer.headline(told) == "1,200 tokens, 1.25 tokens a word"


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
GIVEN: dict[str, Any] = {
    "normalizer": None,
    "pre_tokenizer": BYTES,
    "model": {
        "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "<mask>": 6},
        "merges": [],
    },
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": True}}, "splits by ByteLevel"),
        ({"pre_tokenizer": {**BYTES, "use_regex": False}}, "splits by ByteLevel"),
        ({"pre_tokenizer": {**BYTES, "type": "Whitespace"}}, "splits by ByteLevel"),
        ({"pre_tokenizer": {"type": "ByteLevel", "use_regex": True}}, "splits by ByteLevel"),
        ({"normalizer": {"type": "NFC"}}, "has the normalizer"),
        ({"model": {"vocab": {**GIVEN["model"]["vocab"], "c": 7}, "merges": []}}, "the last one"),
        ({"model": {"vocab": {**GIVEN["model"]["vocab"], "b": 4}, "merges": []}}, "each once"),
    ],
)
def test_a_tokenizer_that_would_give_other_ids_is_refused(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(GIVEN))
    assert train_tokenizer._rebuilt(path, "here").get_vocab_size() == 7
    older = {"type": "ByteLevel", "add_prefix_space": False}  # which cuts by the pattern always
    path.write_text(json.dumps({**GIVEN, "pre_tokenizer": older}))
    assert train_tokenizer._rebuilt(path, "here").get_vocab_size() == 7
    path.write_text(json.dumps({**GIVEN, **change}))
    with pytest.raises(UserError, match=f"here .*{told}"):
        train_tokenizer._rebuilt(path, "here")


@pytest.mark.parametrize(
    ("steps", "every", "goals"),
    [
        (14, 4, [12, 14]),
        (12, 4, [8, 12]),
        (4, 4, [4]),
        (3, 4, [3]),
        (5, 4, [4, 5]),
        (1, 1, [1]),
        (2, 1, [1, 2]),
    ],
)
def test_the_last_checkpoint_and_the_one_before_it_stay(
    steps: int, every: int, goals: list[int]
) -> None:
    context: Any = SimpleNamespace(config=config_of(pretrain={"checkpoint_steps": every}))
    checkpoints: Any = SimpleNamespace(resolved=SimpleNamespace(steps=steps))
    assert pretrain_model._goals(context, checkpoints) == goals


@pytest.mark.parametrize(("steps", "mean"), [(1, 1.0), (19, 19.0), (40, 39.5), (100, 98.0)])
def test_the_final_loss_is_the_mean_of_the_last_twentieth(
    steps: int, mean: float, tmp_path: Path
) -> None:
    """Of the last step at least; masked tokens are those of all; what is held out, of the end."""
    lines = [
        {"loss": float(step), "masked_tokens": step, "held_out_loss": 7.0 + step}
        for step in range(1, steps + 1)
    ]
    (tmp_path / "l.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    work = UnitWork("losses", tmp_path / "work")
    report = pretrain_model.finish_losses(work, losses=StoredFile(str(tmp_path / "l.jsonl"), "", 0))
    assert report.rows == {".jsonl": steps}
    assert report.summary == {
        "final_loss": mean,
        "masked_tokens": steps * (steps + 1) // 2,
        "held_out_loss": 7.0 + steps,
    }
    assert work.path(".jsonl").read_bytes() == (tmp_path / "l.jsonl").read_bytes()


def test_rows_that_the_model_cannot_read_are_refused_and_the_longest_it_can_are_not() -> None:
    for section, row_tokens, told in (
        ({"max_row_tokens": 64}, 65, "model.max_row_tokens is 64, but the packed rows have 65"),
        ({"width": 32, "num_heads": 32, "start": "local"}, 64, "heads at least 2 wide"),
    ):
        wrong = {"pack": {"row_tokens": row_tokens}, "model": section}
        with pytest.raises(UserError, match=told):
            check_outside(config_of(**wrong), "pretrain")
    for right in ({"max_row_tokens": 64}, {"width": 32, "num_heads": 16, "start": "local"}):
        check_outside(config_of(model=right), "pretrain")


def test_an_example_may_be_as_long_as_the_model_reads() -> None:
    """A word is a token at least, and <s> and </s> are two."""
    for words, fits in ((61, True), (62, False)):
        text = "word " * words + "<mask>"
        config = config_of(evaluate={"examples": [text]})
        if fits:
            evaluate_model.check_tasks(config)
        else:
            with pytest.raises(UserError, match=f"has {words + 1} words, and the model reads at"):
                evaluate_model.check_tasks(config)


def test_a_folder_to_continue_from_is_its_config_and_its_weights(tmp_path: Path) -> None:
    """All of its shards; nothing else that lies there is in the key."""
    section = ModelSection.model_validate({"from": str(tmp_path)})
    names = ("config.json", "model-1.safetensors", "model.safetensors.index.json")
    for name in ("notes.txt", "optimizer.pt", "config.json"):
        (tmp_path / name).write_text(name)
    with pytest.raises(UserError, match="model.from: .*no model"):
        config_to_spec.initial_files(section)
    for name in names[1:]:
        (tmp_path / name).write_text(json.dumps({"weight_map": {"a": names[1]}}))
    assert tuple(config_to_spec.initial_files(section)) == names
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match="model.from: .*no model"):
        config_to_spec.initial_files(section)
    assert config_to_spec.initial_files(ModelSection()) == {}


def test_a_suite_reads_weights_config_and_tokenizer_of_a_folder(tmp_path: Path) -> None:
    """The index only where there are several files of weights."""
    for name in ("config.json", "vocab.json", "README.md", "model.safetensors"):
        (tmp_path / name).write_text(name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    (tmp_path / "a.safetensors").write_text("a")
    found = set(evaluate_suite.model_files(tmp_path))
    assert found == {"config.json", "vocab.json", "model.safetensors"}
    (tmp_path / "model.safetensors").unlink()
    found = set(evaluate_suite.model_files(tmp_path))
    assert found == {"config.json", "vocab.json", "a.safetensors", index.name}
    for files in (evaluate_suite.model_files, finetune_model.encoder_and_tokenizer):
        assert set(files(tmp_path)) == found
        with pytest.raises(UserError, match="this is no model folder"):
            files(tmp_path / "none")


def test_the_tokenizer_of_a_published_model_says_how_much_it_reads(tmp_path: Path) -> None:
    """514 positions of which two stand for padding and what is before it."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 514, "pad_token_id": 1}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 3, "b": 1}')
    publish_model._fit_tokenizer(tmp_path)
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert told == {"model_max_length": 512, "b": 1}


def test_a_device_is_missing_only_where_a_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device, is_missing in (("gpu", True), ("cpu", False), ("auto", False)):
        config = config_of(engine={"launch": {"device": device}})
        assert (missing_device(config) is not None) is is_missing
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert missing_device(config_of(engine={"launch": {"device": "gpu"}})) is None


def test_a_training_costs_its_steps_or_its_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six operations a weight and token, at half of the speed that was measured."""
    monkeypatch.setattr("tasks.training.costs.matmul_flops", lambda _: 1e9)
    corpus = {"bytes": 4_200_000, "documents": 9}
    found = cost_of_training(config_of(), corpus)
    tokens = 14 * 16 * 64
    assert (found["steps"], found["tokens"]) == (14, tokens)
    seconds = 5 + 6 * found["parameters"] * tokens / 0.5e9
    assert found["seconds"] == pytest.approx(seconds, abs=0.06)
    timed = config_of(pretrain={"steps": None, "minutes": 2.0})
    assert cost_of_training(timed, corpus)["seconds"] == 125.0
    assert cost_of_training(timed, corpus)["steps"] is None
    epochs = config_of(pretrain={"steps": None, "epochs": 1.0})
    assert cost_of_training(epochs, corpus)["steps"] == -(-(1_000_000 // 64) // 16)
