"""Reading a config: a YAML file or a preset's name, `--set` overrides, and clear refusals.

Relative paths in a config file are relative to that file. Those of a preset, which has no place
of its own, and those that `--set` gives are relative to the folder the command is run in.
"""

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from roberta_model.recipe import TaskName
from tasks.config.addresses import redacted
from tasks.config.base import Section
from tasks.config.corpus import SOURCE_TYPES
from tasks.config.evaluate import TASK_TYPES
from tasks.config.places import read_from
from tasks.config.root import Config
from tasks.config.yaml_files import read_mapping, read_yaml
from tasks.errors import UserError

PRESETS = Path(__file__).resolve().parents[2] / "deployments" / "presets"
TAGS: dict[str, type[Section]] = {**SOURCE_TYPES, **TASK_TYPES}
_LENGTHS = {"pretrain.steps", "pretrain.epochs", "pretrain.minutes"}

S = TypeVar("S", bound=Section)


def load_config(source: str, overrides: Sequence[str] = ()) -> Config:
    """The config of a file or preset with `a.b=value` overrides applied.

    A training's length can be given in three ways, of which a config has one: overriding it in
    another takes the file's own out.

    Raises:
        UserError: no such file or preset, broken YAML, or a key or value that is not allowed.
    """
    path = find_config(source)
    values = read_mapping(path, "a config is a mapping such as `corpus: [...]`")
    values.setdefault("name", path.stem)
    recipe = values.get("pretrain")
    if isinstance(recipe, dict) and {_path_of(override) for override in overrides} & _LENGTHS:
        values["pretrain"] = {k: v for k, v in recipe.items() if f"pretrain.{k}" not in _LENGTHS}
    for override in overrides:
        set_value(values, override)
    config = validate(values, str(path))
    is_preset = path.resolve().parent == PRESETS
    folder = Path() if is_preset else path.parent
    return read_from(config, folder, {_path_of(override) for override in overrides})


def _path_of(override: str) -> str:
    return override.partition("=")[0].strip()


def find_config(source: str) -> Path:
    """The file a CONFIG argument stands for."""
    return find_file(source, PRESETS, "config", "preset")


