"""push to the hub's API, spoken by a server on loopback: one private repository, one commit."""

from pathlib import Path

import pytest
from byte_models import byte_model
from hub_server import hub_server

from tasks.errors import StageError, UserError
from tasks.publishing.push import push_model

URL = "hf://us/model"


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
