"""What every part of the config shares: unknown keys are refused, values do not change.

A field marked `Execution` says where or how fast, never what: it is left out of every key,
so changing it reuses what exists.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Execution:
    """Marks a field that has no influence on output bytes (workers, devices, paths).

    workers: Annotated[int, Execution()] = 2
    """


class LocalPath:
    """Marks a field that names files or folders of this machine; see `tasks.config.places`."""


class Section(BaseModel):
    """One mapping of the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """The fields that identify a result: all but those marked `Execution`."""
        return {
            name: getattr(self, name)
            for name, info in type(self).model_fields.items()
            if not any(isinstance(mark, Execution) for mark in info.metadata)
        }