def find_file(source: str, folder: Path, file: str, kind: str) -> Path:
    """A file by its path, or by the name of one that comes with the package.

    Args:
        source: What the user wrote.
        folder: Where those of the package lie.
        file: What such a file is called, for the message.
        kind: What one of the package is called.

    Raises:
        UserError: there is neither.
    """
    path = Path(os.path.expanduser(source))
    if path.is_file():
        return path
    packaged = folder / f"{source}.yaml"
    if packaged.is_file():
        return packaged
    if path.is_dir():
        raise UserError(
            f"{source}: this is a folder, and a {file} is a file: a YAML file, perhaps in there. "
            "Text in a folder is named by a source's `paths`."
        )
    names = sorted(each.stem for each in folder.glob("*.yaml"))
    beside = [str(each) for each in sorted(path.parent.glob("*.y*ml")) if _is_a(file, each)]
    close = difflib.get_close_matches(source, [*beside, *names], n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(
        f"{source}: there is no such {file} file, and no {kind} of that name.{hint} "
        f"{kind.capitalize()}s: {', '.join(names)}."
    )


def set_value(values: dict[str, Any], override: str) -> None:
    """Apply one `a.b.0.c=value`; the value is read as YAML.

    Raises:
        UserError: the override has no `=`, or its path leads through something that is no
            mapping or list.
    """
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or not all(keys):
        raise UserError(f"--set {redacted(override)}: write it as a.b=value.")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as problem:
        raise UserError(f"--set {redacted(override)}: the value is not valid YAML.") from problem
    place: Any = values
    for key in keys[:-1]:
        at = key if isinstance(place, dict) else _index(place, key, override)
        below = place.get(key) if isinstance(place, dict) else place[at]
        # A copy: with YAML's aliases the same thing may stand elsewhere too.
        place[at] = {} if below is None else copy(below)
        place = place[at]
    if isinstance(place, dict):
        place[keys[-1]] = value
    else:
        place[_index(place, keys[-1], override)] = value


def _index(place: Any, key: str, override: str) -> int:
    is_index = re.fullmatch("0|[1-9][0-9]*", key)
    if isinstance(place, list) and is_index and int(key) < len(place):
        return int(key)
    size = f"a list of {len(place)}" if isinstance(place, list) else f"the value {place!r}"
    raise UserError(f"--set {redacted(override)}: {key!r} does not name anything in {size}.")


def _is_a(file: str, path: Path) -> bool:
    """Whether a YAML file has the sections of a config or of a suite: these take no other."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    has = set(re.findall(r"^(corpus|tasks|downstream)\s*:", text, re.MULTILINE))
    return "corpus" in has if file == "config" else bool(has) and "corpus" not in has


def validate(values: dict[str, Any], where: str) -> Config:
    """The typed config; the first few mistakes in one paragraph if there are any."""
    return validated(Config, values, where)


def validated(model: type[S], values: dict[str, Any], where: str) -> S:
    """A typed section; the first few mistakes in one paragraph if there are any."""
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        mistakes = [_describe(error, model) for error in problem.errors()[:5]]
        paragraph = "; ".join(mistakes).rstrip("?.") + ("?" if mistakes[-1].endswith("?") else ".")
        raise UserError(f"{where}: {paragraph}") from None


def _describe(error: Any, root: type[Section]) -> str:
    place = [part for part in error["loc"] if part not in TAGS]
    dotted = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        return f"unknown key `{dotted}`{_hint(error['loc'][:-1], str(place[-1]), root)}"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _describe_tag(error, dotted)
    if error["type"] == "missing":
        return f"`{dotted}` is missing"
    if error["type"] == "too_short":
        least = error["ctx"]["min_length"]
        return f"`{dotted}` needs at least {least} item{'s' * (least > 1)}"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    given = redacted(given) if isinstance(given, str) else given
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    named = f"`{dotted}`: " if dotted else ""  # of the whole no key is the wrong one
    return f"{named}{message[:1].lower()}{message[1:]}{shown}"


def _describe_tag(error: Any, dotted: str) -> str:
    """What to say of an entry that is of no known kind, or does not say of which it is."""
    key = error["ctx"]["discriminator"].strip("'")
    kind, kinds = ("source type", "types") if key == "type" else (key, f"{key}s")
    known = sorted(set(SOURCE_TYPES) - {"docs"} if key == "type" else TASK_TYPES)
    if error["type"] == "union_tag_not_found":
        return f"`{dotted}.{key}` is missing; {kinds} are {', '.join(known)}"
    tag = error["ctx"]["tag"]
    if key == "task" and tag in get_args(TaskName):
        return f"`{dotted}.{key}`: {tag} is taught first: it stands in the list `downstream`"
    close = difflib.get_close_matches(tag, known, n=1)
    hint = f", did you mean `{close[0]}`?" if close else f"; {kinds} are {', '.join(known)}"
    return f"`{dotted}.{key}`: there is no {kind} {tag!r}{hint}"


def _hint(place: Sequence[Any], key: str, root: type[Section]) -> str:
    """What an unknown key may have been meant to be: one deeper down, or one like it."""
    models = _models_at(place, root)
    below = [path for model in models for path in _paths_below(model) if path[-1] == key]
    if below:
        inside = [str(part) for part in place if part not in TAGS]
        return f", did you mean `{'.'.join([*inside, *min(below, key=len)])}`?"
    known = sorted({name for model in models for name in _keys_of(model)})
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f", did you mean `{close[0]}`?" if close else f"; known are {', '.join(known)}"


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _paths_below(model: type[BaseModel]) -> Iterable[list[str]]:
    """The keys in the sections of a section, each as its way from there."""
    for name, info in model.model_fields.items():
        for inner in _models_in(info.annotation):
            ways = [[key] for key in _keys_of(inner)] + list(_paths_below(inner))
            yield from ([info.alias or name, *way] for way in ways)


def _models_at(place: Sequence[Any], root: type[Section]) -> list[type[BaseModel]]:
    """The sections that a place in the tree may be, following its types."""
    models: list[type[BaseModel]] = [root]
    for part in place:
        if isinstance(part, int):
            continue
        if part in TAGS:
            models = [model for model in models if model is TAGS[part]] or models
            continue
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        models = [model for field in fields for model in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
