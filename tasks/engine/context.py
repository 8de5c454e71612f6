"""What a working stage is given: its inputs, its scratch, and units that are found or computed."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.config import EngineConfig
from tasks.engine.attempt import Attempt
from tasks.engine.catalog import Catalog
from tasks.engine.computing import (
    ComputedUnit,
    Place,
    Work,
    compute_unit,
    hand_over,
)
from tasks.engine.executors import Call
from tasks.engine.files import disk_problem
from tasks.engine.lease import LeaseLostError
from tasks.engine.pools import WorkerDiedError
from tasks.engine.progress import Progress
from tasks.engine.provenance import now, unit_provenance
from tasks.engine.records import Artifact
from tasks.engine.stage import Stage, UnitFunction
from tasks.engine.unit_files import describe_files
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, words_for
from tasks.engine.workforce import Workforce
from tasks.errors import RobertaError, StageError, TransientError

log = logging.getLogger(__name__)


class Context:
    """The `StageContext` of the local engine; see there for what each method promises."""

    def __init__(
        self,
        *,
        stage: Stage[Any],
        config: Any,
        engine: EngineConfig,
        workforce: Workforce,
        attempt: Attempt,
        catalog: Catalog,
        externals: Mapping[str, StoredFile],
        inputs: Mapping[str, Artifact],
        progress: Progress,
    ) -> None:
        self.stage, self.config, self.engine, self.workforce = stage, config, engine, workforce
        self.attempt, self.catalog = attempt, catalog
        self.externals, self.inputs, self.progress = externals, inputs, progress

    def close(self) -> None:
        """Remove what running units left behind."""
        self.attempt.close()

    def input(self, stage: str) -> Artifact:
        """The finished artifact of a stage named in `needs`."""
        assert stage in self.stage.needs, f"{self.stage.name} does not declare {stage!r}"
        return self.inputs[stage]

    def scratch(self) -> Path:
        """A local folder for this run only."""
        return self.attempt.scratch()

    def lasting_scratch(self) -> Path:
        """A local folder that a killed run leaves behind; removed when the stage is done."""
        return self.attempt.lasting_scratch()

    def labels(self, prefix: str) -> list[str]:
        """Labels of the units recorded in this artifact that begin so, sound or not."""
        return self.catalog.labels(prefix)

    def committed(self, function: UnitFunction, unit: Unit) -> UnitResult | None:
        """The unit if it is already done and its files are sound, else None."""
        record = self.catalog.find(self.catalog.key(function, unit), unit.label)
        if record is None:
            return None
        return self.catalog.result(record, record.label, record.output, reused=True)

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
        keys = [self.catalog.key(function, unit) for unit in units]
        labels = [unit.label for unit in units]
        records = self.catalog.find_all(list(zip(keys, labels, strict=True)))
        done = {key: record for key, record in zip(keys, records, strict=True) if record}
        reused = set(done)
        waiting = {key: unit for key, unit in zip(keys, units, strict=True) if key not in done}
        names = {key: unit.label for key, unit in waiting.items()}
        with self.progress.counting(
            self.stage.name,
            len(units),
            "units",
            work=words_for(function),
            done=len(units) - len(waiting),
        ) as counter:
            for computed in self._compute(function, waiting, workers):
                done |= self.catalog.commit_all(function, names, computed, outputs)
                counter.advance(len(computed))
        return [
            self.catalog.result(done[key], unit.label, outputs, key in reused)
            for key, unit in zip(keys, units, strict=True)
        ]

    def _compute(
        self, function: UnitFunction, waiting: Mapping[str, Unit], workers: int | None
    ) -> Iterator[dict[str, ComputedUnit]]:
        """Yield computed units by key as they end; after a failure, those that still finish."""
        keys = {unit.label: key for key, unit in waiting.items()}
        calls = (
            Call(unit.label, compute_unit, (self._work(function, unit),))
            for unit in waiting.values()
        )
        failure: BaseException | None = None
        for group in self.workforce.workers(workers, len(waiting)).run(calls):
            ready: dict[str, Any] = {}
            for ended in group:
                if ended.problem is None:
                    ready[keys[ended.call.label]] = ended.result
                elif failure is None:
                    failure = self._explain(ended.problem, ended.call.label)
            yield ready
        if failure is not None:
            raise failure

    def _work(self, function: UnitFunction, unit: Unit) -> Work:
        place = Place(self.attempt.store.url(""), self.attempt.place)
        return Work(function, unit.label, unit.payload, place, self.catalog.libraries)

    def _explain(self, problem: BaseException, label: str) -> BaseException:
        """A paragraph for a failed unit; our own errors pass as they are."""
        if isinstance(problem, RobertaError):
            return problem
        try:
            self.attempt.check()  # a successor clears this attempt's folder away
        except LeaseLostError as lost:
            return lost
        kind: type[StageError] = StageError
        if isinstance(problem, WorkerDiedError):
            kind = TransientError
            reason = (
                "a worker process was killed, and once more when it was run again alone; most "
                "often memory ran out. Lower engine.workers, or give this machine more memory, "
                "and run the same command again"
            )
        else:
            reason = disk_problem(problem) or f"{type(problem).__name__}: {problem}"
            log.debug("unit %s failed", label, exc_info=problem)
        error = kind(f"unit {label}: {reason.removesuffix('.')}. Finished units are kept.")
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
        key = self.catalog.key(function, unit)
        sources = hand_over(self.attempt.store, work, files, self.attempt.new_folder())
        computed = ComputedUnit(report, files, sources, provenance)
        labels, done = {key: unit.label}, {key: computed}
        record = self.catalog.commit_all(function, labels, done, outputs)[key]
        shutil.rmtree(work.folder, ignore_errors=True)
        return self.catalog.result(record, unit.label, outputs, reused=False)

    def discard(self, result: UnitResult) -> None:
        """Forget a committed unit and its files."""
        self.catalog.discard(result)
