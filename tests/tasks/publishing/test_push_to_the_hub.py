"""push to the hub's API, spoken by a server on loopback: one private repository, one commit."""

from pathlib import Path
from typing import Any

import pytest
from byte_models import byte_model
from hub_server import hub_server
from huggingface_hub import HfApi

from tasks.errors import StageError, UserError
from tasks.publishing import export
from tasks.publishing.push import push_model

URL = "hf://us/model"


@pytest.fixture
def no_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock is asked once for all, in the first test: it takes seconds each time."""
    monkeypatch.setattr(export, "check_against_stock", lambda folder, texts: 0.25)


def test_a_new_repository_is_private_and_gets_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one commit, byte for byte, with the token of the environment."""
    model = byte_model(tmp_path / "model")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_server(monkeypatch) as hub:
        push_model(model, URL)
    (made,) = hub.made
    assert made.get("private") is True or made.get("visibility") == "private"
    sent = {name: content for name, content in hub.files.items() if name != "files.json"}
    assert sent == {path.name: path.read_bytes() for path in model.iterdir()}
    assert hub.tokens - {None} == {"Bearer hf_secret"}


def test_a_refusal_is_one_paragraph_without_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_server(monkeypatch) as hub:
        hub.refuses = True
        with pytest.raises(StageError, match="hf://us/model: the hub did not take it") as caught:
            push_model(byte_model(tmp_path / "model"), URL)
    assert "hf_secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_token_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub_server(monkeypatch) as hub, pytest.raises(UserError, match="Set it as HF_TOKEN"):
        push_model(byte_model(tmp_path / "model"), URL)
    assert hub.tokens == set()


@pytest.mark.usefixtures("no_gate")
def test_the_same_push_again_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it look at the wrong commit: a new one names the one that was looked at and read."""
    model = byte_model(tmp_path / "model")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_server(monkeypatch) as hub:
        assert push_model(model, URL)["state"] == "pushed"
        assert push_model(model, URL)["state"] == "there"
        assert hub.parents == ["0" * 40]
        hub.files["config.json"] += b" "
        with pytest.raises(UserError, match="another model is there already"):
            push_model(model, URL)
        del hub.files["tokenizer.json"]
        with pytest.raises(UserError, match="another model is there already"):
            push_model(model, URL)
        assert push_model(model, URL, replace=True)["state"] == "pushed"
        assert hub.parents == ["0" * 40, "1" * 40]
        assert hub.revisions == {"1" * 40}
        assert "tokenizer.json" in hub.files


@pytest.mark.usefixtures("no_gate")
def test_another_model_is_replaced_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old one had more goes; what nobody pushed stays."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    first, second = byte_model(tmp_path / "first"), byte_model(tmp_path / "second", seed=1)
    (first / "notes.md").write_text("of the first")
    with hub_server(monkeypatch) as hub:
        hub.files[".gitattributes"] = b"theirs"
        push_model(first, URL)
        before = dict(hub.files)
        with pytest.raises(UserError, match=r"hf://us/model: another model .* or --replace"):
            push_model(second, URL)
        assert hub.files == before
        push_model(second, URL, replace=True)
    assert hub.files.pop(".gitattributes") == b"theirs"
    assert hub.files.pop("files.json") != before["files.json"]
    assert hub.files == {path.name: path.read_bytes() for path in second.iterdir()}


@pytest.mark.usefixtures("no_gate")
def test_a_strangers_model_is_no_place_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is to be replaced: then its weights go, so that none are left to be mistaken."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    model = byte_model(tmp_path / "model")
    with hub_server(monkeypatch) as hub:
        hub.files |= {"config.json": b"{}", "model-00001-of-00002.safetensors": b"w"}
        hub.files |= {"model.safetensors.index.json": b"{}", "pytorch_model.bin": b"w"}
        hub.files |= {"notes.md": b"theirs"}
        with pytest.raises(UserError, match="another model is there already"):
            push_model(model, URL)
        assert push_model(model, URL, replace=True)["state"] == "pushed"
    names = {path.name for path in model.iterdir()}
    assert hub.files.keys() == names | {"files.json", "notes.md"}


@pytest.mark.usefixtures("no_gate")
def test_who_commits_in_between_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    usual = HfApi.model_info

    with hub_server(monkeypatch) as hub:

        def looked_at(*words: Any, **more: Any) -> Any:
            found = usual(*words, **more)
            hub.files["config.json"] = b"theirs"
            hub.parents.append(None)
            return found

        monkeypatch.setattr(HfApi, "model_info", looked_at)
        with pytest.raises(StageError, match="the hub did not take it"):
            push_model(byte_model(tmp_path / "model"), URL)
    assert hub.files == {"config.json": b"theirs"}
