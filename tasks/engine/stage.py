"""What a stage is: a name, a version, what it needs, its slice of the config, and its work.

    PACK = Stage(name="pack", number=4, version=3, needs=("clean", "tokenizer"),
                 config=lambda config: config.pack, run=pack)

A stage sees only its slice of the config, so it cannot depend on a field that its key does
not know. Stages never import one another; they meet through artifacts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tasks.engine.ledger import Ledger
from tasks.engine.records import Artifact
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork

if TYPE_CHECKING:
    from tasks.config import Config, EngineConfig
    from tasks.engine.progress import Progress

C = TypeVar("C")

NOTHING = {"seconds": 0.0, "disk_bytes": 0, "memory_bytes": 0}

UnitFunction = Callable[..., UnitReport]


@dataclass
class StageReport:
    """What a stage says when all its units are done.

    `ledger` is the stage's own balance, from what its input kept to what it keeps. `summary`
    holds plain JSON figures for people and for later stages; no times, no hosts. `headline` is
    the one line of it that a run ends with; `figures` are the few values, by their labels, that
    a report puts first.
    """

    ledger: Ledger = field(default_factory=Ledger)
    summary: Mapping[str, Any] = field(default_factory=dict)
    headline: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)


class StageContext(Protocol[C]):
    """What the engine gives a running stage."""

    config: C
    externals: Mapping[str, StoredFile]
    engine: "EngineConfig"
    progress: "Progress"

    def input(self, stage: str) -> Artifact:
        """The finished artifact of a stage named in `needs`."""
        ...

    def map(
        self,
        function: UnitFunction,
        units: Sequence[Unit],
        *,
        outputs: bool = True,
        workers: int | None = None,
    ) -> list[UnitResult]:
        """Run units in the pool, commit each as it ends, and return them in the given order.

        Files of units mapped with `outputs=False` are kept for reuse and repair, but are not
        part of what the stage hands on.
        """
        ...

    def labels(self, prefix: str) -> list[str]:
        """Labels of the units recorded in this artifact that begin so, sound or not."""
        ...

    def committed(self, function: UnitFunction, unit: Unit) -> UnitResult | None:
        """The unit if it is already done and its files are sound, else None."""
        ...

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
        """Commit a unit that was computed elsewhere (by a training process) into `work`.

        `measured` goes to its provenance: `started` (ISO 8601), `seconds`, and what else was
        observed; none of it takes part in a key.
        """
        ...

    def discard(self, result: UnitResult) -> None:
        """Forget a committed unit and its files; a later restart may have to redo it."""
        ...

    def scratch(self) -> Path:
        """A local folder for this run only; removed when the run ends."""
        ...

    def lasting_scratch(self) -> Path:
        """A local folder that a killed run leaves behind; removed when the stage is done."""
        ...


@dataclass(frozen=True)
class Stage(Generic[C]):
    """One stage of the pipeline.

    `version` is raised by hand whenever the stage's output bytes change. `externals` names
    the files a stage reads from outside the store, each by content; labels are part of the
    identity, paths are not. `libraries` are those whose version decides what the stage writes,
    see `library_versions`: it is part of the identity of the stage and of its units.
    `check` refuses what would fail in it, as far as the config alone can tell, before any stage
    runs. `estimate` says what it will cost, from the config and the corpus's documents and bytes.
    `input_digest` says what the key knows of an input: its outputs' bytes, unless the stage
    also tells how they came about. `stands` says whether the artifact of a config, once it is
    made, stays whatever becomes of its inputs: then its key knows nothing of them.
    """

    name: str
    number: int
    version: int
    needs: tuple[str, ...]
    config: "Callable[[Config], C]"
    run: Callable[[StageContext[C]], StageReport]
    estimate: "Callable[[Config, Mapping[str, int]], dict[str, Any]]" = lambda *_: dict(NOTHING)
    externals: Callable[[C], Mapping[str, StoredFile]] = lambda _: {}
    check: "Callable[[Config], None]" = lambda _: None
    libraries: tuple[str, ...] = ()
    input_digest: Callable[[Artifact], str] = lambda artifact: artifact.digest
    stands: Callable[[C], bool] = lambda _: False

    @property
    def folder(self) -> str:
        """The stage's folder in the store, such as `4-pack`."""
        return f"{self.number}-{self.name}"
