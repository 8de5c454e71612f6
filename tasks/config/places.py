"""Where a config points to on this machine, and whether it may.

A config that is sent to a server is read by a process in another folder, so its paths are made
absolute first. One that a form or another machine sent is not trusted: all it names must lie
within the folders that whoever started the worker has allowed.
"""

import glob
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tasks.config.base import LocalPath, Section
from tasks.config.root import Config
from tasks.errors import UserError

S = TypeVar("S", bound=Section)

ROOTS = "ROBERTA_ROOTS"
"""The environment variable with the allowed folders and URLs, one a line."""

_MAGIC = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")  # as glob.escape writes a character of a name
_ON_DISK = re.compile(r"^(file|local)://")


def absolute(config: Config, folder: Path) -> Config:
    """The config with every relative path made one of that folder."""

    def made_absolute(field: str, path: str) -> str:
        if "://" in path or path.startswith("~"):
            return os.path.expanduser(path)
        # The real path: `..` behind a link leads elsewhere than the text says.
        if not _is_glob(field):
            return os.path.realpath(folder / path)
        fixed, rest = _before_magic(path)
        return os.path.join(glob.escape(os.path.realpath(folder / fixed)), *rest)

    return _with_paths(config, "", made_absolute)


def read_from(config: S, folder: Path, but_for: Collection[str] = ()) -> S:
    """A config or suite whose relative paths are a folder's, as one for the working folder.

    Args:
        config: As it stands in a file of that folder.
        folder: Relative to the working folder, or absolute.
        but_for: Fields whose paths are the working folder's already.
    """
    if os.path.realpath(folder) != os.path.abspath(folder):
        folder = Path(os.path.realpath(folder))  # `..` is that of the folder, not of a link to it

    def base(field: str) -> Path:
        named = any(field == each or field.startswith(f"{each}.") for each in but_for)
        is_default = field == "store" and "store" not in config.model_fields_set
        return Path() if named or is_default else folder

    def moved(field: str, path: str) -> str:
        if field.endswith(".dataset"):
            return _known_folder(path, base(field))
        if base(field) == Path() or "://" in path or path.startswith(("~", "/")):
            return path
        start = glob.escape(str(base(field))) if _is_glob(field) else base(field)
        return os.path.join(start, path)

    return _with_paths(config, "", moved, has_datasets=True)


def _known_folder(dataset: str, folder: Path) -> str:
    """A dataset that is a folder there, spelt so that it is one anywhere; else as it is."""
    is_name = not dataset.startswith(".") and not (folder / dataset).is_dir()
    if is_name or dataset.startswith(("~", "/")):
        return dataset
    found = dataset if folder == Path() else os.path.join(folder, dataset)
    return found if found.startswith((".", "/")) else f"./{found}"


def _is_glob(field: str) -> bool:
    return ".paths." in field


def local_paths(config: Config) -> Iterator[tuple[str, str]]:
    """Every path with the field it stands in."""
    found: list[tuple[str, str]] = []

    def note(field: str, path: str) -> str:
        found.append((field, path))
        return path

    _with_paths(config, "", note)
    yield from found


def allowed_roots() -> list[str] | None:
    """What the environment allows; None where it does not say, which means everything."""
    said = os.environ.get(ROOTS)
    return None if said is None else [line for line in said.split("\n") if line]


def check_places(config: Config, roots: Sequence[str] | None) -> None:
    """Refuse a config that names a place outside the allowed ones.

    Links are followed, so a link out of a root leads out of it; `..` is refused as such.

    Raises:
        UserError: names the field, the path and what is allowed.
    """
    if roots is None:
        return
    for field, path in local_paths(config):
        if not _is_within(path, roots, _is_glob(field)):
            raise _outside(field, path, roots)


def check_found(paths: Iterable[str], field: str) -> None:
    """Refuse what a glob or a folder has led to: a link that it matches may lead anywhere.

    Raises:
        UserError: as `check_places`.
    """
    roots = allowed_roots()
    for path in paths if roots is not None else ():
        if not _is_within(path, roots or (), False):
            raise _outside(field, path, roots or ())


def _outside(field: str, path: str, roots: Sequence[str]) -> UserError:
    return UserError(
        f"{field}: {path} lies outside what this server may touch ({', '.join(roots)}). "
        "Move it there, or have the server started with `roberta serve --root` of its "
        "folder."
    )


def _is_within(path: str, roots: Sequence[str], is_glob: bool) -> bool:
    path, places = _ON_DISK.sub("", path), [_ON_DISK.sub("", root) for root in roots]
    if ".." in path.split("/"):
        return False
    if "://" in path:
        inside = [f"{root.rstrip('/')}/" for root in places if "://" in root]
        return f"{path}/".startswith(tuple(inside))
    fixed = os.path.realpath(os.path.expanduser(_before_magic(path)[0] if is_glob else path))
    return any(
        "://" not in root and Path(fixed).is_relative_to(os.path.realpath(root)) for root in places
    )


def _before_magic(path: str) -> tuple[str, tuple[str, ...]]:
    """The folders of a glob before its first wildcard, and the parts from there on."""
    parts = Path(path).parts
    magic = next(
        (n for n, part in enumerate(parts) if _MAGIC.search(_ESCAPED.sub("", part))), len(parts)
    )
    return _ESCAPED.sub(r"\1", os.path.join("", *parts[:magic])), parts[magic:]


def _with_paths(
    section: S, prefix: str, change: Callable[[str, str], str], *, has_datasets: bool = False
) -> S:
    """A copy of a part of the config in which every local path went through `change`.

    With `has_datasets` so do the names of datasets of which it is not known yet whether they are
    folders.
    """
    changed: dict[str, Any] = {}
    for name, info in type(section).model_fields.items():
        value, field = getattr(section, name), f"{prefix}{info.alias or name}"
        if any(isinstance(mark, LocalPath) for mark in info.metadata):
            if value is not None and (has_datasets or not is_hub_name(name, value)):
                changed[name] = _each(value, field, change)
        elif isinstance(value, Section):
            changed[name] = _with_paths(value, f"{field}.", change, has_datasets=has_datasets)
        elif isinstance(value, list | tuple) and any(isinstance(item, Section) for item in value):
            changed[name] = type(value)(
                _with_paths(item, f"{field}.{number}.", change, has_datasets=has_datasets)
                for number, item in enumerate(value)
            )
    return section.model_copy(update=changed)


def _each(value: Any, field: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return change(field, value)
    return tuple(change(f"{field}.{number}", path) for number, path in enumerate(value))


def is_hub_name(field: str, value: Any) -> bool:
    """Whether a dataset is one of the hub: it does not begin as a path does.

    A config that is read from a file has its folders spelt so, see `read_from`.
    """
    return field == "dataset" and not value.startswith((".", "/", "~"))
