"""What `doctor`, `metrics` and the lists of stores say, figure by figure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import GONE, hand_made_run
from httpx import HTTPStatusError, Request, Response
from prefect.settings import PREFECT_HOME, temporary_settings

from flows.serving import metrics, stores
from flows.serving.diagnosis import _age, _disk, _server, diagnose
from flows.serving.metrics import _escaped, metrics_text
from flows.serving.stores import find_manifest, find_report, show_stores, shown_stores
from tasks.engine.lease import Lease
from tasks.engine.store import Store
from tasks.engine.stores import open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv(stores.STORES, raising=False)
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        (tmp_path / "home").mkdir()
        yield tmp_path / "home"


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


def test_a_pipeline_that_did_not_end_well_needs_a_person(store: Store) -> None:
    for name, state, process in (
        ("a", "failed", None), ("b", "stopped", None), ("c", "running", GONE), ("d", "done", None),
        ("e", "running", None),
    ):  # fmt: skip
        hand_made_run(
            store, f"r{name}", name=name, state=state, process=process, started=ago(hours=3)
        )
    told = diagnose(None, store, "the server is away")
    assert told["server"] is None
    concerns = told["concerns"]
    assert concerns[0] == "the server is away"
    found = [each for each in concerns[1:] if not each.startswith("the disk")]
    assert sorted(found) == [
        f"{name}: its last run r{name} is {state}; `roberta retry` goes on with it"
        for name, state in (("a", "failed"), ("b", "stopped"), ("c", "killed"))
    ]
    assert "  d: last ended well 3 hours ago; last run done" in told["lines"]
    assert "  a: never ended well; last run failed" in told["lines"]


@pytest.mark.parametrize(
    ("free", "left", "is_concern"),
    [
        (2 << 30, None, False),
        ((2 << 30) - 1, None, True),
        (10 << 30, 7.0, False),
        (10 << 30, 6.9, True),
        (10 << 30, 0.0, True),
    ],
)
def test_a_disk_that_is_nearly_full_needs_a_person(
    free: int, left: float | None, is_concern: bool
) -> None:
    concerns: list[str] = []
    (line,) = _disk({"free_bytes": free, "days_left": left, "bytes_per_day": 5e6}, concerns)
    assert bool(concerns) is is_concern
    assert ", 5 MB a day" in line
    assert ("enough for" in line) is (left is not None)
    assert _disk({"free_bytes": None, "days_left": None, "bytes_per_day": None}, concerns) == []


def client(waits: list[float], workers: list[str]) -> Any:
    """A server with runs that have been due for so many seconds, and workers in such states."""
    now = datetime.now(UTC)
    runs = [SimpleNamespace(expected_start_time=now - timedelta(seconds=each)) for each in waits]
    found = [{"name": f"w{n}", "status": status} for n, status in enumerate(workers)]
    return SimpleNamespace(
        api_url="http://here:4200/api/",
        read_flow_runs=lambda **_: [*runs, SimpleNamespace(expected_start_time=None)],
        request=lambda *_, **__: SimpleNamespace(json=lambda: found),
    )


def test_a_queue_is_late_after_two_minutes_and_what_will_start_is_not_due() -> None:
    lines, concerns = list[str](), list[str]()
    waits = [-3600.0, 1.0, 110.0, 130.0, 7200.0]
    told = _server(client(waits, ["ONLINE", "OFFLINE", "ONLINE"]), lines, concerns)
    assert told == {"address": "http://here:4200", "workers": ["w0", "w2"], "due": 4, "late": 2}
    assert lines == ["server http://here:4200: 2 workers, 4 runs due"]
    assert concerns == ["2 runs are late, by up to 2 hours"]


def test_a_server_without_a_worker_needs_a_person() -> None:
    for workers in ([], ["OFFLINE"]):
        concerns: list[str] = []
        _server(client([], workers), [], concerns)
        assert concerns == ["no worker is at work: `roberta serve` starts one"]

    def refused(*_: Any, **__: Any) -> None:
        asked = Request("POST", "http://here")
        raise HTTPStatusError("no", request=asked, response=Response(404, request=asked))

    server = client([], [])
    server.request = refused
    assert _server(server, [], [])["workers"] == []


def test_an_age_is_told_in_its_largest_unit() -> None:
    found = [_age(seconds) for seconds in (59, 60, 3599, 3600, 86_399, 86_400)]
    assert found == ["59 seconds", "1 minutes", "60 minutes", "1 hours", "24 hours", "1 days"]


def test_metrics_tell_every_pipeline_by_name_and_state(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "shown_stores", lambda: [store])
    hand_made_run(store, "a", started=ago(hours=2), seconds=3600)
    hand_made_run(store, "b", started=ago(minutes=9), state="failed")
    hand_made_run(store, "c", started=ago(hours=5), state="failed")
    hand_made_run(store, "d", name="new", started=ago(hours=1), state="running", process=GONE)
    with Lease(store, "4-pack/k").held(lambda _: None):
        lines = metrics_text().splitlines()
    url = store.url("")

    def values(name: str) -> dict[str, float]:
        found = [line.rpartition(" ") for line in lines if line.startswith(f"{name}{{")]
        return {
            head.removeprefix(name).replace(f'store="{url}"', "S"): float(n) for head, _, n in found
        }

    assert values("roberta_runs") == {
        '{S,pipeline="letters",state="done"}': 1,
        '{S,pipeline="letters",state="failed"}': 2,
        '{S,pipeline="new",state="killed"}': 1,
    }
    assert values("roberta_last_run_failed") == {
        '{S,pipeline="letters"}': 1,
        '{S,pipeline="new"}': 1,
    }
    (age,) = values("roberta_last_good_run_age_seconds").values()
    assert age == pytest.approx(3600, abs=60)
    assert values("roberta_leases") == {"{S}": 1}
    assert list(values("roberta_disk_free_bytes")) == ["{S}"]
    assert values("roberta_disk_days_left") == {}
    assert "# TYPE roberta_runs gauge" in lines
    assert not any("days_left" in line for line in lines), "no head without a figure"
    assert metrics_text().endswith("\n")


def test_a_last_run_that_ended_well_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "shown_stores", lambda: [store])
    for name, state in (("a", "done"), ("b", "running")):
        hand_made_run(store, name, name=name, state=state)
    assert metrics_text().count('roberta_last_run_failed{store="') == 2
    assert metrics_text().count("} 0\n") >= 2


def test_a_label_cannot_end_itself() -> None:
    assert _escaped('a"b\\c\nd') == 'a\\"b\\\\c\\nd'


def test_the_list_of_stores_is_whole_sorted_and_written_only_when_it_changes(
    home: Path, tmp_path: Path
) -> None:
    show_stores([f"{tmp_path}/b", f"{tmp_path}/a", f"{tmp_path}/b"])
    file = home / "roberta-stores.json"
    assert json.loads(file.read_text()) == [f"{tmp_path}/a", f"{tmp_path}/b"]
    before = file.stat().st_ino
    show_stores([f"{tmp_path}/b", f"{tmp_path}/a"])
    assert file.stat().st_ino == before
    show_stores([f"{tmp_path}/a"])
    assert [store.url("") for store in shown_stores()] == [f"{tmp_path}/a"]


def test_stores_of_the_environment_come_first_and_each_once(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_stores([f"{tmp_path}/a", f"{tmp_path}/c"])
    monkeypatch.setenv(stores.STORES, f"{tmp_path}/b\n\nnodriver://x\n{tmp_path}/a")
    assert [store.url("") for store in shown_stores()] == [f"{tmp_path}/{n}" for n in "bac"]
    (home / "roberta-stores.json").write_text("{torn")
    assert [store.url("") for store in shown_stores()] == [f"{tmp_path}/{n}" for n in "ba"]


def test_a_page_is_served_only_of_what_a_run_names_by_plain_names(home: Path, store: Store) -> None:
    stages = [
        {"name": name, "key": key}
        for name, key in (("suite", "s1"), ("pack", "../x"), ("pack", None), ("publish", "p1"))
    ]
    hand_made_run(store, "run-1", stages=stages)
    for folder in ("6-suite/s1", "7-publish/p1", "4-pack/None", "x"):
        store.write(f"{folder}/manifest.json", folder.encode())
        store.write(f"{folder}/report.html", b"page \xff")
    show_stores([store.url("")])
    assert find_report("run-1") == "page \ufffd"
    assert find_report("run-1", taught=True) is None
    assert find_manifest("run-1", "7-publish", "p1") == b"7-publish/p1"
    for folder, key in (("6-suite", "s1"), ("4-pack", "../x"), ("7-publish", "p2"), ("x", "p1")):
        assert find_manifest("run-1", folder, key) is None
    for run in ("run.1", "../runs/run-1", "run-1/", "run-1.json", ""):
        assert find_report(run) is None


def test_a_diagnosis_names_who_works_on_what(store: Store) -> None:
    with Lease(store, "4-pack/k").held(lambda _: None):
        told = diagnose(None, store)
    (lease,) = told["leases"]
    host = lease["machine"].split()[0]
    assert f"  pack k: process {lease['pid']} on {host}" in told["lines"]
