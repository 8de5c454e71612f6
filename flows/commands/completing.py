"""What the shell is offered for an argument: presets and files, stages, runs, names of models.

It is asked at every press of a key, so nothing heavy is imported, and it never fails: where
nothing can be found out, nothing is offered.
"""

from collections.abc import Iterable
from pathlib import Path

from click import Context, Parameter
from click.shell_completion import CompletionItem


def configs(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Presets, and whatever files there are."""
    from tasks.config.load import PRESETS

    presets = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    files = CompletionItem(incomplete, type="file")
    return [*_beginning(presets, incomplete, "a preset"), files]


def folders(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders, such as that of a model."""
    return [CompletionItem(incomplete, type="dir")]


def stages(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """The stages, in the order of the pipeline."""
    from tasks.stages import KNOWN_STAGES

    return _beginning(KNOWN_STAGES, incomplete, "a stage")


def runs(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the store's runs, the newest first, with name and state beside them."""
    return [
        CompletionItem(str(record["run"]), help=f"{record['name']}, {record.get('state')}")
        for record in _records(context)
        if str(record["run"]).startswith(incomplete)
    ]


def models(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of pipelines that have run, and files and folders."""
    names = dict.fromkeys(str(record["name"]) for record in _records(context))
    files = CompletionItem(incomplete, type="file")
    return [*_beginning(names, incomplete, "a pipeline"), files]


def _records(context: Context) -> list[dict[str, object]]:
    """The runs of the store that the command would look into."""
    from tasks.config.root import DEFAULT_STORE
    from tasks.engine.stores import open_store
    from tasks.inspection.runs import read_runs

    place = str(context.params.get("store") or DEFAULT_STORE)
    if "://" in place or not Path(place).is_dir():  # a remote one would keep the shell waiting
        return []
    try:
        return read_runs(open_store(place))
    except Exception:  # a completion that fails would write into the line that is being typed
        return []


def _beginning(names: Iterable[str], incomplete: str, what: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=what) for name in names if name.startswith(incomplete)]
