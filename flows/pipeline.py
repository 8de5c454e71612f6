"""The pipeline: from sources to a published encoder.

    download ──▶ clean ──▶ tokenizer ──▶ pack ──▶ pretrain ──▶ evaluate ──▶ publish

Each stage is one task. Where a stage finds its artifact in the store it reports `Cached`;
so starting the flow again, with the same or a changed config, does only what is missing.
"""

from typing import Any, Literal

from prefect import flow

from flows.running import recorded
from tasks.config import Config
from tasks.errors import UserError
from tasks.stages import FINE_TUNING, KNOWN_STAGES, stage_names

StageName = Literal[KNOWN_STAGES]  # type: ignore[valid-type]


@flow(name="pretrain", flow_run_name="{config.name}", validate_parameters=True, log_prints=False)
def pipeline(
    config: Config,
    until: StageName | None = None,
    force: StageName | None = None,
    from_stage: StageName | None = None,
) -> dict[str, Any]:
    """Run the stages in order, from the sources to the report; what is done already is found.

    A run that is tried again goes on where it was. Returns the run's record.

    Args:
        config: What goes in, how it is trained and what is measured.
        until: Stop after this stage.
        force: Make this stage again although it is done.
        from_stage: Make this stage and all after it again.

    Raises:
        UserError: something that a stage would read is missing, or the stages named do not go
            together; nothing has run.
        UserError, StageError: the first stage that cannot finish ends the run. The record is
            saved first, so `status` shows how far it got.
    """
    names = stage_names(config, until)
    for word, name in (("force", force), ("from", from_stage)):
        if name is not None and name not in names:
            raise UserError(f"{word}: the run ends with {until}, before {name}.")

    def is_forced(name: str) -> bool:
        later = from_stage is not None and names.index(name) >= names.index(from_stage)
        return name == force or later

    with recorded(config, until) as run:
        run.stages([name for name in names if name != FINE_TUNING], is_forced=is_forced)
        if "publish" in run.made:
            run.publish()
        if FINE_TUNING in names:
            run.fine_tune(is_forced=is_forced)
    return run.record
