"""`engine:` where and how wide things run. None of it takes part in a key."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.config.base import Execution, LocalPath, Section


class LaunchConfig(Section):
    """How many training processes are started, and where."""

    processes: Annotated[int, Execution()] = Field(1, ge=1, description="Training processes.")
    threads: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Compute threads a process; default: the cores, shared out."
    )
    device: Annotated[Literal["auto", "cpu", "gpu"], Execution()] = Field(
        "auto",
        description="Where is trained and scored. auto: the GPUs there are, else the CPU; gpu: "
        "refuse to without one.",
    )
    accelerate_config: Annotated[str | None, Execution(), LocalPath()] = Field(
        None,
        description="A config file of `accelerate launch`, for several machines.",
    )
    stall_minutes: Annotated[float | None, Execution()] = Field(
        30.0,
        gt=0,
        description="A training that tells of no step, start or checkpoint for so long is ended; "
        "null: never.",
    )


class EngineConfig(Section):
    """Where units run."""

    kind: Annotated[Literal["local", "dask"], Execution()] = Field(
        "local",
        description="local: a pool of processes on this machine; dask: the workers of a Dask "
        "scheduler (`make setup EXTRAS=dask`).",
    )
    workers: Annotated[int | None, Execution()] = Field(
        None, ge=1, description="Processes in the local pool; default: one for each core."
    )
    address: Annotated[str | None, Execution()] = Field(
        None, description="Of the Dask scheduler, such as `tcp://10.0.0.1:8786`."
    )
    launch: Annotated[LaunchConfig, Execution()] = LaunchConfig()

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, values: Any) -> Any:
        """`kind` was called `type` while there was one."""
        if isinstance(values, dict) and "type" in values and "kind" not in values:
            values = {**values, "kind": values["type"]}
            del values["type"]
        return values

    @model_validator(mode="after")
    def _check_address(self) -> "EngineConfig":
        if self.kind == "dask" and self.address is None:
            raise ValueError("kind: dask needs the scheduler's address, such as tcp://host:8786")
        if self.kind != "dask" and self.address is not None:
            raise ValueError("an address belongs to kind: dask")
        return self
