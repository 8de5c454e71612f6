"""`roberta serve` and `roberta deploy`: a server, a worker, and what they run by themselves."""

import json
import logging
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from flows.cli import print_json
from flows.commands import completing
from flows.commands.options import config_options, open_config
from flows.commands.tables import new_table, show_all
from flows.terminal import say
from tasks.config import Config
from tasks.errors import StageError, UserError

log = logging.getLogger(__name__)

_MEND_SECONDS, _AGAIN_SECONDS = 15.0, 5.0
_AUTH = "PREFECT_SERVER_API_AUTH_STRING"
_OPEN = "; every user of this machine may start runs there, --auth asks for a password"


@click.command()
@click.argument("configs", metavar="[CONFIG]...", nargs=-1, shell_complete=completing.configs)
@click.option(
    "--host", default="127.0.0.1", metavar="ADDRESS", show_default=True, help="Where to listen."
)
@click.option(
    "--port", type=int, default=4200, metavar="N", show_default=True, help="0 takes a free one."
)
@click.option(
    "--auth",
    is_flag=True,
    help=f"Ask for the user and password in {_AUTH} (user:password).",
)
@click.option(
    "--database",
    metavar="URL",
    help="postgresql+asyncpg://...; default: SQLite in PREFECT_HOME. Better in "
    "PREFECT_SERVER_DATABASE_CONNECTION_URL, where no other user sees its password.",
)
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="PATH",
    help="A folder or URL that runs may read and have stores in; default: this folder.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    metavar="N",
    show_default=True,
    help="Runs at once.",
)
@click.option(
    "--no-worker", is_flag=True, help="Workers run elsewhere, as docs/operations.md says."
)
def serve(
    configs: tuple[str, ...],
    host: str,
    port: int,
    auth: bool,
    database: str | None,
    roots: tuple[str, ...],
    jobs: int,
    no_worker: bool,
) -> None:
    """Serve the UI, schedules and a worker, until Ctrl-C; deploy CONFIGs (default: quickstart).

    Starting it again changes nothing: what is deployed and scheduled stays, and runs that were
    cut off can be tried again.
    """
    from flows.embedded_server import check_home, set_defaults
    from flows.serving.address import served
    from flows.serving.children import Place, free_port

    set_defaults()
    place = Place(host, port or free_port(host))
    password = _password(auth, place)
    opened = [open_config(config, (), None)[0] for config in configs]
    if (found := served()) is not None:
        raise UserError(
            f"this user's server is running already, at {found['api'].removesuffix('/api')} "
            f"(process {found['process']['pid']}). `roberta deploy CONFIG` adds to it."
        )
    check_home()
    allowed = [_absolute(root) for root in roots] or [_absolute(str(Path.cwd()))]
    with ExitStack() as stack:
        _serve(stack, place, password, database, allowed, jobs, opened, not no_worker)


def _serve(
    stack: ExitStack,
    place: Any,
    password: str | None,
    database: str | None,
    roots: list[str],
    jobs: int,
    configs: list[Config],
    with_worker: bool,
) -> None:
    """Start all, say what there is, and keep it up until we are told to end."""
    from flows.serving import children
    from flows.serving.address import forget_address, write_address
    from flows.serving.pool import POOL

    say(f"starting the server on {place.origin} …{'' if password else _OPEN}", err=True)
    environment = children.server_environment(place, database, password)
    up: dict[str, Any] = {"server": children.start_server(place, environment)}
    stack.callback(lambda: children.stop(up["server"], children.SERVER_SECONDS))
    _use(place, password)
    write_address(place.api, asks_password=password is not None)
    stack.callback(forget_address)
    from prefect.client.orchestration import get_client

    client = stack.enter_context(get_client(sync_client=True))
    _set_up(client, jobs, configs, roots)
    if with_worker:
        up["worker"] = children.start_worker(POOL, roots)
        stack.callback(lambda: children.stop(up["worker"], children.WORKER_SECONDS))
    _say_what_there_is(client, place, roots)
    ending: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: ending.append(received))
    mended = 0.0
    while not ending:
        if with_worker and up["worker"].process.poll() is not None:
            say(f"the worker ended: {up['worker'].last_words()} Starting another.", err=True)
            time.sleep(_AGAIN_SECONDS)  # one that cannot live is not started without a pause
            up["worker"] = children.start_worker(POOL, roots)
        if up["server"].process.poll() is not None:
            say(f"the server ended: {up['server'].last_words()} Starting another.", err=True)
            up["server"] = _start_again(up["server"], place, environment)
        if time.monotonic() - mended > _MEND_SECONDS:
            _look_after(client)
            mended = time.monotonic()
        time.sleep(0.5)
    say("ending; runs write a checkpoint and can be tried again …", err=True)


def _start_again(ended: Any, place: Any, environment: Any) -> Any:
    """Another server; where that fails the ended one, so that it is tried once more."""
    from flows.serving import children

    try:
        return children.start_server(place, environment)
    except StageError as problem:
        say(f"{problem} Trying again.", err=True)
        time.sleep(_AGAIN_SECONDS)
        return ended


