"""Our own pages beside the API's: the same password, and no report from elsewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from prefect.settings import (
    PREFECT_HOME,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flows.serving.pages import _manifest, _metrics, _report, _reports, _taught
from flows.serving.stores import reports, show_stores
from tasks.engine.stores import open_store
from tasks.inspection.runs import write_run

MANIFEST = "5-pretrain/ab12/manifest.json"
PAGE = f'<p>the report <a href="../../{MANIFEST}">from</a> <a href="model/">model/</a></p>'
SHOWN = f'<p>the report <a href="one/{MANIFEST}">from</a> <code>model/</code></p>'


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A store with one published run, and one file that is none of it."""
    with temporary_settings({PREFECT_HOME: tmp_path}):
        store = open_store(str(tmp_path / "store"))
        store.write("7-publish/abc/report.html", PAGE.encode())
        store.write(MANIFEST, b'{"key": "ab12"}')
        store.write("4-pack/cd34/manifest.json", b'{"secret": "of another run"}')
        store.write("5-pretrain/ab12/losses.jsonl", b"secret")
        store.write("8-finetune/def/report.html", b"<p>taught</p>")
        (tmp_path / "secret.html").write_text("secret")
        (tmp_path / "manifest.json").write_text("secret")
        for run, key in (("one", "abc"), ("two", "../../secret"), ("three", "..")):
            record = {"run": run, "name": "x", "state": "done", "started": "2026-01-01T00:00:00"}
            trained = "ab12" if run == "one" else key
            stages = [
                {"name": "pretrain", "key": trained, "state": "done"},
                {"name": "publish", "key": key, "state": "done"},
                {"name": "../..", "key": "secret", "state": "done"},
            ]
            if run == "one":
                stages.append({"name": "finetune", "key": "def", "state": "done"})
            write_run(store, {**record, "process": None, "stages": stages})
        show_stores([store.url("")])
        yield tmp_path


def client() -> TestClient:
    app = Starlette()
    app.add_route("/roberta/reports", _reports)
    app.add_route("/reports/{run}", _report)
    app.add_route("/reports/{run}/{folder}/{key}/manifest.json", _manifest)
    app.add_route("/reports/{run}/taught", _taught)
    app.add_route("/metrics", _metrics)
    return TestClient(app)


def test_a_report_is_shut_in_and_only_a_report(home: Path) -> None:
    """It may run its own scripts, ask nobody and read nothing of the server it comes from."""
    found = client().get("/reports/one")
    assert found.text == SHOWN
    assert found.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "default-src 'none'" in found.headers["content-security-policy"]
    taught = client().get("/reports/one/taught")
    assert taught.text == "<p>taught</p>"
    assert taught.headers["content-security-policy"] == found.headers["content-security-policy"]
    for run in ("two", "two/taught", "none", "..%2Fone", "%2e%2e"):
        answer = client().get(f"/reports/{run}")
        assert answer.status_code == 404, run
        assert "secret" not in answer.text


def test_the_list_has_every_run_with_a_report(home: Path) -> None:
    """Newest first, with the way to each; not what published nothing, or was pruned, or a path."""
    store = open_store(str(home / "store"))
    stages = [{"name": "publish", "key": "abc", "state": "cached"}]
    new = {"run": "four", "name": "<new>", "state": "failed", "started": "2026-01-02T03:04:05"}
    write_run(store, {**new, "process": None, "stages": stages})
    write_run(store, {**new, "run": "five", "process": None, "stages": []})
    odd = {**new, "run": "a b", "process": None, "stages": stages}
    write_run(store, odd)
    (home / "store/runs/six.json").write_text("{")
    page = client().get("/roberta/reports")
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert re.findall(r'href="(.*?)"', page.text) == [
        "/roberta/reports/four",
        "/roberta/reports/one",
        "/roberta/reports/one/taught",
    ]
    assert "&lt;new&gt;" in page.text
    assert "2026-01-02 03:04" in page.text


def test_runs_that_published_nothing_leave_the_list_to_those_that_did(home: Path) -> None:
    """However many fail after them; at most so many are listed, the newest."""
    store = open_store(str(home / "store"))
    for number in range(5):
        failed = {"run": f"f{number}", "name": "x", "state": "failed", "stages": []}
        write_run(store, {**failed, "started": f"2026-02-0{number + 1}", "process": None})
    older = {"run": "six", "name": "x", "state": "done", "started": "2025-12-31"}
    stages = [{"name": "publish", "key": "abc", "state": "done"}]
    write_run(store, {**older, "process": None, "stages": stages})
    assert [one["run"] for one in reports(3)] == ["one", "six"]
    assert [one["run"] for one in reports(1)] == ["one"]


def test_a_refresh_that_only_taught_has_a_link_to_what_it_taught(home: Path) -> None:
    """And to no report, of which it has none; one that found all taught before is not listed."""
    store = open_store(str(home / "store"))
    for run, state in (("seven", "done"), ("eight", "cached")):
        record = {"run": run, "name": "x", "state": "done", "started": "2025-12-30"}
        stages = [{"name": "finetune", "key": "def", "state": state}]
        write_run(store, {**record, "process": None, "stages": stages})
    page = client().get("/roberta/reports").text
    links = re.findall(r'href="/roberta/reports/([^"]*)"', page)
    assert links == ["one", "one/taught", "seven/taught"]


def test_without_a_run_the_list_says_where_reports_come_from(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_HOME: tmp_path}):
        assert "There is none yet" in client().get("/roberta/reports").text


def test_the_links_of_a_report_lead_to_its_runs_manifests_and_nowhere_else(home: Path) -> None:
    """As the address bar makes them of the page; no file of another run, and no other file."""
    page = client().get("/reports/one")
    (link,) = re.findall(r'href="([^"]*)"', page.text)
    found = client().get(urljoin("/reports/one", link))
    assert found.json() == {"key": "ab12"}
    assert found.headers["content-type"] == "application/json"
    assert found.headers["content-security-policy"].startswith("sandbox")
    for path in (
        "one/4-pack/cd34",  # made by another run
        "one/5-pretrain/ab13",
        "one/4-pack/ab12",
        "none/5-pretrain/ab12",
        "three/5-pretrain/..",
        "three/5-pretrain/%2e%2e",
        "one/..%2f..%2f/secret",
        "one/%2e%2e/ab12",
    ):
        answer = client().get(f"/reports/{path}/manifest.json")
        assert answer.status_code == 404, path
        assert "secret" not in answer.text
    assert client().get("/reports/one/5-pretrain/ab12/losses.jsonl").status_code == 404


@pytest.mark.parametrize("said", [None, ("operator", "wrong"), ("operator", "right")])
def test_pages_ask_for_the_password(home: Path, said: tuple[str, str] | None) -> None:
    """Where there is one."""
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "operator:right"}):
        wanted = 200 if said == ("operator", "right") else 401
        for page in ("/reports/one", "/reports/one/taught", f"/reports/one/{MANIFEST}", "/metrics"):
            assert client().get(page, auth=said).status_code == wanted


def test_metrics_are_figures_with_labels(home: Path) -> None:
    """One line a figure, of every store that is shown."""
    text = client().get("/metrics").text
    assert json.dumps(str(home / "store")) in text
    assert 'pipeline="x",state="done"} 3' in text
