"""One fault against one run of an installation, and whether every promise was kept.

a store filled up to the stage before ──▶ deploy ──▶ start ──▶ the stage is at work
──▶ its moment ──▶ the fault ──▶ ended? true? nothing left? ──▶ retry ──▶ the same bytes?
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from faults import STAGES, Fault
from inflict import NotPossibleError, inflict, is_a, unmount
from installation import Installation, Undisturbed, processes_of, published, stored
from served import ENDED

from tasks.stages import stage_folder

TRUE_WITHIN_SECONDS = 120.0
MOST_TRIES = 5
_START_SECONDS = 120.0
_END_SECONDS = 400.0
# The trainer has 25 s for its last checkpoint, and ends itself if that is not enough.
_ORPHAN_SECONDS = 40.0
_POLL_SECONDS = 0.4


@dataclass
class Result:
    """What a fault came to.

    Attributes:
        fault: Which one.
        name: Of the config.
        did: What was done, in words.
        skipped: Why it could not be done on this machine.
        at: What the stage was at that moment.
        states: What the server said of the run, one after the other.
        true_seconds: From the fault until the server's state was true for good.
        left_seconds: From the run's end until nothing of it was left.
        end_seconds: From the fault until the run had ended for the first time.
        start_seconds: Until the moment of the fault, deploying included.
        done_seconds: From the fault until it was `Completed`.
        retries: How often it had to be tried again.
        seconds: What the whole scenario took.
        problems: Promises that were broken; none is what is wanted.
    """

    fault: Fault
    name: str
    did: str = ""
    skipped: str = ""
    at: str = ""
    states: list[str] = field(default_factory=list)
    true_seconds: float = 0.0
    left_seconds: float = 0.0
    start_seconds: float = 0.0
    end_seconds: float | None = None
    done_seconds: float | None = None
    retries: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "fault": self.fault.to_json()}


class Scenario:
    """A fault against a run.

    Args:
        place: The installation.
        fault: What happens.
        until: The last stage that is run, where not all are.
    """

    def __init__(self, place: Installation, fault: Fault, until: str | None = None) -> None:
        self.place, self.fault, self.until = place, fault, until
        self.name = f"fault-{fault.number:03}"
        self.store = place.folder / self.name
        self.result = Result(fault, self.name)
        self.run = ""
        self.start = self.began = 0.0
        self._false_since: float | None = None

    def play(self) -> Result:
        """Do it all; a promise that is broken, or a wait without an end, is a problem noted."""
        self.start = time.monotonic()
        try:
            template = self.place.template(self.fault.variant, self.until)
            with inflict(self) as strike:
                self._fill(template)
                self._start()
                self._disturb(template, strike)
                self._see_it_end()
                self._try_again()
            self._compare(template)
            if left := self.place.left_of_earlier():
                self.result.problems.append(f"left by an earlier `serve`: {left}")
        except NotPossibleError as problem:
            self.result.skipped = str(problem)
        except (AssertionError, OSError, subprocess.SubprocessError, psutil.Error) as problem:
            self.result.problems.append(f"{type(problem).__name__}: {problem}"[-2000:])
        self.result.seconds = round(time.monotonic() - self.start, 1)
        return self.result

    def _fill(self, template: Undisturbed) -> None:
        before = STAGES[: STAGES.index(self.fault.stage)]
        for stage in before:
            folder = stage_folder(stage)
            shutil.copytree(template.store / folder, self.store / folder)

    def _start(self) -> None:
        config = self.place.config(self.name, self.store, self.fault.variant)
        done = self.place.command("deploy", config)
        assert done.code == 0, done.err
        serving = self.place.serving
        self.run = serving.start(f"pretrain/{self.name}", until=self.until)

    def _disturb(self, template: Undisturbed, strike: Callable[[], str]) -> None:
        """Wait for the stage and its moment, then let it happen."""
        working = f"{stage_folder(self.fault.stage)}/*/.lease/*.json"
        if self.fault.kind != "network":  # its failures wait for the request
            self.until_true(lambda: any(self.store.glob(working)), _START_SECONDS, "no stage began")
            time.sleep(self.fault.moment * template.seconds[self.fault.stage])
        self.began = time.monotonic()
        self.result.at = self.progress()
        self.result.start_seconds = round(self.began - self.start, 1)
        self.result.did = strike()

    def progress(self) -> str:
        """How far the stage is, as its files say."""
        folder = stage_folder(self.fault.stage)
        if any(self.store.glob(f"{folder}/*/manifest.json")):
            return "ended"
        return "at work" if any(self.store.glob(f"{folder}/*/.lease/*.json")) else "not begun"

    def _see_it_end(self) -> None:
        """Wait until the run has ended at the server, and then until nothing of it is left.

        What seemed to have ended while its flow lives has not, see `_is_true`.
        """
        self.until_true(self._has_ended, _END_SECONDS, "the run never ended at the server")
        ended, limit = time.monotonic(), time.monotonic() + _END_SECONDS
        while left := processes_of(self.run):
            if not self._has_ended():
                self.until_true(self._has_ended, _END_SECONDS, "the run never ended at the server")
            if _flow_in(left) and time.monotonic() < limit:
                ended = time.monotonic()
            elif time.monotonic() - ended > _ORPHAN_SECONDS:
                commands = [" ".join(process.cmdline())[-80:] for process in left]
                self.result.problems.append(f"left running: {commands}")
                break
            time.sleep(_POLL_SECONDS)
        self.result.end_seconds = self.result.end_seconds or round(ended - self.began, 1)
        self.result.left_seconds = max(self.result.left_seconds, round(time.monotonic() - ended, 1))

    def _try_again(self) -> None:
        while self._state() != "COMPLETED":
            assert self.result.retries < MOST_TRIES, f"not done after {MOST_TRIES} retries"
            self.result.retries += 1
            self._retry()
            self.until_true(lambda: not self._has_ended(), 30, "the retry was not taken")
            self._see_it_end()
        self.result.done_seconds = round(time.monotonic() - self.began, 1)

    def _retry(self) -> None:
        """As the UI's menu does; every second scenario by `roberta retry`, which takes longer."""
        if self.fault.number % 2:
            state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
            told = {"state": state, "force": True}
            self.place.serving.ask(f"flow_runs/{self.run}/set_state", told)
        else:
            done = self.place.command("retry", self.run)
            assert done.code == 0, f"retry: {done.err}"

    def _compare(self, template: Undisturbed) -> None:
        found = stored(self.store, self.name)
        for key in sorted(found.keys() | template.stages.keys()):
            if found.get(key) != template.stages.get(key):
                self.result.problems.append(f"{key} differs from the undisturbed run's")
        if self.until is None:
            (folder,) = template.store.glob(f"{stage_folder(STAGES[-1])}/*")
            wanted = published(folder, template.store.name)
            if not wanted or published(self.store / "models" / self.name, self.name) != wanted:
                self.result.problems.append("the published files differ from the undisturbed run's")

    def _has_ended(self) -> bool:
        return self._look() in ENDED

    def _state(self) -> str:
        return str(self.place.serving.run(self.run)["state_type"])

    def _look(self) -> str:
        """The run's state, taken down, and held against what is so."""
        try:
            state = str(self.place.serving.run(self.run)["state_type"])
        except (OSError, AssertionError, ValueError):
            state = "no answer"
        if not self.result.states or self.result.states[-1] != state:
            self.result.states.append(state)
        if self.began:
            self._judge(state)
        return state

    def _judge(self, state: str) -> None:
        now = time.monotonic()
        if self._is_true(state):
            self._false_since = None
            return
        if self._false_since is None:
            self._false_since = now
        self.result.true_seconds = round(now - self.began, 1)
        wrong = now - self._false_since
        if wrong > TRUE_WITHIN_SECONDS and not any("not true" in p for p in self.result.problems):
            self.result.problems.append(f"{state}: not true for {wrong:.0f} s")

    def _is_true(self, state: str) -> bool:
        """Whether the server's state is what processes and the store say."""
        if state in ("RUNNING", "CANCELLING"):
            return _flow_in(processes_of(self.run))
        if state in ("FAILED", "CRASHED", "CANCELLED"):
            return self._record().get("state") != "done" and not _flow_in(processes_of(self.run))
        return state != "no answer"

    def _record(self) -> dict[str, Any]:
        path = self.store / "runs" / f"{self.run}.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def until_true(self, look: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Wait for something, with an eye on the run's state.

        Raises:
            AssertionError: it did not come true.
        """
        end = time.monotonic() + seconds
        while not look():
            said = "".join(self.place.serving.said[-8:])
            assert time.monotonic() < end, f"{otherwise}: {self.result.states}; serve said: {said}"
            time.sleep(0.02 if not self.began else _POLL_SECONDS)


def _flow_in(processes: Sequence[psutil.Process]) -> bool:
    """Whether the flow's own process is among a run's."""
    return any(is_a(process, "flow") for process in processes)


def clear_away(place: Installation, name: str) -> None:
    """Remove what a scenario has left on the disk."""
    unmount(place.folder / name)
    shutil.rmtree(place.folder / name, ignore_errors=True)
    Path(place.folder / f"{name}.yaml").unlink(missing_ok=True)
