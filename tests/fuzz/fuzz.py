"""`make fuzz`: damaged files for every reader, for minutes; each must work or say what is wrong.

    python tests/fuzz/fuzz.py --seed 7 --minutes 5
    python tests/fuzz/fuzz.py --seed 7 --only model:1234       one case again, with its traceback

Cases run in processes of their own, a batch each, so that one that ends its process or does not
come back is known by its number. Which bytes a case has follows from seed, target and number.
Ends with exit code 1 if there was a finding; the files of each are kept under --out.
"""

import argparse
import os
import queue
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
for _place in (ROOT, ROOT / "tests/support", ROOT / "tests/fuzz"):
    sys.path.insert(0, str(_place))

BATCH = 200
CASE_SECONDS = 10.0
_START_SECONDS = 120.0  # of a process, with its imports, on a busy machine
_MOST_BYTES = 12 << 30  # of addresses: what asks for more was led to by a file of kilobytes
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """A case that a reader did not take as it should."""

    target: str
    number: int
    what: str

    @property
    def case(self) -> str:
        """As `--only` takes it."""
        return f"{self.target}:{self.number}"


def write_case(seed: int, target: str, number: int, folder: Path) -> None:
    """The files of a case."""
    from targets import TARGETS

    random = Random(f"{seed}/{target}/{number}")
    files = TARGETS[target].damage(TARGETS[target].files(), random)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def run_case(seed: int, target: str, number: int) -> str | None:
    """What is wrong with how a case is read; None: nothing."""
    from targets import TARGETS

    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch, "in")
        folder.mkdir()
        write_case(seed, target, number, folder)
        try:
            TARGETS[target].use(folder)
        except TARGETS[target].allowed:
            return None
        except BaseException as problem:
            lines = traceback.format_exception(problem)
            return f"{type(problem).__name__}: {problem}\n{''.join(lines[-4:])}"
    return None


def _work(seed: int, target: str, start: int, count: int) -> None:
    """The other process: one line before each case, one after."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["ROBERTA_CACHE"] = tempfile.mkdtemp(prefix="fuzz-cache-")
    try:
        for number in range(start, start + count):
            print("case", number, flush=True)
            what = run_case(seed, target, number)
            print("done", "" if what is None else ascii(what), flush=True)
    finally:
        shutil.rmtree(os.environ["ROBERTA_CACHE"], ignore_errors=True)


def run_batch(seed: int, target: str, start: int, count: int) -> Iterator[Finding | int]:
    """Findings of a batch, and the number of each case that went well."""
    while count > 0:
        number = start
        for number, what in _run_process(seed, target, start, count):
            yield number if what is None else Finding(target, number, what)
        count -= number + 1 - start
        start = number + 1


def _run_process(
    seed: int, target: str, start: int, count: int
) -> Iterator[tuple[int, str | None]]:
    """(number, what is wrong) of cases, up to the first that ends its process or hangs."""
    arguments = ["--work", target, str(start), str(count), "--seed", str(seed)]
    environment = os.environ | dict.fromkeys(_VARIABLES, "1") | {"TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = _lines_of(process.stdout)
        number, limit, is_first = start, _START_SECONDS, True
        while True:
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                process.kill()
                yield number, f"no end within {limit:.0f} s"
                return
            if line is None:
                if process.wait() != 0:
                    yield number, f"the process ended with {process.returncode}"
                return
            word, _, rest = line.strip().partition(" ")
            if word == "case":
                number = int(rest)
                # The first one imports what its reader needs.
                limit, is_first = (_START_SECONDS if is_first else CASE_SECONDS), False
            elif word == "done":
                yield number, rest or None


def _lines_of(stream: IO[str]) -> "queue.Queue[str | None]":
    found: queue.Queue[str | None] = queue.Queue()

    def follow() -> None:
        for line in stream:
            found.put(line)
        found.put(None)

    threading.Thread(target=follow, daemon=True).start()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for as long as was asked for; the exit code."""
    from targets import TARGETS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", metavar="TARGET[:NUMBER]")
    parser.add_argument("--out", default="build/fuzz")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        target, start, count = options.work
        _work(options.seed, target, int(start), int(count))
        return 0
    target, _, number = (options.only or "").partition(":")
    if number:
        what = run_case(options.seed, target, int(number))
        print(what or "it is read, or refused in our own words")
        return int(what is not None)
    end = time.monotonic() + 60 * options.minutes
    counts, findings = dict.fromkeys([target] if target else TARGETS, 0), list[Finding]()
    while time.monotonic() < end:
        for name in counts:
            for result in run_batch(options.seed, name, counts[name], BATCH):
                if isinstance(result, Finding):
                    findings.append(result)
                    _keep(options.seed, result, Path(options.out))
            counts[name] += BATCH
            if time.monotonic() > end:
                break
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    print(f"{len(findings)} findings in {sum(counts.values()):,} cases: {told}")
    return int(bool(findings))


def _keep(seed: int, finding: Finding, out: Path) -> None:
    print(f"{finding.case} (seed {seed}): {finding.what[:300]}", flush=True)
    place = out / f"{seed}-{finding.target}-{finding.number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_case(seed, finding.target, finding.number, place)


if __name__ == "__main__":
    sys.exit(main())
