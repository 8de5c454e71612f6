"""One installation to be disturbed: a folder, a `roberta serve` on a fixed port, undisturbed runs.

An undisturbed run is made without Prefect, once for each variant. Its store is the template that
scenarios are filled from, and what it came out as is what they are compared with.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import served
import yaml
from command import Command, free_port, processes_with
from faults import STAGES
from http_source import HttpSource, http_source
from letters import write_texts
from tiny_pipeline import TINY, merged

from tasks.stages import stage_folder

_NAME = "the name"
_FILES, _LETTERS = 4, 30
_RECIPE = {"steps": 30, "checkpoint_steps": 10}
# The longest of what `serve` waits for when it ends, and a little more.
_SERVE_SECONDS = 90.0
_RUN_ID = "PREFECT__FLOW_RUN_ID"
_TELL_TIMES = ("report.html", "model/README.md")
_CHILDREN = {"worker": "flows.serving.worker_process", "server": "flows.server_process"}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to.

    Attributes:
        store: Its store.
        stages: By stage: what must come out, see `stored`.
        seconds: By stage: what it took.
    """

    store: Path
    stages: Mapping[str, Any]
    seconds: Mapping[str, float]


@dataclass
class Installation:
    """A running one; scenarios use it one after the other, or side by side if they hit only runs.

    Attributes:
        folder: What runs may touch.
        command: `roberta` in it.
        port: Of the server, also after a restart.
        source: The web server with the texts.
        serving: The `roberta serve` of now.
        marks: Of all there have been.
    """

    folder: Path
    command: Command
    port: int
    source: HttpSource
    serving: served.Served
    marks: list[str]
    undisturbed: dict[str, Undisturbed] = field(default_factory=dict)

    def config(self, name: str, store: Path, variant: str) -> Path:
        """A config file of its own."""
        corpus: dict[str, Any] = {"name": "letters", "held_out": 0.1}
        if variant == "http":
            corpus |= {"type": "http", "urls": [self.source.url()], "attempts": 3}
            corpus |= {"backoff_seconds": 0.2, "timeout_seconds": 4.0}
        else:
            corpus |= {"type": "files", "paths": [str(self.folder / "texts" / "*.jsonl")]}
        values = merged(
            TINY,
            {
                "name": name,
                "store": str(store),
                "corpus": [corpus],
                "clean": {"dedup": {"near": None}},
                "pretrain": _RECIPE,
                "engine": {"launch": {"processes": 2 if variant == "two" else 1}},
            },
        )
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    def template(self, variant: str, until: str | None = None) -> Undisturbed:
        """The undisturbed run of a variant, made when it is first asked for."""
        if variant not in self.undisturbed:
            store = self.folder / f"undisturbed-{variant}"
            config = self.config(f"undisturbed-{variant}", store, variant)
            script = [sys.executable, str(Path(__file__).with_name("undisturbed.py"))]
            made = subprocess.run(
                [*script, str(config), until or STAGES[-1]],
                env=self.command.environment(),
                cwd=self.folder,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            seconds = json.loads(made.stdout)
            self.undisturbed[variant] = Undisturbed(store, stored(store, store.name), seconds)
        return self.undisturbed[variant]

    def child(self, name: str) -> psutil.Process | None:
        """`serve`'s server or worker."""
        for process in processes_with(self.serving.mark):
            with contextlib.suppress(psutil.Error):
                is_child = process.ppid() == self.serving.process.pid
                if is_child and _CHILDREN[name] in process.cmdline():
                    return process
        return None

    def left_of_earlier(self) -> list[int]:
        """The servers and workers of a `serve` that is no more."""
        found = []
        for process in (p for mark in self.marks[:-1] for p in processes_with(mark)):
            with contextlib.suppress(psutil.Error):
                if any(module in process.cmdline() for module in _CHILDREN.values()):
                    found.append(process.pid)
        return found

    def bring_up(self) -> None:
        """See to it that the API answers, after a scenario that ended badly."""
        try:
            is_up = self.serving.request("/api/health")[0] == 200
        except OSError:
            is_up = False
        if not is_up:
            served.end(self.serving)
            self.restart()

    def serve_with(self, variables: Mapping[str, str]) -> None:
        """Begin anew, with more in the environment of all commands."""
        served.end(self.serving)
        self.command = replace(self.command, variables=variables)
        self.restart()

    def restart(self) -> int:
        """Bring `serve` up again after it ended, as an operator would; how many tries it took."""
        end = time.monotonic() + 180
        for tries in range(1, 20):
            self.serving.process.wait(_SERVE_SECONDS)
            for reader in self.serving.readers:
                reader.join(1)  # those that `serve` has left behind may still hold its output
            with contextlib.suppress(AssertionError):
                self.serving = served.begin(self.command, port=self.port)
                self.marks.append(self.serving.mark)
                return tries
            if time.monotonic() > end:
                break
            time.sleep(1)
        raise AssertionError("`roberta serve` does not come up again")


def stored(store: Path, name: str) -> dict[str, Any]:
    """By stage, what is in a store and must not depend on history: keys, ledgers, every byte.

    The bytes are read, whatever the manifest says of them. What is published tells the pipeline's
    name, which is the only thing that may differ; report and card tell times.
    """
    found: dict[str, Any] = {}
    for stage in STAGES:
        for manifest in sorted(store.glob(f"{stage_folder(stage)}/*/manifest.json")):
            made = json.loads(manifest.read_text())
            paths = [entry["path"] for entry in made["outputs"] if entry["path"] not in _TELL_TIMES]
            key = name if stage == "publish" else made["key"]
            found[f"{stage} {key}".replace(name, _NAME)] = {
                "outputs": {path: _digest(manifest.parent / path, name) for path in paths},
                "ledger": made["ledger"],
                "summary": made["summary"],
            }
    return found


def published(folder: Path, name: str) -> dict[str, str]:
    """The files of the model in a published folder, or where a name leads, with their digests."""
    model = folder / "model"
    return {
        str(path.relative_to(model)): _digest(path, name)
        for path in sorted(model.rglob("*"))
        if path.is_file() and f"model/{path.name}" not in _TELL_TIMES
    }


def _digest(path: Path, name: str) -> str:
    return sha256(path.read_bytes().replace(name.encode(), _NAME.encode())).hexdigest()


def processes_of(run: str) -> list[psutil.Process]:
    """All processes of a run: its flow's, and what that has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_RUN_ID) == run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """A running one in an empty folder; nothing of it is left after."""
    (folder / "texts").mkdir(parents=True)
    for number in range(_FILES):
        write_texts(folder / "texts" / f"{number}.jsonl", number * _LETTERS, _LETTERS)
    body = b"".join(path.read_bytes() for path in sorted((folder / "texts").iterdir()))
    home = folder / "home"
    home.mkdir()
    command = Command(folder, home)
    with http_source(body) as source:
        port = free_port()
        serving = served.begin(command, port=port)
        whole = Installation(folder, command, port, source, serving, [serving.mark])
        try:
            yield whole
        finally:
            served.end(whole.serving)
            for mark in whole.marks:
                for process in processes_with(mark):
                    with contextlib.suppress(psutil.Error):
                        process.kill()
