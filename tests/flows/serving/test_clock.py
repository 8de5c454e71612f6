"""What starts by itself: on time, on SQLite and PostgreSQL; and once, where it has piled up."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import Command
from letters import letters, write_texts
from postgres import find_programs, find_user, postgres
from served import Served, served


def scheduled_runs(serving: Served, deployment: str, *states: str) -> list[dict[str, object]]:
    """The runs of a deployment that its schedule has made, in these states, oldest first."""
    runs = serving.ask("flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"})
    return [
        run
        for run in runs
        if run["deployment_id"] == deployment
        and run["auto_scheduled"]
        and (not states or run["state_type"] in states)
    ]


def check_on_time(serving: Served) -> None:
    """Deploy a refresh for every minute, and see the next one go through."""
    done = serving.command("deploy", "letters.yaml", "--cron", "* * * * *", "--json")
    assert done.code == 0, done.err
    deployment = serving.deployment("refresh/letters")["id"]
    (run, *_) = serving.until(lambda: scheduled_runs(serving, deployment, "COMPLETED"), 180)
    due = datetime.fromisoformat(str(run["expected_start_time"]))
    began = datetime.fromisoformat(str(run["start_time"]))
    # The worker starts a process a moment before it is due.
    assert timedelta(seconds=-5) <= began - due < timedelta(seconds=45)


@pytest.mark.slow
def test_a_schedule_fires_on_time_on_sqlite(tmp_path: Path) -> None:
    """Not only is there a schedule: a run of it begins within seconds of its minute."""
    letters(tmp_path / "work")
    command = Command(tmp_path / "work", tmp_path / "home")
    assert command("run", "letters.yaml").code == 0
    with served(command, "letters.yaml") as serving:
        check_on_time(serving)


@pytest.mark.slow
def test_a_schedule_fires_on_time_on_postgresql(tmp_path: Path) -> None:
    """The same with the database of a team, given by the environment."""
    if find_programs() is None or find_user() is None:
        pytest.skip("PostgreSQL's server is not installed, or has no user to run as")
    letters(tmp_path / "work")
    with postgres(tmp_path / "database") as url:
        variables = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
        command = Command(tmp_path / "work", tmp_path / "home", variables=variables)
        with served(command, "letters.yaml") as serving:
            check_on_time(serving)
        assert not (tmp_path / "home" / "prefect.db").exists()


@pytest.mark.slow
def test_what_has_piled_up_becomes_one_run(serving: Served) -> None:
    """Four refreshes that are due at once, as after a weekend: one works, the rest are skipped."""
    deployment = serving.deployment("refresh/letters")
    now = datetime.now(UTC)
    runs = []
    for hours in (4, 3, 2, 1):
        due = (now - timedelta(hours=hours)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        body = {"state": state, "parameters": deployment["parameters"]}
        made = serving.ask(f"deployments/{deployment['id']}/create_flow_run", body)
        runs.append(str(made["id"]))
    ends = [serving.wait(run, seconds=240)["state"] for run in runs]
    worked = [state for state in ends if state["name"] not in ("Skipped", "Cancelled")]
    assert len(worked) == 1, [state["name"] for state in ends]


@pytest.mark.slow
def test_a_day_of_hourly_refreshes_takes_in_only_what_is_new(serving: Served) -> None:
    """New files now and then: each is cleaned once, and the disk stays within retention."""
    folder = serving.command.folder / "day"
    letters(
        folder,
        name="day",
        corpus=[{"type": "files", "paths": ["texts/*.jsonl"], "held_out": 0.1}],
        operations={
            "refresh": {"steps": 4, "margin": 1.0},
            "prune": {"keep": 1, "partial_days": 0},
        },
    )
    assert serving.command("deploy", "day/letters.yaml").code == 0
    messages, sizes = [], []
    for hour in range(8):
        if hour in (2, 3, 6):
            write_texts(folder / "texts" / f"{hour}.jsonl", 1000 * hour, 30)
        run = serving.start("refresh/day")
        messages.append(serving.wait(run, seconds=240)["state"]["message"].split(":")[0])
        pruned = serving.start("prune/day")
        assert serving.wait(pruned, seconds=120)["state_type"] == "COMPLETED"
        files = [path for path in (folder / "store").rglob("*") if path.is_file()]
        sizes.append(sum(path.stat().st_size for path in files))
    quiet = "nothing new"
    expected = [quiet, "published", "published", quiet, quiet, "published", quiet]
    assert messages == ["published the first model", *expected]
    assert max(sizes) < 3 * sizes[0], sizes
    downloads = list((folder / "store" / "1-download").iterdir())
    manifest = json.loads((downloads[0] / "manifest.json").read_text())
    assert len(manifest["summary"]["files"]) == 4
