"""The evaluation tasks there are: one line each, and what a config or a suite asks of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.config import EvaluateConfig, Section
from tasks.config.evaluate import MinimalPairsConfig, TaskBase
from tasks.evaluation.cloze import CLOZE
from tasks.evaluation.examples import EXAMPLES, Examples
from tasks.evaluation.held_out import HELD_OUT
from tasks.evaluation.minimal_pairs import MINIMAL_PAIRS
from tasks.evaluation.neighbours import NEIGHBOURS
from tasks.evaluation.task import Task

_ALL: tuple[Task[Any], ...] = (
    HELD_OUT,
    MINIMAL_PAIRS,
    CLOZE,
    NEIGHBOURS,
    EXAMPLES,
)
TASKS: dict[type[Section], Task[Any]] = {task.settings: task for task in _ALL}


@dataclass(frozen=True)
class Asked:
    """A task with its settings.

    Attributes:
        name: What its scores are called, and its units' labels begin with.
        where: The field of the config that it stands in, for messages.
        settings: Of the type that its task has.
    """

    name: str
    where: str
    settings: Section

    @property
    def task(self) -> Task[Any]:
        """What scores it."""
        return TASKS[type(self.settings)]


def asked_by(config: EvaluateConfig) -> list[Asked]:
    """The tasks of a config's `evaluate`, its shorthands first."""
    found = []
    if config.held_out is not None:
        found.append(Asked("held_out", "evaluate.held_out", config.held_out))
    if (blimp := config.blimp) is not None:
        pairs = MinimalPairsConfig(task="minimal_pairs", name="blimp", **dict(blimp))
        found.append(Asked("blimp", "evaluate.blimp", pairs))
    if config.examples:
        found.append(Asked("examples", "evaluate.examples", Examples(texts=config.examples)))
    return found + asked_of(config.tasks, "evaluate.tasks")


def asked_of(tasks: Sequence[TaskBase], where: str) -> list[Asked]:
    """The tasks of a list of them; each is told by its name, which stays if others come and go."""
    return [Asked(task.name, f"{where}.{task.name}", task) for task in tasks]
