"""A suite: a list of evaluation tasks in a file, to be asked of any model folder.

Relative paths in a suite's file are relative to it. Those of a suite that comes with the package,
which has no place of its own, and those that `--set` gives are relative to the working folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tasks.config.base import Section
from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import AnyTask, check_names
from tasks.config.load import find_file, set_value, validated
from tasks.config.places import read_from
from tasks.config.yaml_files import read_mapping

SUITES = Path(__file__).resolve().parents[2] / "deployments" / "suites"


class Suite(Section):
    """What is asked of a model."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="Name of the suite."
    )
    tasks: list[AnyTask] = Field(default_factory=list, description="The tasks.")
    downstream: tuple[FineTuningConfig, ...] = Field(
        (), description="What a copy of the model is taught, and scored on."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if not self.tasks and not self.downstream:
            raise ValueError("there is nothing in `tasks` or in `downstream`")
        check_names([each.name for each in (*self.tasks, *self.downstream)])
        return self


def load_suite(source: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite of a file or of a packaged name, with `a.b=value` overrides applied.

    Raises:
        UserError: no such file or suite, broken YAML, or a key or value that is not allowed.
    """
    path = find_file(source, SUITES, "suite", "suite")
    values = read_mapping(path, "a suite is a mapping such as `tasks: [...]`")
    values.setdefault("name", path.stem)
    for override in overrides:
        set_value(values, override)
    suite = validated(Suite, values, str(path))
    folder = Path() if path.resolve().parent == SUITES else path.parent
    return read_from(suite, folder, {override.partition("=")[0].strip() for override in overrides})
