"""`engine:` where and how wide things run. None of it takes part in a key."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.config.base import Execution, Section


class LaunchConfig(Section):
    """How many training processes are started, and where."""

    processes: Annotated[int, Execution()] = Field(1, ge=1, description="Training processes.")
    threads: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Compute threads a process; default: the cores, shared out."
    )
    device: Annotated[Literal["auto", "cpu"], Execution()] = Field(
        "auto", description="auto: the GPUs there are, else the CPU."
    )
    accelerate_config: Annotated[str | None, Execution()] = Field(
        None,
        description="A config file of `accelerate launch`, for several machines.",
    )


class EngineConfig(Section):
    """Where units run."""

    type: Annotated[Literal["local"], Execution()] = Field(
        "local", description="A pool of processes on this machine."
    )
    workers: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Processes in the pool; default: one for each core."
    )
    launch: Annotated[LaunchConfig, Execution()] = LaunchConfig()
