"""What surrounds a run: Prefect's server and home, secrets, pipes, and what is not imported."""

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import ROOT, Command, ask, free_port
from tiny_pipeline import write_config

from flows.embedded_server import check_home

SECRET = "s3cret-of-the-team"


class Guarded(BaseHTTPRequestHandler):
    """Gives its one file to who knows the secret."""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server asks for
        allowed = self.headers["Authorization"] == f"Bearer {SECRET}"
        lines = "".join(
            json.dumps({"text": f"Ship {n} sails over the sea."}) + "\n" for n in range(99)
        )
        body = lines.encode() if allowed else b"who are you?"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Tests stay quiet."""


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a file that needs an Authorization header."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ships.jsonl"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_secret_header_is_written_nowhere(guarded: str, roberta: Command, tmp_path: Path) -> None:
    """A token in a manifest, a log or Prefect's database is a token lost."""
    assert roberta.api is not None
    headers = {"Authorization": "SHIPS_TOKEN"}
    source = {"type": "http", "name": "ships", "urls": [guarded], "headers_from_env": headers}
    config = write_config(tmp_path, corpus=[source | {"attempts": 1}])
    arguments = ("-v", "run", config, "--until", "download", "--json")

    home = tmp_path / "home"
    without = Command(tmp_path, home, roberta.api)(*arguments)
    assert without.code == 2, without.err
    assert "SHIPS_TOKEN" in without.err

    knowing = {"SHIPS_TOKEN": f"Bearer {SECRET}"}
    done = Command(tmp_path, home, roberta.api, knowing)(*arguments)
    assert done.code == 0, done.err
    assert SECRET not in done.err + done.out
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    run = ask(roberta.api, f"flow_runs/{done.json['run']}")
    assert SECRET not in json.dumps(run)
    only = {"flow_run_id": {"any_": [done.json["run"]]}}
    logs = ask(roberta.api, "logs/filter", {"logs": only})
    assert any("download" in line["message"] for line in logs)
    assert SECRET not in json.dumps(logs)


def test_a_prefect_server_that_does_not_answer(tmp_path: Path) -> None:
    """The address and what to do about it, not a traceback of the HTTP library."""
    api = f"http://127.0.0.1:{free_port()}/api"
    done = Command(tmp_path, tmp_path / "home", api)("run", write_config(tmp_path))
    assert done.code == 1
    _, told = done.err.splitlines()
    assert told.startswith(f"roberta: the Prefect server at {api} does not answer")
    assert "PREFECT_API_URL" in told


def test_a_prefect_home_that_cannot_be_written(tmp_path: Path) -> None:
    """The folder is named before a server is started in vain."""
    (tmp_path / "file").write_text("not a folder")
    home = tmp_path / "file" / "home"
    done = Command(tmp_path, home)("run", write_config(tmp_path))
    assert done.code == 2
    _, told = done.err.splitlines()
    assert told.startswith(f"roberta: PREFECT_HOME: {home} cannot be written")


def test_a_prefect_home_that_is_made_is_the_users_alone(tmp_path: Path) -> None:
    """Below folders that are made with it too: its database holds secrets and their key."""
    from prefect.settings import PREFECT_HOME, temporary_settings

    with temporary_settings({PREFECT_HOME: tmp_path / "new" / "home"}):
        check_home()
    assert stat.S_IMODE((tmp_path / "new" / "home").stat().st_mode) == 0o700


def last_line_of(program: str) -> str:
    """What a program says last, in a Python of its own."""
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return told.splitlines()[-1]


def test_help_and_version_import_nothing_heavy(roberta: Command) -> None:
    """Whoever asks for help does not wait for torch and Prefect to load."""
    program = (
        "import sys, flows.cli; sys.argv = ['roberta', '--help']\n"
        "try: flows.cli.main()\n"
        "finally: print(sorted({'torch', 'prefect', 'pydantic', 'pyarrow'} & set(sys.modules)))"
    )
    assert last_line_of(program) == "[]"
    version = roberta("--version")
    assert version.code == 0
    assert version.out.startswith("roberta 0.")


def test_a_plan_and_a_run_with_nothing_to_train_import_no_torch() -> None:
    """It takes longer to load than all that such a run does; trainer and scoring load it."""
    program = (
        "import sys, flows.pipeline, flows.upkeep\n"
        "from tasks.stages import STAGE_NAMES, get_stage\n"
        "for name in STAGE_NAMES: get_stage(name)\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert last_line_of(program) == "[]"


def test_a_mistyped_store_is_not_called_sound(tmp_path: Path) -> None:
    """`verify` of nothing would comfort someone whose artifacts lie elsewhere."""
    roberta = Command(tmp_path, tmp_path / "home")
    verified = roberta("verify", "--store", "absent")
    assert verified.code == 2
    assert "there is no store" in verified.err
    status = roberta("status", "--store", "absent")
    assert (status.code, status.err) == (0, "")
    assert "nothing has run here yet" in status.out


def test_a_reader_that_goes_away_is_no_error_to_shout_about(tmp_path: Path) -> None:
    """`roberta schema | head -1` prints a line and no traceback."""
    command = Command(tmp_path, tmp_path / "home")
    process = command.start("schema")
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")


ASKING = """
import json, os, sys, urllib.error, urllib.request
import psutil
from flows.embedded_server import prefect_api

def status(path, headers):
    asked = urllib.request.Request(url + path, data=b"{}", headers=headers)
    asked.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.headers.get("Access-Control-Allow-Origin")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers.get("Access-Control-Allow-Origin")

with prefect_api():  # one that nobody waits for
    (server,) = psutil.Process().children()
    passwords = [server.environ()["PREFECT_SERVER_API_AUTH_STRING"]]
left_running = server.is_running()
with prefect_api() as wait_until_ready:
    wait_until_ready()
    url, password = os.environ["PREFECT_API_URL"], os.environ["PREFECT_API_AUTH_STRING"]
    page = {"Origin": "http://evil.example", "Host": "evil.example"}
    refused = [status(path, page) for path in ("/block_documents/filter", "/flow_runs/filter")]
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        known = client.read_flow_runs()
    (server,) = psutil.Process().children()
    heard = {c.laddr.ip for c in server.net_connections("inet") if c.status == "LISTEN"}
    seen = any(password.partition(":")[2] in part for part in server.cmdline())
left = [name for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING") if name in os.environ]
print(json.dumps({"refused": refused, "known": known, "heard": sorted(heard), "seen": seen,
                  "left": left, "passwords": [*passwords, password], "left_running": left_running}))
"""


def test_a_run_s_own_server_answers_that_run_alone(tmp_path: Path) -> None:
    """It serves the user's Prefect database, and other users and web pages find its port."""
    command = Command(tmp_path, tmp_path / "home")
    asked = [sys.executable, "-c", ASKING]
    done = subprocess.run(
        asked, cwd=ROOT, env=command.environment(), capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["refused"] == [[401, None], [401, None]]
    assert told["known"] == []
    assert told["heard"] == ["127.0.0.1"]
    assert not told["seen"]
    assert told["left"] == []
    assert not told["left_running"]
    assert len(set(told["passwords"])) == 2
    assert all(len(password) > 40 for password in told["passwords"])
