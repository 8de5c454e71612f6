"""What an evaluation task is: settings, units of work, a score for each, and their sum.

    settings ──files──▶ outside files ──units──▶ Unit, Unit, ... ──score──▶ results ──summarise──▶
    summary ──scores──▶ rows of the common table

A task is a module of this package with one `Task`, and a line in `tasks/evaluation/table.py`.
Its unit functions compute with one thread, so a score does not depend on how many workers there
are or on how many units an earlier run had left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypedDict, TypeVar

from tasks.config import Section
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.evaluation.device import Device
from tasks.evaluation.intervals import Interval
from tasks.evaluation.origins import Origins
from tasks.inference.model_folder import linked_folder
from tasks.tokenizing.specials import leave_out_specials

S = TypeVar("S", bound=Section)

ModelFiles = Mapping[str, StoredFile]
Map = Callable[[Callable[..., UnitReport], Sequence[Unit]], list[UnitResult]]
SpecialTokens = Literal["bos_eos", "none"]


@dataclass(frozen=True)
class Subject:
    """The model that is scored, and what is known of where it comes from.

    Attributes:
        model: The files of its folder, by name.
        special_tokens: How texts are to be read; `bos_eos` leaves that to the folder.
        rows: Packed rows that were kept from its training, if any.
        tables: What masking knows of its vocabulary, if rows are given.
        counts: How often each token stands in its training rows, if rows are given.
        origins: Which source each token of the rows is from, where that is known.
        device: Where it is scored.
    """

    model: ModelFiles
    special_tokens: SpecialTokens = "bos_eos"
    rows: Sequence[StoredFile] = ()
    tables: StoredFile | None = None
    counts: StoredFile | None = None
    origins: Origins | None = None
    device: Device = Device("cpu")

    @property
    def payload(self) -> dict[str, Any]:
        """What of it a unit that reads texts depends on."""
        return {"model": self.model, "special_tokens": self.special_tokens}

    @property
    def payload_on_device(self) -> dict[str, Any]:
        """The same for a unit that has much to compute."""
        return {**self.payload, "device": self.device}


class ScoreRow(TypedDict):
    """One row of the common table.

    task: the task's name; measure: what is measured; value; n: over how many items; interval:
    95 % confidence, None where there is none; chance: what guessing gives, where that is known;
    better: whether a higher or a lower value is better.
    """

    task: str
    measure: str
    value: float
    n: int
    interval: Interval | None
    chance: float | None
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class Task(Generic[S]):
    """One kind of task.

    Attributes:
        kind: What `task:` calls it.
        settings: The type of its settings.
        score: The function of its units.
        units: Settings, name, outside files by label, subject -> its units.
        summarise: Results of the units -> its summary, plain JSON without times; None where
            there was nothing to score.
        scores: Name, summary -> its rows of the common table, the most telling one first.
        files: Settings, where they stand -> the outside files it reads, by label.
        check: Settings, where they stand: refuses what could not be scored.
        texts: Settings, outside files -> for each item what a text that gives the answer away
            would hold; None where the task has no such items.
        rights: Results -> for each item, in the order of the texts, whose share it counts for and
            whether the model was right (None: not asked).
    """

    kind: str
    settings: type[S]
    score: Callable[..., UnitReport]
    units: Callable[[S, str, Mapping[str, StoredFile], Subject], Sequence[Unit]]
    summarise: Callable[[Sequence[UnitResult]], Mapping[str, Any] | None]
    scores: Callable[[str, Any], Sequence[ScoreRow]] = lambda *_: ()
    files: Callable[[S, str], Mapping[str, StoredFile]] = lambda *_: {}
    check: Callable[[S, str], None] = lambda *_: None
    texts: Callable[[S, Mapping[str, StoredFile]], Iterator[str]] | None = None
    rights: Callable[[Sequence[UnitResult]], list[tuple[str, bool | None]]] | None = None


def file_units(
    settings: Section, name: str, files: Mapping[str, StoredFile], subject: Subject
) -> list[Unit]:
    """The units of a task that scores each of its files by itself."""
    shared = {**subject.payload_on_device, "read": settings}
    return [
        Unit(f"{name}/{label}", {**shared, "data": file, "name": label})
        for label, file in sorted(files.items())
    ]


def gather_folder(work: UnitWork, files: ModelFiles, special_tokens: SpecialTokens) -> Path:
    """A model folder of links, whose tokenizer reads texts as the published folder's will."""
    folder = linked_folder(work, files)
    if special_tokens == "none":
        leave_out_specials(folder)
    return folder
