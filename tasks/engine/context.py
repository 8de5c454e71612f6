"""What a running stage works with: its inputs, and units that are found or computed.

A unit is looked for in this artifact first (an earlier run that was cut short), then in the
other artifacts of the stage (an earlier config or a smaller corpus). Its bytes are checked
before it is reused; a damaged one is computed again.
"""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks.config import EngineConfig
from tasks.engine.executors import (
    ComputedUnit,
    compute_unit,
    default_workers,
    describe_files,
    make_executor,
)
from tasks.engine.identity import key_of
from tasks.engine.progress import Progress
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.records import UNITS, Artifact, UnitRecord, read_unit, seal
from tasks.engine.stage import Stage, UnitFunction
from tasks.engine.store import Store, cache_folder, disk_problem
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import RobertaError, StageError

log = logging.getLogger(__name__)

WORK = ".work"
LASTING = ".lasting"


class Context:
    """The `StageContext` of the local engine; see there for what each method promises."""

    def __init__(
        self,
        *,
        stage: Stage[Any],
        config: Any,
        engine: EngineConfig,
        store: Store,
        folder: str,
        externals: Mapping[str, StoredFile],
        inputs: Mapping[str, Artifact],
        expected: Mapping[str, UnitRecord],
        alone: bool,
        progress: Progress,
    ) -> None:
        self.stage, self.config, self.engine = stage, config, engine
        self.store, self.folder = store, folder
        self.externals, self.inputs = externals, inputs
        self.expected, self.progress = expected, progress
        self._used: dict[str, UnitRecord] = {}
        self._work = self._work_folder()
        self._elsewhere = {} if alone else self._index_siblings()

    def _work_folder(self) -> Path:
        if not self.store.is_local:
            return Path(tempfile.mkdtemp(prefix=f"roberta-{self.stage.name}-"))
        folder = Path(self.store.url(f"{self.folder}/{WORK}"))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _index_siblings(self) -> dict[str, tuple[str, str]]:
        """For each unit key in the stage's other artifacts: (artifact folder, record name)."""
        found = {}
        for sibling in self.store.names(self.stage.folder):
            folder = f"{self.stage.folder}/{sibling}"
            if folder != self.folder:
                for name in self.store.names(f"{folder}/{UNITS}"):
                    found[name.split("--")[0]] = (folder, name)
        return found

    def close(self) -> None:
        """Remove what running units left behind; committed units stay."""
        shutil.rmtree(self._work, ignore_errors=True)

    def input(self, stage: str) -> Artifact:
        """The finished artifact of a stage named in `needs`."""
        assert stage in self.stage.needs, f"{self.stage.name} does not declare {stage!r}"
        return self.inputs[stage]

    def scratch(self) -> Path:
        """A local folder for this run only."""
        folder = self._work / f"scratch-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        return folder

    def lasting_scratch(self) -> Path:
        """A local folder that a killed run leaves behind; removed when the stage is done."""
        if self.store.is_local:
            folder = Path(self.store.url(f"{self.folder}/{LASTING}"))
        else:
            folder = cache_folder() / "scratch" / self.folder
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def key(self, function: UnitFunction, unit: Unit) -> str:
        """The unit's key: what it computes from what."""
        return key_of(
            {
                "stage": self.stage.name,
                "version": self.stage.version,
                "function": getattr(function, "__name__", ""),
                "payload": unit.payload,
            }
        )

    def labels(self, prefix: str) -> list[str]:
        """Labels of the units recorded in this artifact that begin so, sound or not."""
        names = self.store.names(f"{self.folder}/{UNITS}")
        labels = [name.split("--", 1)[-1].removesuffix(".json").replace("+", "/") for name in names]
        return sorted(label for label in labels if label.startswith(prefix))

    def committed(self, function: UnitFunction, unit: Unit) -> UnitResult | None:
        """The unit if it is already done and its files are sound, else None."""
        record = self._find(self.key(function, unit), unit.label)
        if record is None:
            return None
        self._use(record)
        return record.result(self.store, self.folder, reused=True)

    @property
    def used(self) -> list[UnitRecord]:
        """The units this artifact is made of, in the order they were last asked for."""
        return list(self._used.values())

    def _use(self, record: UnitRecord) -> None:
        self._used.pop(record.path, None)
        self._used[record.path] = record

    def _find(self, key: str, label: str) -> UnitRecord | None:
        name = UnitRecord.name_of(key, label)
        recorded = read_unit(self.store, self.folder, name)
        own = recorded or self.expected.get(f"{UNITS}/{name}")
        if own is not None:
            damaged = own.damaged(self.store, self.folder)
            if not damaged:
                if recorded is None:
                    self.store.write(f"{self.folder}/{own.path}", seal(own.to_json()))
                return own
            log.warning("%s: made again: %s", self.stage.name, ", ".join(damaged))
        if key in self._elsewhere:
            return self._adopt(*self._elsewhere[key], label)
        return None

    def _adopt(self, folder: str, name: str, label: str) -> UnitRecord | None:
        """Take over a sound unit of another artifact under this artifact's label."""
        record = read_unit(self.store, folder, name)
        if record is None or record.damaged(self.store, folder):
            return None
        return self._relabel(record, folder, label)

    def _relabel(self, record: UnitRecord, folder: str, label: str) -> UnitRecord:
        for suffix in record.files:
            source = f"{folder}/{record.label}{suffix}"
            self.store.copy(source, f"{self.folder}/{label}{suffix}")
        ours = replace(record, label=label)
        self.store.write(f"{self.folder}/{ours.path}", seal(ours.to_json()))
        return ours

    def map(
        self,
        function: UnitFunction,
        units: Sequence[Unit],
        *,
        outputs: bool = True,
        workers: int | None = None,
    ) -> list[UnitResult]:
        """Run units in the pool and return them in order; see `StageContext.map`."""
        assert len({unit.label for unit in units}) == len(units), "labels must differ"
        keys = [self.key(function, unit) for unit in units]
        with ThreadPoolExecutor(max_workers=8) as threads:
            labels = [unit.label for unit in units]
            records = list(threads.map(self._find, keys, labels))
        done = {key: record for key, record in zip(keys, records, strict=True) if record}
        reused = set(done)
        waiting = {key: unit for key, unit in zip(keys, units, strict=True) if key not in done}
        title = f"{self.stage.name} {getattr(function, '__name__', '')}"
        with self.progress.bar(title, len(units), "units", len(units) - len(waiting)) as bar:
            for key, computed in self._compute(function, waiting, workers):
                done[key] = self._commit(key, function, waiting[key].label, computed, outputs)
                bar.advance()
        return [
            self._result(done[key], unit.label, outputs, key in reused)
            for key, unit in zip(keys, units, strict=True)
        ]

    def _result(self, record: UnitRecord, label: str, output: bool, reused: bool) -> UnitResult:
        if record.label != label:
            record = self._relabel(record, self.folder, label)
        if record.output != output:
            record = replace(record, output=output)
            self.store.write(f"{self.folder}/{record.path}", seal(record.to_json()))
        self._use(record)
        return record.result(self.store, self.folder, reused)

    def _compute(
        self, function: UnitFunction, waiting: Mapping[str, Unit], workers: int | None
    ) -> "Any":
        """Yield (key, computed unit) as they end; after a failure, those that still finish."""
        if not waiting:
            return
        limit = workers or self.engine.workers or default_workers()
        executor = make_executor(min(limit, len(waiting)))
        futures: dict[Future[ComputedUnit], str] = {}
        failure: BaseException | None = None
        try:
            for key, unit in waiting.items():
                folder = self._work / f"{key}-{uuid.uuid4().hex[:8]}"
                arguments = (function, unit.label, unit.payload, folder)
                futures[executor.submit(compute_unit, *arguments)] = key
            for future in as_completed(futures):
                problem = None if future.cancelled() else future.exception()
                if problem is not None and failure is None:
                    failure = self._explain(problem, waiting[futures[future]].label)
                    executor.shutdown(wait=False, cancel_futures=True)
                elif problem is None and not future.cancelled():
                    yield futures[future], future.result()
        except BaseException:
            _kill(executor)
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        if failure is not None:
            raise failure

    def _explain(self, problem: BaseException, label: str) -> BaseException:
        """A paragraph for a failed unit; our own errors pass as they are."""
        if isinstance(problem, RobertaError):
            return problem
        if isinstance(problem, BrokenProcessPool):
            reason = (
                "a worker process was killed, most often because memory ran out. Lower "
                "engine.workers and run the same command again"
            )
        else:
            reason = disk_problem(problem) or f"{type(problem).__name__}: {problem}"
            log.debug("unit %s failed", label, exc_info=problem)
        error = StageError(f"unit {label}: {reason}. Finished units are kept.")
        error.__cause__ = problem
        return error

    def commit(
        self,
        function: UnitFunction,
        unit: Unit,
        work: UnitWork,
        report: UnitReport,
        *,
        outputs: bool = True,
        measured: Mapping[str, Any] | None = None,
    ) -> UnitResult:
        """Commit a unit that was computed elsewhere; see `StageContext.commit`."""
        files = describe_files(work, report.rows)
        facts = dict(measured or {})
        started = facts.pop("started", now())
        provenance = unit_provenance(started, facts.pop("seconds", 0.0)) | facts
        computed = ComputedUnit(work.folder, report, files, provenance)
        record = self._commit(self.key(function, unit), function, unit.label, computed, outputs)
        return self._result(record, unit.label, outputs, reused=False)

    def _commit(
        self, key: str, function: UnitFunction, label: str, computed: ComputedUnit, output: bool
    ) -> UnitRecord:
        """Move a computed unit's files into place, then record it: now it counts."""
        report = computed.report
        report.ledger.check(f"{self.stage.name}, unit {label}")
        for suffix in computed.files:
            name = f"{label}{suffix}"
            self.store.put(computed.folder / name, f"{self.folder}/{name}")
        record = UnitRecord(
            key=key,
            label=label,
            function=getattr(function, "__name__", ""),
            output=output,
            files=computed.files,
            ledger=report.ledger.to_json(),
            summary=dict(report.summary),
            provenance=computed.provenance,
        )
        before = self.expected.get(record.path)
        if before is not None and before.same_work(record):
            record = before
        self.store.write(f"{self.folder}/{record.path}", seal(record.to_json()))
        shutil.rmtree(computed.folder, ignore_errors=True)
        return record

    def discard(self, result: UnitResult) -> None:
        """Forget a committed unit and its files."""
        name = UnitRecord.name_of(result.key, result.label)
        record = read_unit(self.store, self.folder, name)
        self.store.remove(f"{self.folder}/{UNITS}/{name}")
        self._used.pop(f"{UNITS}/{name}", None)
        for suffix in record.files if record else {}:
            self.store.remove(f"{self.folder}/{result.label}{suffix}")


def _kill(executor: Any) -> None:
    """End a pool's processes at once: what they were computing is not committed anyway."""
    for process in list((getattr(executor, "_processes", None) or {}).values()):
        process.kill()