def _set_up(client: Any, jobs: int, configs: list[Config], roots: list[str]) -> None:
    from flows.serving.pool import crash_zombies, set_up_automation, set_up_pool

    set_up_pool(client, jobs)
    set_up_automation(client, crash_zombies())
    if not configs and not client.read_deployments(limit=1):
        configs = [open_config("quickstart", (), None)[0]]
    for config in configs:
        _deploy(client, config, roots)


def _look_after(client: Any) -> None:
    """Make states true, and show the stores there are; what fails is done later.

    A server that is away, a full disk, a run that somebody deletes: none of it may end the runs.
    """
    from flows.serving.mending import mend
    from flows.serving.stores import show_stores, stores_of

    try:
        for run, state in mend(client):
            say(f"run {run.id} ({run.name}): {state.name}, {state.message}", err=True)
        configs = [each.parameters.get("config") or {} for each in client.read_deployments()]
        show_stores(stores_of(configs, Path.cwd()))
    except Exception as problem:
        log.debug("not looked after everything, trying again: %r", problem)


def _say_what_there_is(client: Any, place: Any, roots: list[str]) -> None:
    flows = {flow.id: flow.name for flow in client.read_flows()}
    rows = new_table("deployment", "runs")
    for each in sorted(client.read_deployments(), key=lambda each: (each.name, str(each.created))):
        crons = [s.schedule for s in each.schedules if hasattr(s.schedule, "cron")]
        when = ", ".join(f"{s.cron} ({s.timezone})" for s in crons) or "when it is asked for"
        rows.add_row(f"{flows.get(each.flow_id, '?')}/{each.name}", when)
    show_all(
        f"\nserving {place.origin}   (Ctrl-C ends it; runs may touch {', '.join(roots)})\n",
        rows,
        f"\n  to start a run:  {place.origin}/deployments, a deployment, Run\n"
        "  to add a config: roberta deploy CONFIG [--cron '30 2 * * *']\n"
        "  to see the runs: roberta runs, roberta retry, roberta cancel\n"
        f"  their reports:   {place.origin}/roberta/reports\n",
    )


@click.command()
@config_options
@click.option("--cron", metavar="WHEN", help="When to refresh, such as '30 2 * * *'.")
def deploy(
    config: str, overrides: tuple[str, ...], store: str | None, as_json: bool, cron: str | None
) -> None:
    """Register CONFIG with the running server: what can be started, and what starts by itself."""
    from flows.serving.address import use_served_api
    from flows.serving.pool import set_up_missing_pool

    if cron is not None:
        overrides = (*overrides, f"operations.refresh.cron={json.dumps(cron)}")
    settings, _ = open_config(config, overrides, store)
    api = use_served_api()
    if api is None:
        raise UserError(
            "there is no server to deploy to. Start one with `roberta serve`, or set "
            "PREFECT_API_URL."
        )
    with server_client(api) as client:
        set_up_missing_pool(client)
        made = _deploy(client, settings, None)
    if as_json:
        print_json({"server": api.removesuffix("/api"), "deployments": made})
        return
    rows = new_table("deployment", "runs")
    for each in made:
        rows.add_row(each["deployment"], each["cron"] or "when it is asked for")
    show_all(f"at {api.removesuffix('/api')}", rows)


def _deploy(client: Any, config: Config, roots: list[str] | None) -> list[dict[str, Any]]:
    from flows.serving.deployments import deploy as register
    from flows.serving.deployments import other_store
    from flows.serving.notifications import find_blocks, set_up_notifications
    from tasks.config.places import absolute, check_places

    folder = Path.cwd()
    check_places(absolute(config, folder), roots)
    blocks = find_blocks(client, config)
    if (other := other_store(client, config, folder)) is not None:
        say(
            f"{config.name} was deployed with the store {other}, and is with this one from now on. "
            "If those are two pipelines, give one of them another name.",
            err=True,
        )
    made = register(client, config, folder)
    set_up_notifications(client, config, blocks, made)
    return made


def server_client(api: str) -> Any:
    """A client of a server that answers.

    Raises:
        StageError: it does not, or wants a password.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as asking:
        problem = asking.api_healthcheck()
    if problem is not None:
        raise StageError(
            f"the server at {api} does not answer: {problem}. Start it, or correct PREFECT_API_URL."
        )
    return get_client(sync_client=True)


def _use(place: Any, password: str | None) -> None:
    """Make the server this process's and its children's."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = place.api
    if password is not None:
        os.environ["PREFECT_API_AUTH_STRING"] = password
    refresh_global_settings_context()


def _password(auth: bool, place: Any) -> str | None:
    password = os.environ.get(_AUTH) or None  # Prefect, too, takes an empty one for none
    if auth and (password is None or ":" not in password.strip(":")):
        raise UserError(f"--auth: set {_AUTH} to user:password first; it is written nowhere.")
    if not place.is_loopback and password is None:
        raise UserError(
            f"--host {place.host}: others could start runs. Set {_AUTH} to user:password and add "
            "--auth, or listen on 127.0.0.1."
        )
    return password


def _absolute(root: str) -> str:
    if "\n" in root:
        raise UserError(f"--root {root!r}: a root of a name with a line break cannot be handed on.")
    return root if "://" in root else os.path.abspath(os.path.expanduser(root))
