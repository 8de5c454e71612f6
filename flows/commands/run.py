"""`roberta run`: the pipeline as a Prefect flow run, and the summary at its end."""

import logging
from importlib import import_module

import click

from flows.cli import print_json
from flows.commands.options import check_stages, config_options, open_config, stage_option
from flows.terminal import say
from tasks.config import Config
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.stages import KNOWN_STAGES

log = logging.getLogger(__name__)


@click.command()
@config_options
@stage_option("--until", help="Stop after this stage.")
@stage_option("--force", help="Make this stage again although it is done.")
@click.option("--dry-run", is_flag=True, help="As `roberta plan`: show it, change nothing.")
@stage_option("--from", "from_stage", help="Make this stage and all after it again.")
def run(
    config: str,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
    until: str | None,
    force: str | None,
    from_stage: str | None,
    dry_run: bool,
) -> None:
    """Run the pipeline of CONFIG (a file or a preset), or go on where it stopped.

    Finished stages are reused, so the same command goes on after a failure, Ctrl-C or a crash.
    """
    check_stages(until=until, force=force, **{"from": from_stage})
    for word, stage in (("force", force), ("from", from_stage)):
        if until and stage and KNOWN_STAGES.index(stage) > KNOWN_STAGES.index(until):
            raise UserError(f"{word}: the run ends with {until}, before {stage}.")
    if dry_run:
        if force or from_stage:
            raise UserError(
                "--dry-run shows what a run would do that makes nothing again: take --force and "
                "--from out."
            )
        plan = import_module("flows.commands.inspect").plan
        given = {"config": config, "overrides": overrides, "store": store, "as_json": as_json}
        click.get_current_context().invoke(plan, until=until, **given)
        return
    settings, opened = open_config(config, overrides, store)
    log.info("%s: what is made lies in %s", settings.name, opened.url(""))
    opened.check_writable()
    from flows.summary import resume_hint

    hint = resume_hint(config, overrides, store, until)
    run_here(settings, as_json=as_json, hint=hint, until=until, force=force, from_stage=from_stage)


def run_here(settings: Config, *, as_json: bool, hint: str, **parameters: str | None) -> None:
    """Run the pipeline in this process and print how it ended.

    `hint` says how to go on from where it stopped; `parameters` are those of the flow.
    """
    from flows.embedded_server import prefect_api
    from flows.summary import print_summary
    from tasks.inspection.estimate import check_before_run

    try:
        with prefect_api() as wait_until_ready:
            # The flow does so too; here nothing of Prefect is loaded yet, and nobody waits for it.
            check_before_run(settings, open_store(settings.store), parameters.get("until"))
            from flows.ending import run_to_end
            from flows.pipeline import pipeline

            wait_until_ready()
            ended = run_to_end(pipeline, settings, **parameters)
            missing = ended.told_missing()
    except KeyboardInterrupt as problem:
        raise KeyboardInterrupt(hint) from problem
    record = ended.record
    if as_json and record is not None:
        print_json({name: record[name] for name in ("run", "name", "stages", "model", "report")})
    if missing is not None:
        say(f"roberta: {missing}", err=True)
    if ended.problem is not None:
        raise with_hint(ended.problem, hint) from None
    if not as_json and record is not None:
        print_summary(record, open_store(settings.store))


def with_hint(problem: BaseException, hint: str) -> BaseException:
    """A stage's failure with the command that goes on from there; other errors as they are."""
    if isinstance(problem, StageError):
        return StageError(f"{problem}\n{hint}")
    return problem
