"""A real S3 server, and the network between: throttled, cut, torn, slow, away."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3_server import KINDS, S3Server
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import retrying
from tasks.engine.lease import Lease, LeaseLostError
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import StoredFile
from tasks.errors import StageError, UserError

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def url(s3: S3Server, place: Callable[[str], Callable[[str], str]]) -> str:
    return place("s3")("store")


def run(store: Store, numbers: list[int], workers: int = 1) -> Outcome:
    config = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": workers}})
    first, _ = toy_stages(ToySlice(numbers=numbers))
    return run_stage(first, config, store)


def sometimes(seed: int, share: float, kinds: tuple[str, ...] = KINDS) -> Callable[..., str | None]:
    """A fault for a share of all requests, drawn by chance."""
    chance = random.Random(seed)
    return lambda *_: chance.choice(kinds) if chance.random() < share else None


def test_every_operation_does_on_s3_what_it_does_on_a_disk(url: str, tmp_path: Path) -> None:
    """The same calls, the same answers."""

    def answers(store: Store) -> list[object]:
        local = tmp_path / "local"
        local.write_bytes(b"put")
        store.write("a/b.txt", b"one")
        store.write("a/.x.tmp", b"")
        created = [store.create("a/c", b"1"), store.create("a/c", b"2")]
        store.put(local, "d/e/f")
        store.copy("d/e/f", "d/g")
        moved = [store.move_new("d/g", "a/b.txt"), store.move_new("d/g", "h")]
        store.move("h", "a/b.txt")
        store.remove("nothing")
        found = [store.files(""), store.files("a", temporary=True), store.names("d")]
        store.remove("d")
        return [
            *(created, moved, found, local.exists(), store.names(""), store.names("a")),
            *(store.exists("a"), store.exists("d"), store.size("a"), store.size("a/c")),
            *(store.read("a/b.txt"), store.read("z"), store.digest("a/c"), store.digest("a")),
        ]

    assert answers(open_store(url)) == answers(open_store(str(tmp_path / "disk")))


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_source_that_is_not_there_is_told(
    place: Callable[[str], Callable[[str], str]], kind: str
) -> None:
    """Whoever copies or moves relies on it: another run may have pruned."""
    store = open_store(place(kind)("store"))
    for action in (store.copy, store.move, store.move_new):
        with pytest.raises(FileNotFoundError):
            action("nothing", "somewhere")


def test_large_files_go_in_parts_and_come_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload of several parts, a download of several blocks, one of each failing."""
    local = tmp_path / "large"
    content = random.Random(0).randbytes(21 << 20)
    local.write_bytes(content)
    store = open_store(url)
    put = store.fs.put_file  # type: ignore[attr-defined]
    monkeypatch.setattr(store.fs, "put_file", lambda *a: put(*a, chunksize=8 << 20))  # type: ignore[attr-defined]
    store.put(local, "large")
    digest = store.digest("large")
    assert digest is not None
    file = StoredFile(store.url("large"), digest, len(content))
    assert file.local().read_bytes() == content


def test_a_digest_is_not_read_again_while_the_object_is_the_same(s3: S3Server, url: str) -> None:
    """A cached run must not fetch the whole artifact; another put must be noticed."""
    store = open_store(url)
    store.write("a", b"one")
    first, before = store.digest("a"), s3.requests
    assert store.digest("a") == first
    assert s3.requests == before + 1
    store.write("a", b"two")
    assert store.digest("a") != first


@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_survives_what_passes(
    s3: S3Server, url: str, tmp_path: Path, kind: str
) -> None:
    """Each first try at anything meets the fault; what is done is what was asked for."""
    store = open_store(url)
    store.write("before", b"x" * 1000)
    seen: set[tuple[str, str]] = set()

    def once(method: str, path: str) -> str | None:
        fresh = (method, path) not in seen
        seen.add((method, path))
        return kind if fresh else None

    with s3.faults(once) as met:
        assert store.create("lease", b"mine")
        assert not store.create("lease", b"theirs")
        store.write("a", b"1" * 1000)
        (tmp_path / "file").write_bytes(b"2" * 1000)
        store.put(tmp_path / "file", "b")
        assert store.move_new("b", "c")
        store.copy("c", "d")
        assert store.names("") == ["a", "before", "c", "d", "lease"]
        assert store.read("d") == b"2" * 1000
        assert store.digest("before", anew=True) is not None
        store.remove("d")
        assert store.size("d") is None
    assert len(met) > 8


def test_a_create_whose_answer_is_lost_is_ours(s3: S3Server, url: str) -> None:
    """The repeated request is refused by our own file: its content says that we won."""
    store = open_store(url)
    answers = iter(["lost"])
    with s3.faults(lambda method, _: next(answers, None) if method == "PUT" else None) as met:
        assert store.create("lease", b"mine")
    assert met == ["lost"]
    assert not store.create("lease", b"theirs")
    assert store.read("lease") == b"mine"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stays_away_ends_in_a_paragraph(s3: S3Server, url: str) -> None:
    """What failed, how often it was tried, and what to do; no traceback of a driver."""
    store = open_store(url)
    for kind, reason in (("throttle", "reduce your request rate"), ("cut", "Connection")):
        with s3.faults(lambda *_, kind=kind: kind), pytest.raises(StageError) as told:
            store.write("a", b"1")
        text = str(told.value)
        assert "did not answer, or not properly, in 3 tries" in text
        assert reason in text
        assert f"{url}/a" in text
        assert "run the same command again" in text


