"""`roberta run`: the pipeline as a Prefect flow run, and the summary at its end."""

import click

from flows.cli import print_json
from flows.commands.options import config_options, open_config


@click.command()
@config_options
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--force", metavar="STAGE", help="Make this stage again although it is done.")
def run(
    config: str,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
    until: str | None,
    force: str | None,
) -> None:
    """Run the pipeline of CONFIG (a file or a preset), or go on where it stopped."""
    from tasks.stages import STAGE_NAMES, get_stage

    for name in (until, force):
        if name is not None and name not in STAGE_NAMES:
            get_stage(name)
    settings, opened = open_config(config, overrides, store)
    from flows.embedded_server import prepare_prefect

    prepare_prefect()
    from flows.pipeline import pipeline
    from flows.summary import print_summary, resume_hint

    try:
        record = pipeline(settings, until=until, force=force)
    except KeyboardInterrupt:
        click.echo(resume_hint(config, overrides, store), err=True)
        raise
    except Exception as problem:
        raise with_hint(problem, resume_hint(config, overrides, store)) from None
    if as_json:
        print_json({name: record[name] for name in ("run", "name", "stages", "model", "report")})
    else:
        print_summary(record, opened)


def with_hint(problem: Exception, hint: str) -> Exception:
    """A stage's failure with the command that goes on from there; other errors as they are."""
    from tasks.errors import StageError

    if isinstance(problem, StageError):
        return StageError(f"{problem}\n{hint}")
    return problem
