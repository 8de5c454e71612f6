"""What a source of text is to the download stage: outside files, units, and a size.

Each `type` of the config's `corpus` has one class, found in `tasks/sources/table.py`. A class
says what it reads from outside before anything runs, so that the stage's key can hold it, and
hands its units to whoever runs them; it never asks which machine that is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from tasks.config.corpus import SourceBase
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult
from tasks.sources.sizes import Size

C = TypeVar("C", bound=SourceBase)


class RunUnits(Protocol):
    """Runs units and gives their results in the same order, as `StageContext.map` does."""

    def __call__(
        self,
        function: Callable[..., UnitReport],
        units: Sequence[Unit],
        *,
        outputs: bool = True,
    ) -> list[UnitResult]:
        """Files of units run with `outputs=False` are kept, but not handed on to other stages."""
        ...


@dataclass(frozen=True)
class SourceResult:
    """What reading a source gave: its units, and the files that their records come from.

    Of each file: `label` of its unit, `name`, `sha256`, `bytes`, and the `first_record` of it.
    """

    units: list[UnitResult]
    files: list[dict[str, Any]] = field(default_factory=list)


class TextSource(ABC, Generic[C]):
    """A source as its section of the config describes it; `index` is its place in the corpus."""

    def __init__(self, config: C, index: int) -> None:
        self.config, self.index = config, index

    def check(self) -> None:  # noqa: B027 (most have nothing that costs little to look for)
        """Look for what is missing, without reading any of it.

        Raises:
            UserError: nothing is where the config says.
        """

    def try_out(self) -> None:  # noqa: B027 (most have nothing that costs little to try)
        """Read the beginning of some of it, as far as that costs next to nothing.

        Raises:
            UserError: it cannot be read as configured.
        """

    @abstractmethod
    def externals(self) -> dict[str, StoredFile]:
        """What it reads that nobody keeps for us, by content; labels begin with `prefix`.

        Raises:
            UserError: something is missing, or cannot be read as configured.
        """

    @abstractmethod
    def read(self, run_units: RunUnits) -> SourceResult:
        """Write its text as documents files, `documents_label` by `documents_label`."""

    @abstractmethod
    def estimate(self) -> Size:
        """About how much text it holds, without fetching anything."""

    @property
    def prefix(self) -> str:
        """What labels begin with, so that those of no two sources are the same."""
        return f"{self.index:02}"

    def documents_label(self, number: int) -> str:
        """Where the documents file of that number goes."""
        return f"documents/{self.prefix}-{number:05}"