def test_wrong_credentials_and_buckets_are_the_users(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits a minute for what will not pass."""
    store = open_store(f"s3://no-such-bucket-{os.getpid()}/x")
    start = time.monotonic()
    with pytest.raises(UserError, match="cannot be written"):
        store.check_writable()

    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    store = open_store(url)
    monkeypatch.setattr(store.fs, "pipe_file", denied)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="may not be accessed.*AWS_ACCESS_KEY_ID"):
        store.write("a", b"1")
    assert time.monotonic() - start < 10


def test_a_server_that_ignores_conditions_is_found_out(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some speak S3 and overwrite all the same: leases are then settled by reading again."""
    store = open_store(url)
    assert store.creates_in_one_step
    ignorant: Any = open_store(url)
    pipe = ignorant.fs.pipe_file
    monkeypatch.setattr(
        ignorant.fs, "pipe_file", lambda path, content, mode="": pipe(path, content)
    )
    assert not ignorant.creates_in_one_step


def test_an_unknown_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that nothing can open is the user's mistake, with what to install."""
    with pytest.raises(UserError, match="cannot be opened"):
        open_store("nosuch://bucket/x")

    def not_installed(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", not_installed)
    with pytest.raises(UserError, match="make setup EXTRAS=s3"):
        open_store("s3://another-bucket/x")


def test_a_stage_under_faults_ends_with_the_bytes_of_a_disk(
    s3: S3Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request in seven fails somehow; units run in processes of their own."""
    monkeypatch.setattr(retrying, "FIRST_PAUSE_SECONDS", 0.05)
    numbers = [5, 3, 8]
    with s3.faults(sometimes(1, 1 / 7)) as met:
        outcome = run(open_store(url), numbers, workers=2)
    wanted = run(open_store(str(tmp_path / "disk")), numbers)
    assert len(met) > 5
    assert (outcome.artifact.key, outcome.artifact.digest) == (
        wanted.artifact.key,
        wanted.artifact.digest,
    )
    assert outcome.artifact.damaged(anew=True) == {}
    left = outcome.artifact.store.files(f"{outcome.artifact.folder}/.work", temporary=True)
    assert left == []


def test_two_writers_of_one_key_end_with_one_artifact(s3: S3Server, url: str) -> None:
    """Both want it at once: one computes, the other is served the same."""
    outcomes: list[Outcome] = []

    def work() -> None:
        outcomes.append(run(open_store(url), [1, 2]))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.state for outcome in outcomes) == ["cached", "done"]
    assert outcomes[0].artifact.manifest == outcomes[1].artifact.manifest
    (folder,) = open_store(url).names("1-first")
    assert open_store(url).names(f"1-first/{folder}/units") != []


def test_an_owner_that_was_replaced_moves_nothing(url: str) -> None:
    """Its files wait under its own attempt; the fence is before the move."""
    store = open_store(url)
    sleeper = Lease(store, "1-first/k", 0.4)
    assert sleeper.try_acquire()
    from tasks.engine.attempt import Attempt
    from tasks.engine.computing import Waiting

    attempt = Attempt(sleeper, "1-first/k")
    waiting = Waiting(f"{attempt.new_folder()}/x.txt", "x.txt", {"sha256": "", "bytes": 3})
    store.write(waiting.source, b"old")
    store.create("1-first/k/.lease/00000002.json", b"{}")
    with pytest.raises(LeaseLostError):
        attempt.put_all([waiting])
    assert store.read("1-first/k/x.txt") is None


def test_what_a_killed_attempt_put_is_swept(url: str) -> None:
    """Nobody pays for objects that no record names."""
    store = open_store(url)
    outcome = run(store, [1])
    folder = outcome.artifact.folder
    store.remove(f"{folder}/manifest.json")
    store.write(f"{folder}/.work/00000001-dead/unit/x.txt", b"x")
    run(store, [1])
    assert store.files(f"{folder}/.work") == []


PIPELINE = """
import json, sys
import yaml
from pathlib import Path
from tasks.config import Config
from tiny_pipeline import TINY, digests, merged, run_all
if __name__ == "__main__":
    config = Config.model_validate(merged(TINY, {"store": sys.argv[1]}))
    print(json.dumps(digests(run_all(config))))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_pipeline_ends_on_s3_with_the_bytes_of_a_disk(
    s3: S3Server, url: str, tmp_path: Path
) -> None:
    """Download to publish, in a process that knows the server by its environment alone."""
    script = tmp_path / "pipeline.py"
    script.write_text(PIPELINE)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = {**os.environ, **s3.settings, "PYTHONPATH": paths}

    def made(store: str) -> dict[str, object]:
        command = [sys.executable, str(script), store]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=400
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout.splitlines()[-1]))

    assert made(url) == made(str(tmp_path / "disk"))
