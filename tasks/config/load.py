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
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tasks.config.addresses import redacted
from tasks.config.corpus import SOURCE_TYPES
from tasks.config.places import read_from
from tasks.config.root import Config
from tasks.errors import UserError

PRESETS = Path(__file__).resolve().parents[2] / "deployments" / "presets"
_LENGTHS = {"pretrain.steps", "pretrain.epochs", "pretrain.minutes"}


def load_config(source: str, overrides: Sequence[str] = ()) -> Config:
    """The config of a file or preset with `a.b=value` overrides applied.

    A training's length can be given in three ways, of which a config has one: overriding it in
    another takes the file's own out.

    Raises:
        UserError: no such file or preset, broken YAML, or a key or value that is not allowed.
    """
    path = find_config(source)
    values = _parse(path)
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
    path = Path(os.path.expanduser(source))
    if path.is_file():
        return path
    preset = PRESETS / f"{source}.yaml"
    if preset.is_file():
        return preset
    if path.is_dir():
        raise UserError(
            f"{source}: this is a folder, and a config is a file: a YAML file, perhaps in there. "
            "Text in a folder is named by a source's `paths`."
        )
    names = sorted(preset.stem for preset in PRESETS.glob("*.yaml"))
    close = difflib.get_close_matches(source, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UserError(
        f"{source}: there is no such config file, and no preset of that name.{hint} "
        f"Presets: {', '.join(names)}."
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = _read_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(problem, "problem", None) or problem
        raise UserError(f"{path}{place}: this is not valid YAML: {what}.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: cannot be read: {problem}.") from problem
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config is a mapping such as `corpus: [...]`, this is not one.")
    return values


def _read_yaml(text: str) -> Any:
    """The value that YAML text stands for.

    Raises:
        yaml.YAMLError: it stands for none.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    # A scalar that is none of its kind, such as a 13th month, is told by whatever it led to.
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise yaml.YAMLError(f"a value is none of its type ({problem})") from None


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
        value = _read_yaml(text)
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


def validate(values: dict[str, Any], where: str) -> Config:
    """The typed config; the first few mistakes in one paragraph if there are any."""
    try:
        return Config.model_validate(values)
    except ValidationError as problem:
        mistakes = [_describe(error) for error in problem.errors()[:5]]
        paragraph = "; ".join(mistakes).rstrip("?.") + ("?" if mistakes[-1].endswith("?") else ".")
        raise UserError(f"{where}: {paragraph}") from None


def _describe(error: Any) -> str:
    place = [part for part in error["loc"] if part not in SOURCE_TYPES]
    dotted = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        return f"unknown key `{dotted}`{_hint(error['loc'][:-1], str(place[-1]))}"
    if error["type"] == "union_tag_invalid":
        types = sorted(set(SOURCE_TYPES) - {"docs"})
        close = difflib.get_close_matches(error["ctx"]["tag"], types, n=1)
        hint = f", did you mean `{close[0]}`?" if close else f"; types are {', '.join(types)}"
        return f"`{dotted}.type`: there is no source type {error['ctx']['tag']!r}{hint}"
    if error["type"] == "missing":
        return f"`{dotted}` is missing"
    if error["type"] == "too_short":
        least = error["ctx"]["min_length"]
        return f"`{dotted}` needs at least {least} item{'s' * (least > 1)}"
    message = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    given = redacted(given) if isinstance(given, str) else given
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"`{dotted}`: {message[:1].lower()}{message[1:]}{shown}"


def _hint(place: Sequence[Any], key: str) -> str:
    """What an unknown key may have been meant to be: one deeper down, or one like it."""
    models = _models_at(place)
    below = [path for model in models for path in _paths_below(model) if path[-1] == key]
    if below:
        inside = [str(part) for part in place if part not in SOURCE_TYPES]
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


def _models_at(place: Sequence[Any]) -> list[type[BaseModel]]:
    """The sections that a place in the tree may be, following its types."""
    models: list[type[BaseModel]] = [Config]
    for part in place:
        if isinstance(part, int):
            continue
        if part in SOURCE_TYPES:
            models = [model for model in models if model is SOURCE_TYPES[part]] or models
            continue
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        models = [model for field in fields for model in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
