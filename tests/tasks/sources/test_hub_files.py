"""Data by their addresses on the hub: a server on loopback that answers as huggingface.co does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hub_server import Hub, hub_server
from pyarrow import parquet

from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import MinimalPairsConfig
from tasks.errors import TransientError, UserError
from tasks.evaluation.minimal_pairs import check_pairs, pair_files
from tasks.finetuning.downstream import data_files
from tasks.sources import hub_files
from tasks.sources.hub_files import on_this_machine

PAIR = {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "UID": "agreement"}
ROWS = [{"sentence": "good", "label": 1}, {"sentence": "bad", "label": 0}]


def as_parquet(rows: list[dict[str, object]]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """BLiMP's and GLUE's way to lie there: a folder for each subset, Parquet in it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub_files._fetched.cache_clear()
    with hub_server(monkeypatch) as made:
        part = "train-00000-of-00001.parquet"
        made.files = {
            "README.md": b"---\n---\n",
            f"agreement/{part}": as_parquet([{**PAIR}, {**PAIR}]),
            f"island/{part}": as_parquet([{**PAIR, "UID": "island"}]),
            f"sst2/{part}": as_parquet([dict(row) for row in ROWS]),
            "sst2/dev.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
        }
        yield made
    hub_files._fetched.cache_clear()


def pairs_at(data: str) -> MinimalPairsConfig:
    return MinimalPairsConfig(task="minimal_pairs", name="pairs", data=data)


def fine_tuning(train: str, dev: str) -> FineTuningConfig:
    return FineTuningConfig(name="mood", task="classify", train=train, dev=dev)


def test_a_dataset_of_pairs_is_all_its_folders(hub: Hub, tmp_path: Path) -> None:
    """Each called by its folder, and the same content as the same file of this machine."""
    del hub.files["sst2/dev.jsonl"], hub.files["sst2/train-00000-of-00001.parquet"]
    settings = pairs_at("hf://datasets/us/pairs")
    check_pairs(settings, "evaluate.tasks.pairs")
    files = pair_files(settings, "evaluate.tasks.pairs")
    assert list(files) == ["agreement", "island"]
    (local := tmp_path / "here.parquet").write_bytes(
        hub.files["island/train-00000-of-00001.parquet"]
    )
    (known,) = pair_files(pairs_at(str(local)), "x").values()
    assert known.sha256 == files["island"].sha256


def test_labelled_data_come_from_the_hub(hub: Hub) -> None:
    """A file as it was committed; another commit, once it is asked for, is another file."""
    address = "hf://datasets/us/glue@main/sst2/"
    found = data_files(fine_tuning(f"{address}dev.jsonl", f"{address}dev.jsonl"), "downstream.0.")
    assert found["train"].read_bytes() == hub.files["sst2/dev.jsonl"]
    assert found["train"].suffix == ".jsonl"
    hub.files["sst2/dev.jsonl"], before = b"{}\n", hub.files["sst2/dev.jsonl"]
    hub.parents.append(None)
    again = data_files(fine_tuning(f"{address}dev.jsonl", f"{address}dev.jsonl"), "downstream.0.")
    assert again["train"].read_bytes() == before, "one process is about one state"
    hub_files._fetched.cache_clear()
    newer = on_this_machine(f"{address}dev.jsonl", "train")
    assert newer.read_bytes() == b"{}\n"
    assert found["train"].read_bytes() == before


def test_what_was_fetched_is_there_without_a_way_to_the_hub(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file, which is all of it. A folder might lack what nobody has asked for yet."""
    from huggingface_hub import constants

    kept = on_this_machine("hf://datasets/us/glue/sst2/dev.jsonl", "dev")
    hub_files._fetched.cache_clear()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert on_this_machine("hf://datasets/us/glue/sst2/dev.jsonl", "dev") == kept
    for address in ("us/glue/sst2", "us/glue", "us/glue/island/none.jsonl"):
        with pytest.raises(TransientError, match=f"dev: hf://datasets/{address}: the hub cannot"):
            on_this_machine(f"hf://datasets/{address}", "dev")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("hf://datasets/us", "no dataset's address"),
        ("hf://models/us/it", "no dataset's address"),
        ("hf://datasets/us/glue/../../x", "no dataset's address"),
        ("hf://datasets/us/glue/sst3", r"there is no 'sst3' in it, which has README\.md, agree"),
        ("hf://datasets/us/-bad-/a.jsonl", "cannot be read"),
    ],
)
def test_a_wrong_address_is_the_users(hub: Hub, address: str, told: str) -> None:
    with pytest.raises(UserError, match=f"^downstream.0.train: .*{told}"):
        data_files(fine_tuning(address, address), "downstream.0.")


def test_a_dataset_that_is_not_there_or_not_ours_names_the_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {"status": 404}
    monkeypatch.setattr(hub, "answer", lambda *_: (refused["status"], {"error": "no"}))
    with pytest.raises(UserError, match="cannot be read .* HF_TOKEN"):
        on_this_machine("hf://datasets/us/private", "dev")
    refused["status"] = 403
    with pytest.raises(UserError, match="HF_TOKEN"):
        on_this_machine("hf://datasets/us/private", "dev")


@pytest.mark.parametrize("secret", ["us/set?token=SECRET", "us:SECRET@hub/set", "us?token=SECRET"])
def test_a_secret_in_an_address_is_not_repeated(hub: Hub, secret: str) -> None:
    with pytest.raises(UserError) as caught:
        on_this_machine(f"hf://datasets/{secret}", "dev")
    assert "SECRET" not in str(caught.value)


def test_a_path_of_this_machine_asks_nobody(tmp_path: Path) -> None:
    assert on_this_machine(str(tmp_path), "dev") == tmp_path
    assert on_this_machine("~/x", "dev") == Path.home() / "x"
