"""`roberta serve`: what an operator starts, sees, ends and tries again, on a real server."""

import json
import time

import pytest
from served import LONG, Served


def test_a_config_is_deployed_in_five_ways_and_started_from_its_form(serving: Served) -> None:
    """Every deployment is there, and the form's run goes through."""
    names = {d["name"] for d in serving.ask("deployments/filter", {})}
    assert names == {"letters"}
    for flow in ("pretrain", "refresh", "evaluate", "verify", "prune"):
        assert serving.deployment(f"{flow}/letters")["work_pool_name"] == "roberta"
    run = serving.start("pretrain/letters", until="clean")
    assert serving.wait(run)["state_type"] == "COMPLETED", serving.run(run)["state"]
    both = {"download": "Completed", "clean": "Completed"}
    serving.until(lambda: serving.stages(run) == both, 20)


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"pack": {"row_tokens": "many"}}, None),
        ({"pack": {"row_tokns": 64}}, None),
        ({"pretrain": {"steps": 0}}, None),
        ({"store": "/elsewhere"}, None),
        ({"engine": {"kind": "dask", "address": "tcp://elsewhere:8786"}}, None),
        ({}, "clena"),
    ],
)
def test_a_bad_value_is_refused_before_there_is_a_run(
    serving: Served, changes: dict[str, object], until: str | None
) -> None:
    """A wrong type, an unknown key, another store or engine: the form says no."""
    before = len(serving.ask("flow_runs/filter", {}))
    deployment = serving.deployment("pretrain/letters")
    parameters = {"config": serving.config_with(**changes), "until": until}
    status, answer = serving.request(
        f"/api/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters}
    )
    assert status in (409, 422), answer
    assert len(serving.ask("flow_runs/filter", {})) == before


@pytest.mark.parametrize("path", ["texts/../../../etc/passwd"])
def test_a_run_from_a_form_reads_nothing_outside_the_roots(serving: Served, path: str) -> None:
    """What the server's user could read is not for whoever fills in a form."""
    corpus = [{"type": "files", "paths": [path], "format": "text"}]
    run = serving.start("pretrain/letters", config=serving.config_with(corpus=corpus))
    ended = serving.wait(run)
    assert ended["state_type"] == "FAILED"
    assert "lies outside what this server may touch" in ended["state"]["message"]
    assert serving.stages(run) == {}


@pytest.mark.slow
def test_what_failed_is_tried_again_from_where_it_failed(serving: Served) -> None:
    """A damaged file ends the run with a paragraph; mended, the same run goes on."""
    folder = serving.command.folder
    pairs = folder / "pairs" / "one.jsonl"
    pairs.parent.mkdir(exist_ok=True)
    good = json.dumps({"sentence_good": "Letter 1 is here.", "sentence_bad": "1 here Letter is."})
    pairs.write_text(f"{good}\n")
    config = serving.config_with(evaluate={"blimp": {"data": str(pairs.parent)}})
    run = serving.start("pretrain/letters", config=config, from_stage="pack")
    # What is wrong before is told before anything runs.
    serving.until(lambda: "pretrain" in serving.stages(run))
    pairs.write_text("{broken\n")
    ended = serving.wait(run)
    assert ended["state_type"] == "FAILED"
    assert "evaluate.blimp.data: one, line 1" in ended["state"]["message"]
    pairs.write_text(f"{good}\n")
    done = serving.command("retry", run[:13], "--json")
    assert done.code == 0, done.err
    assert done.json == {"run": run, "queued": True}
    serving.until(lambda: serving.run(run)["run_count"] == 2)
    assert serving.wait(run)["state_type"] == "COMPLETED"
    # A task's last state comes a moment after the run's.
    again = serving.until(
        lambda: found if (found := serving.stages(run)).get("publish") == "Completed" else None
    )
    before = ("download", "clean", "tokenizer", "pack", "pretrain")
    assert {again[name] for name in before} == {"Cached"}, "a retry makes again what it has made"
    listed = serving.command("runs", "--json").json["runs"]
    assert next(entry for entry in listed if entry["run"] == run)["state"] == "Completed"


@pytest.mark.slow
def test_a_cancelled_training_ends_in_seconds_with_a_checkpoint(serving: Served) -> None:
    """How such a run goes on, to the same bytes, is among the faults of tests/chaos."""
    config = serving.config_with(pretrain=LONG)
    run = serving.start("pretrain/letters", config=config)
    serving.until(lambda: serving.trainers(), 120)
    time.sleep(3)
    began = time.monotonic()
    done = serving.command("cancel", run, "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"run", "how"}
    assert serving.wait(run, seconds=60)["state_type"] == "CANCELLED"
    serving.until(lambda: not serving.trainers(), 5)
    assert time.monotonic() - began < 30
    store = serving.command.folder / "store"
    found = list(store.glob("5-pretrain/*/checkpoint/*"))
    assert found, "no checkpoint was written"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["flow", "trainer"])
def test_a_run_whose_process_is_killed_is_true_and_leaves_no_orphan(
    serving: Served, victim: str
) -> None:
    """`kill -9` of the flow's process or of its trainer: within two minutes."""
    config = serving.config_with(pretrain=LONG, name="letters")
    run = serving.start("pretrain/letters", config=config)
    (trainer,) = serving.until(lambda: serving.trainers(), 120)
    time.sleep(2)
    (trainer if victim == "trainer" else trainer.parent()).kill()
    ended = serving.wait(run, seconds=120)
    assert ended["state_type"] in ("CRASHED", "FAILED"), ended["state"]
    serving.until(lambda: not serving.trainers(), 40)


def test_a_second_serve_of_the_same_user_says_where_the_first_is(serving: Served) -> None:
    """Two servers on one database would be in each other's way."""
    done = serving.command("serve", "--port", "0")
    assert done.code == 2
    assert serving.origin in done.err


def test_deploying_again_changes_nothing(serving: Served) -> None:
    """The same deployments and automations, by their ids; and no second schedule."""

    def all_there_is() -> list[str]:
        automations = serving.ask("automations/filter", {})
        deployments = serving.ask("deployments/filter", {})
        schedules = [each for d in deployments for each in d["schedules"]]
        return sorted(str(each["id"]) for each in (*automations, *deployments)) + [
            str(len(schedules))
        ]

    before = all_there_is()
    done = serving.command("deploy", "letters.yaml", "--json")
    assert done.code == 0, done.err
    assert all_there_is() == before


@pytest.mark.slow
def test_two_operators_at_once_compute_nothing_twice(serving: Served) -> None:
    """The same config twice and another one beside it, on one store: all end well."""
    shared = ["--set", f"store={serving.command.folder / 'shared'}"]
    for name, tokens in (("same", "64"), ("other", "32")):
        words = ["--set", f"name={name}", "--set", f"pack.row_tokens={tokens}", *shared]
        done = serving.command("deploy", "letters.yaml", *words)
        assert done.code == 0, done.err
    runs = [serving.start(f"pretrain/{name}") for name in ("same", "same", "other")]
    assert [serving.wait(run, seconds=300)["state_type"] for run in runs] == ["COMPLETED"] * 3
    made = []
    for run in runs:
        record = serving.command.folder / "shared" / "runs" / f"{run}.json"
        entries = json.loads(record.read_text())["stages"]
        made.append({entry["name"]: (entry["key"], entry["state"]) for entry in entries})
    for stage in made[0]:
        assert {made[0][stage][1], made[1][stage][1]} == {"done", "cached"}, stage
    assert {made[0]["clean"][0]} == {made[2]["clean"][0]}
    assert [each["clean"][1] for each in made].count("done") == 1
