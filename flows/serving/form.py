"""The form of a deployment in the UI, made of the config's types.

The server checks what comes in against the same schema, so a bad value is refused before there is
a run. What decides where things are written and which machines are asked (the name, the store,
the engine, the schedules) is as it was deployed and cannot be changed in a form; so is which
variables of the worker are sent in the headers of a request.
"""

from typing import Any

from prefect import Flow
from prefect.utilities.callables import parameter_schema

from tasks.config import Config
from tasks.config.corpus import HttpSource

FIXED = ("name", "store", "engine", "operations")


def form_of(flow: Flow[..., Any], config: Config) -> dict[str, Any]:
    """The parameters' schema, filled with a deployed config."""
    schema = parameter_schema(flow).model_dump(exclude_unset=True)
    values = as_parameter(config)
    fields = schema["definitions"]["Config"]["properties"]
    for name, value in values.items():
        fields[name]["default"] = value
    for name in FIXED:
        given = {key: fields[name][key] for key in ("description",) if key in fields[name]}
        kind = "string" if isinstance(values[name], str) else "object"
        fields[name] = {
            **given,
            "title": name.capitalize(),
            "type": kind,
            "enum": [values[name]],
            "default": values[name],
            "readOnly": True,
        }
    _pin_variables(schema["definitions"], config)
    for name in ("config", "until", "force", "from_stage", "mend"):
        if name in schema["properties"]:
            schema["properties"][name]["title"] = name.replace("_", " ").capitalize()
    _simplify(schema)
    return schema


def _pin_variables(definitions: dict[str, Any], config: Config) -> None:
    """Which variables of a worker go out in requests is as deployed: there are secrets in them."""
    sources = [source for source in config.corpus if isinstance(source, HttpSource)]
    for field in ("headers_from_env", "query_from_env"):
        known = [getattr(source, field) for source in sources]
        kinds = [{}, *(dict(names) for names in known if names)]
        definitions["HttpSource"]["properties"][field] |= {"enum": kinds, "readOnly": True}


def as_parameter(config: Config) -> dict[str, Any]:
    """A config as it travels to a run: plain JSON, nothing left out."""
    return config.model_dump(mode="json", by_alias=True)


def _simplify(part: Any) -> None:
    """Choices between types as the UI draws them: as `anyOf`, without a discriminator."""
    if isinstance(part, dict):
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
            part.pop("discriminator", None)
        for value in part.values():
            _simplify(value)
    elif isinstance(part, list):
        for value in part:
            _simplify(value)
