"""The refresh: nothing new, something new, something that does harm; and who hears of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from letters import letters, write_texts
from receiver import receiver
from served import Served

MAKE_BLOCK = """
import sys
from prefect.blocks.webhook import Webhook
Webhook(url=sys.argv[1]).save("ops", overwrite=True)
"""


@pytest.fixture(scope="module")
def told(serving: Served) -> Iterator[list[Any]]:
    """What the notifications of the pipeline `news` have sent; it is deployed here."""
    with receiver() as (address, got):
        subprocess.run(
            [sys.executable, "-c", MAKE_BLOCK, address],
            env=serving.command.environment() | {"PREFECT_API_URL": f"{serving.origin}/api"},
            check=True,
        )
        folder = serving.command.folder / "news"
        letters(
            folder,
            name="news",
            corpus=[{"type": "files", "paths": ["texts/*.jsonl"], "held_out": 0.1}],
            operations={"refresh": {"steps": 6}, "notify": [{"block": "webhook/ops"}]},
        )
        done = serving.command("deploy", "news/letters.yaml", "--json")
        assert done.code == 0, done.err
        yield got


def refresh(serving: Served, **changes: Any) -> dict[str, Any]:
    """Run the refresh once, to its end."""
    config = serving.deployment("refresh/news")["parameters"]["config"]
    run = serving.start("refresh/news", config={**config, **changes})
    return serving.wait(run, seconds=240)


def published(serving: Served) -> Path:
    return (serving.command.folder / "news" / "store" / "models" / "news").resolve()


@pytest.mark.slow
def test_a_refresh_takes_in_what_is_new_and_publishes_what_is_not_worse(
    serving: Served, told: list[Any]
) -> None:
    """First all; then nothing; then only the new file, from the published weights; then no fall."""
    first = refresh(serving)
    assert first["state"]["message"] == "published the first model", first["state"]
    one = published(serving)

    again = refresh(serving)
    assert again["state_type"] == "COMPLETED"
    assert again["state"]["message"] == "nothing new"
    assert again["total_run_time"] < 20
    assert published(serving) == one

    texts = serving.command.folder / "news" / "texts"
    write_texts(texts / "b.jsonl", 500, 40)
    lenient = serving.deployment("refresh/news")["parameters"]["config"]["operations"]
    lenient["refresh"]["margin"] = 1.0
    deployed = serving.command(
        "deploy", "news/letters.yaml", "--set", "operations.refresh.margin=1.0", "--json"
    )
    assert deployed.code == 0, deployed.err
    more = refresh(serving)
    assert more["state"]["message"].startswith("published: held-out accuracy"), more["state"]
    two = published(serving)
    assert two != one
    manifest = json.loads((two / "manifest.json").read_text())
    pretrain = next((two.parents[1] / "5-pretrain").glob(manifest["inputs"]["pretrain"]["key"]))
    weights = json.loads((pretrain / "manifest.json").read_text())["externals"]
    before = json.loads((one / "manifest.json").read_text())
    handed = {entry["path"]: entry["sha256"] for entry in before["outputs"]}
    assert weights["model.safetensors"] == handed["model/model.safetensors"]

    write_texts(texts / "c.jsonl", 900, 40)
    deployed = serving.command(
        "deploy",
        "news/letters.yaml",
        "--set",
        "operations.refresh.margin=0",
        "--set",
        "pretrain.optimizer.learning_rate=3.0",
        "--json",
    )
    assert deployed.code == 0, deployed.err
    worse = refresh(serving)
    assert worse["state"]["name"] == "Not published", worse["state"]
    assert "fell by more than" in worse["state"]["message"]
    assert published(serving) == two

    serving.until(lambda: len(told) >= 3, 120)
    assert [entry["news"] for entry in told] == ["publish", "publish", "score_drop"]
    assert told[2]["message"].startswith("not published: held-out accuracy")


@pytest.mark.slow
def test_failure_and_recovery_are_told(serving: Served, told: list[Any]) -> None:
    """Who watches hears that a run failed and why, and that the next one did not."""
    del told[:]
    broken = serving.command.folder / "news" / "texts" / "d.jsonl"
    broken.write_text("{broken\n")
    run = serving.start("pretrain/news", until="download")
    assert serving.wait(run)["state_type"] == "FAILED"
    serving.until(lambda: told, 120)
    assert told[0]["news"] == "failure"
    assert "d.jsonl" in told[0]["message"]
    broken.unlink()
    done = serving.command("retry", run)
    assert done.code == 0, done.err
    serving.until(lambda: len(told) > 1, 180)
    assert [entry["news"] for entry in told] == ["failure", "recovery"]


def test_a_notification_without_its_block_is_refused(serving: Served) -> None:
    """Before anything is registered that would tell nobody."""
    done = serving.command(
        "deploy", "letters.yaml", "--set", "name=unheard", "--set",
        "operations.notify=[{block: slack-webhook/nobody}]",
    )  # fmt: skip
    assert done.code == 2
    assert "has no block slack-webhook/nobody" in done.err
    assert serving.request("/api/deployments/name/pretrain/unheard")[0] == 404
