"""`docs/configuration.md`, written from the config's own types: `make docs`.

The guide's words stand here once; every field's type, default and meaning come from the code.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tasks.config import Config, Execution
from tasks.config.corpus import SOURCE_TYPES
from tasks.config.evaluate import TASK_TYPES

PLACE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

HEAD = """# Configuration

One YAML file describes a pipeline. Unknown keys are refused, with the nearest right one. Start
from a preset (`deployments/presets/`) or from this:

```yaml
name: my-encoder
corpus:
  - {type: files, paths: [text/**/*.jsonl.gz], text_field: body}
  - {type: files, name: mail, paths: [mail.zip], encoding: auto, separator: file}
model: {preset: small}
pretrain: {batch_rows: 256, epochs: 10}
```

`--set a.b=value` overrides a field for one command (`--set corpus.0.held_out=0.05`), `--store`
the place of artifacts. `roberta schema` prints the JSON schema; for completion in an editor,
save it and begin the file with `# yaml-language-server: $schema=schema.json`.

Fields marked *execution* say where or how fast, never what: changing one re-runs nothing.
Any other field is part of the key of exactly the stages it concerns; `roberta plan CONFIG`
names them before anything runs. Of files it is the content that counts, never name or place.

Secrets never go into the file: `headers_from_env` and `query_from_env` name environment variables,
the hub's library reads `HF_TOKEN` itself, and object stores use their drivers' own variables.

This page is written by `make docs`.
"""


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def type_name(annotation: Any) -> str:
    """A type as the YAML file's author knows it."""
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if get_origin(annotation) is Annotated:
        return type_name(arguments[0])
    if get_origin(annotation) in (list, tuple):
        return f"list of {type_name(arguments[0])}"
    if get_origin(annotation) is dict:
        return "mapping"
    if "Literal" in str(get_origin(annotation)):
        return " \\| ".join(f"`{value}`" for value in arguments)
    if arguments:
        return " \\| ".join(type_name(argument) for argument in arguments)
    names = {str: "text", int: "integer", float: "number", bool: "true/false", type(None): "null"}
    return names.get(annotation, str(annotation))


def default_of(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    default = info.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default is PydanticUndefined:
        return ""
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{list(default) if isinstance(default, tuple) else default}`"


def table(model: type[BaseModel], prefix: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """The fields of a section and, behind them, those of the sections in it."""
    yield "| field | type | default | meaning |\n|---|---|---|---|\n"
    below = []
    for name, info in model.model_fields.items():
        if name in skip:
            continue
        shown = info.alias or name
        nested = models_in(info.annotation)
        text = info.description or (first_line(nested[0]) if nested else "")
        if any(isinstance(mark, Execution) for mark in info.metadata):
            text += " *Execution.*"
        text = text.replace("|", "\\|")
        yield f"| `{shown}` | {type_name(info.annotation)} | {default_of(info)} | {text} |\n"
        below += [(f"{prefix}.{shown}", part) for part in nested]
    for path, part in below:
        kind = next((name for name, found in TASK_TYPES.items() if found is part), None)
        heading = f"`{path}`" + ("" if kind is None else f": `task: {kind}`")
        yield f"\n### {heading}\n\n{first_line(part)}\n\n"
        yield from table(part, path, skip=() if kind is None else ("task",))


def first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "\n## Top level\n\n| field | type | default | meaning |\n|---|---|---|---|\n"]
    sections = []
    for name, info in Config.model_fields.items():
        nested = [] if name == "corpus" else models_in(info.annotation)
        if nested:
            sections.append((name, nested[0]))
            continue
        kind = "list of sources" if name == "corpus" else type_name(info.annotation)
        parts.append(f"| `{name}` | {kind} | {default_of(info)} | {info.description} |\n")
    for model in dict.fromkeys(SOURCE_TYPES.values()):
        kind, *older = [name for name, found in SOURCE_TYPES.items() if found is model]
        also = "".join(f" `type: {name}` is its older spelling." for name in older)
        parts.append(f"\n## `corpus`: `type: {kind}`\n\n{first_line(model)}{also}\n\n")
        parts += table(model, "corpus", skip=("type",))
    for name, section in sections:
        parts.append(f"\n## `{name}`\n\n{first_line(section)}\n\n")
        parts += table(section, name)
    return "".join(parts)


if __name__ == "__main__":
    PLACE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{PLACE.name} written\n")
