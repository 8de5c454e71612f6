"""The whole pipeline on real text, by the stages alone: bytes, ledger, reuse, repair."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import digests, run_all, write_config

from tasks.config import Config
from tasks.config.load import load_config
from tasks.engine.progress import Progress
from tasks.engine.runner import Outcome
from tasks.engine.store import Store
from tasks.inspection.ledger_path import ledger_of
from tasks.inspection.plan import explain, make_plan
from tasks.inspection.runs import write_run
from tasks.inspection.verify import find_damage, repair
from tasks.stages import STAGE_NAMES

Finished = tuple[Config, dict[str, Outcome]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One undisturbed run of all stages."""
    config = load_config(str(write_config(tmp_path_factory.mktemp("pipeline"))))
    outcomes = run_all(config)
    store = Store(config.store)
    write_run(store, record(config, outcomes))
    return config, outcomes


def record(config: Config, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    stages = [{"name": name, "key": made.artifact.key} for name, made in outcomes.items()]
    settings = config.model_dump(mode="json", by_alias=True)
    return {
        "run": "r",
        "name": config.name,
        "started": "2026",
        "state": "done",
        "stages": stages,
        "config": settings,
    }


def changed(config: Config, **changes: Any) -> Config:
    values = config.model_dump(mode="json", by_alias=True)
    for path, value in changes.items():
        place = values
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return Config.model_validate(values)


def test_the_ledger_adds_up_from_raw_documents_to_packed_tokens(finished: Finished) -> None:
    """What one stage keeps is what the next takes in, in documents, bytes and tokens."""
    _, outcomes = finished
    ledger = ledger_of({name: made.artifact for name, made in outcomes.items()})
    assert ledger["balanced"]
    assert [stage["name"] for stage in ledger["stages"]][:3] == ["download", "clean", "pack"]
    pack = ledger["stages"][-1]
    row_tokens = outcomes["pack"].artifact.config["row_tokens"]
    assert 0 <= pack["tokens"]["in"] - pack["tokens"]["kept"] < row_tokens


def test_a_second_run_is_cached_throughout(finished: Finished) -> None:
    """Nothing changed, so nothing runs; `plan` says the same."""
    config, outcomes = finished
    assert {plan.action for plan in make_plan(config, Store(config.store))} == {"cached"}
    again = run_all(config)
    assert {made.state for made in again.values()} == {"cached"}
    assert digests(again) == digests(outcomes)


@pytest.mark.parametrize(
    ("field", "value", "first"),
    [
        ("pack__row_tokens", 32, "pack"),
        ("pretrain__steps", 9, "pretrain"),
        ("evaluate__examples", ["A <mask>."], "evaluate"),
        ("publish__licence", "apache-2.0", "publish"),
        ("tokenizer__vocab_size", 900, "tokenizer"),
    ],
)
def test_a_changed_field_wakes_exactly_the_stages_it_concerns(
    finished: Finished, field: str, value: Any, first: str
) -> None:
    """The plan says which stages run and names the field; those before it stay cached."""
    config, _ = finished
    store = Store(config.store)
    plans = make_plan(changed(config, **{field: value}), store)
    actions = {plan.name: plan.action for plan in plans}
    position = STAGE_NAMES.index(first)

    assert all(actions[name] == "cached" for name in STAGE_NAMES[:position])
    assert actions[first] == "run"
    (plan,) = (plan for plan in plans if plan.name == first)
    assert any(field.split("__")[-1] in why and "->" in why for why in plan.why), plan.why
    told = explain(changed(config, **{field: value}), store, first)
    assert any(field.split("__")[-1] in d["field"] for d in told["differences"])


def test_a_flipped_byte_anywhere_is_named_and_repaired_to_the_same_bytes(
    finished: Finished,
) -> None:
    """One file of every stage is damaged; repair redoes only those units."""
    config, outcomes = finished
    store = Store(config.store)
    before = {}
    damaged = []
    for name, made in outcomes.items():
        path, file = made.artifact.outputs[-1]
        place = file.local()
        before[place] = place.read_bytes()
        content = bytearray(before[place])
        content[len(content) // 2] ^= 0x10
        place.unlink()
        place.write_bytes(bytes(content))
        damaged.append((name, f"{made.artifact.folder}/{path}"))

    found = find_damage(store)
    assert [(entry["stage"], entry["path"]) for entry in found] == damaged
    repair(store, found, None, Progress())

    for place, content in before.items():
        assert place.read_bytes() == content, place
    assert find_damage(store) == []
    assert {made.state for made in run_all(config).values()} == {"cached"}


def test_the_published_folder_is_a_stock_model(finished: Finished) -> None:
    """Stock transformers loads it and its fill-mask pipeline gives our top five."""
    from transformers import pipeline

    from tasks.inference.fill_mask import fill_mask

    _, outcomes = finished
    publish = outcomes["publish"].artifact
    folder = Path(publish.store.url(f"{publish.folder}/model"))
    text = "Return the <mask> of the list."
    stock = pipeline("fill-mask", model=str(folder), top_k=5)(text)
    ours = fill_mask(folder, text, top=5)[0]

    assert [guess["token"] for guess in stock] == [guess["id"] for guess in ours]
    for theirs, mine in zip(stock, ours, strict=True):
        assert theirs["score"] == pytest.approx(mine["score"], abs=1e-5)


def test_the_report_needs_nothing_else(finished: Finished) -> None:
    """One HTML file: no scripts, no links out, the figures in it."""
    _, outcomes = finished
    publish = outcomes["publish"].artifact
    html = publish.file("report.html").local().read_text(encoding="utf-8")

    assert "<script" not in html
    assert 'src="http' not in html
    assert 'href="http' not in html
    assert html.count("<svg") >= 2
    losses = outcomes["pretrain"].artifact.file("losses.jsonl").local().read_text()
    last = json.loads(losses.splitlines()[-1])
    assert last["step"] in (13, 14)
    assert "tiny" in html
