"""push: whole or not to be loaded, in a folder and on a real S3 server; no secret in a word."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, S3Server, s3_server
from small_models import our_model, small_config
from tokenizers.pre_tokenizers import ByteLevel

from roberta_model.huggingface import save_model
from roberta_model.inference.special_tokens import SPECIAL_TOKENS
from tasks.engine import retrying
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.publishing import export
from tasks.publishing.push import push_model
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

NAMES = {"config.json", "merges.txt", "model.safetensors", "tokenizer.json"}
NAMES |= {"tokenizer_config.json", "vocab.json"}


def make_model(folder: Path, seed: int) -> Path:
    """A tiny model folder, as publish leaves one."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate((*SPECIAL_TOKENS, *letters))}
    tokenizer = build_tokenizer(vocabulary, [])
    folder.mkdir()
    save_tokenizer(tokenizer, folder)
    config = small_config(vocab_size=tokenizer.get_vocab_size(), max_row_tokens=510)
    save_model(our_model(config, seed=seed), folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("one") / "model", seed=1)


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("two") / "model", seed=2)


@pytest.fixture
def _no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gate is not what is tested: it takes seconds."""
    monkeypatch.setattr(export, "check_against_stock", lambda folder, texts: 0.0)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.settings.items():
            patch.setenv(name, value)
        yield server


def whole(store: Store) -> dict[str, bytes | None]:
    return {name: store.read(name) for name in store.files("")}


@pytest.mark.usefixtures("_no_gate")
def test_a_folder_is_there_at_once(model: Path, tmp_path: Path) -> None:
    """Pushed again it is there already, and nothing else is left beside it."""
    url = f"file://{tmp_path}/given/letters"
    told = push_model(model, url)
    assert told["state"] == "pushed"
    assert set(told["files"]) == NAMES
    target = tmp_path / "given/letters"
    assert (target / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["letters"]
    assert push_model(target, url)["state"] == "there", "a pushed folder can be pushed on"


def test_what_stock_does_not_agree_with_is_not_sent(model: Path, tmp_path: Path) -> None:
    """The gate's own paragraph; no place is made."""
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    settings = json.loads((broken / "tokenizer_config.json").read_text())
    settings["add_prefix_space"] = True
    (broken / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(StageError, match="other token ids"):
        push_model(broken, str(tmp_path / "target"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


@pytest.mark.usefixtures("_no_gate")
def test_another_model_is_replaced_only_when_asked(
    model: Path, another: Path, tmp_path: Path
) -> None:
    """And what is no model never."""
    target = tmp_path / "target"
    push_model(model, str(target))
    with pytest.raises(UserError, match="another model is there already"):
        push_model(another, str(target))
    push_model(another, str(target), replace=True)
    assert (target / "model.safetensors").read_bytes() == (
        another / "model.safetensors"
    ).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    (target / "mine").mkdir()
    with pytest.raises(UserError, match="something else is there already, such as mine"):
        push_model(model, str(target), replace=True)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/novel.txt").write_text("mine")
    for replace in (False, True):
        with pytest.raises(UserError, match="something else is there already, such as novel"):
            push_model(model, str(tmp_path / "texts"), replace=replace)


@pytest.mark.usefixtures("_no_gate")
def test_on_s3_what_can_be_loaded_comes_last(
    s3: S3Server, model: Path, another: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off before any file: no config.json; the same command makes it whole."""
    monkeypatch.setattr(retrying, "TRIES", 1)
    url = f"s3://{BUCKET}/encoders/letters"
    store = open_store(url)
    order: list[str] = []

    def note(method: str, path: str) -> None:
        if method == "PUT":
            order.append(path.split("?")[0].rsplit("/", 1)[-1])

    lost = s3.faults(lambda method, path: "error" if "safetensors" in path else None)
    with lost, pytest.raises((StageError, OSError)):
        push_model(model, url)
    assert "config.json" not in store.files("")
    s3.fault = note
    assert push_model(model, url)["state"] == "pushed"
    assert order[-2:] == ["files.json", "config.json"]
    first = whole(store)
    assert first.keys() == NAMES | {"files.json"}
    assert push_model(model, url)["state"] == "there"

    lost = s3.faults(lambda method, path: "error" if method == "PUT" else None)
    with lost, pytest.raises((StageError, OSError)):
        push_model(another, url, replace=True)
    assert "config.json" not in store.files(""), "neither the old model nor the new one"
    push_model(another, url, replace=True)
    assert whole(store)["config.json"] is not None
    assert whole(store)["model.safetensors"] == (another / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("_no_gate")
def test_no_word_holds_a_secret(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in an address that is refused, nor in what the hub's library says."""
    with pytest.raises(UserError, match="carries a secret") as refused:
        push_model(model, "s3://me:hunter2@bucket/x")
    assert "hunter2" not in str(refused.value)
    assert str(refused.value).startswith("--to: s3://***@bucket")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match="HF_TOKEN"):
        push_model(model, "hf://team/letters")
    with pytest.raises(UserError, match="hf://user/name"):
        push_model(model, "hf://letters")
    monkeypatch.setenv("HF_TOKEN", "hf_hunter2")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(StageError, match="the hub did not take it") as offline:
        push_model(model, "hf://team/letters")
    assert "hunter2" not in str(offline.value) + caplog.text


def test_what_is_no_model_folder_is_said(tmp_path: Path) -> None:
    """A folder without config.json, and one that is not there."""
    for missing in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="this is no model folder"):
            push_model(missing, str(tmp_path / "target"))
    assert not list(tmp_path.iterdir())
