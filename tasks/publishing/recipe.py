"""The recipe as a reader could set it: fields by their place in the config, YAML's values.

    clean       {"clean": {...}, "held_out": [...]}   ──▶ clean.filters..., corpus.0.held_out
    tokenizer   {"vocab_size": ...}                   ──▶ tokenizer.vocab_size
    pretrain    {"model": {...}, "pretrain": {...}}   ──▶ model.from, pretrain.steps

What differs from a default stands apart: that is what somebody chose, or what was worked out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.config import Config
from tasks.engine.identity import canonical, digest_of, flatten

# Parts of the clean stage's slice that hold one value for each source.
_OF_SOURCES = {"held_out": "held_out", "names": "name"}
_SOURCE_NUMBER = re.compile(r"^corpus\.\d+\.")
_STAGES = ("clean", "tokenizer", "pack", "pretrain")
_MAIN = (
    "clean.dedup.exact",
    "clean.dedup.near.threshold",
    "tokenizer.vocab_size",
    "pack.row_tokens",
    "model.num_layers",
    "model.width",
    "model.num_heads",
    "model.feedforward_width",
    "pretrain.batch_rows",
    "pretrain.steps",
    "pretrain.precision",
    "pretrain.masking.rate",
    "pretrain.masking.whole_word",
    "pretrain.optimizer.kind",
    "pretrain.optimizer.learning_rate",
)


def recipe_of(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """`{"chosen": [(field, value)], "defaults": [...]}` of the stages' slices of the config."""
    found: dict[str, list[tuple[str, str]]] = {"chosen": [], "defaults": []}
    for field, value, is_usual in _entries(configs):
        found["defaults" if is_usual else "chosen"].append((field, _as_yaml(value)))
    return found


def recipe_values(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every field of the recipe with its value, as `recipe.json` has them."""
    return {field: value for field, value, _ in _entries(configs)}


def main_fields(values: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few fields that say most of a recipe, as text; those that are not set are left out.

    `resolved` has what was worked out when the training began, such as the number of steps.
    """
    known = {**values, **resolved}
    return [
        (field, _as_yaml(known[field])) for field in _MAIN if known.get(field) not in (None, [])
    ]


def _entries(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, bool]]:
    """Field as a user types it, value, and whether that is the default."""
    defaults, names = _defaults()
    for stage in _STAGES:
        for field, value in _fields(stage, configs[stage]):
            if field not in defaults and not field.startswith("corpus."):
                continue  # part of the identity, but nothing that a config sets
            usual = _SOURCE_NUMBER.sub("corpus.0.", field)  # the defaults are of one source
            is_usual = usual in defaults and defaults[usual] == value
            yield names.get(field, field), value, is_usual


def defaults_digest() -> str:
    """The digest of all defaults: a recipe is shown otherwise when one of them has changed."""
    return digest_of(_defaults())


def _fields(stage: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The leaves of a stage's slice, each with its dotted place in the whole config."""
    for part, value in config.items():
        if stage == "clean" and part in _OF_SOURCES:
            named = ((f"corpus.{i}.{_OF_SOURCES[part]}", each) for i, each in enumerate(value))
            yield from ((field, each) for field, each in named if each is not None)
        elif part in Config.model_fields:
            yield from flatten(value, part).items()
        else:
            yield from flatten(value, f"{stage}.{part}").items()


def _defaults() -> tuple[dict[str, Any], dict[str, str]]:
    """Default values by field, and the names that users write where they are others."""
    config = Config.model_validate({"corpus": [{"type": "docstrings"}]})
    corpus = {"corpus": canonical(config.corpus)}  # as keys know it
    plain, told = (
        flatten(config.model_dump(mode="json", by_alias=user) | corpus) for user in (False, True)
    )
    return plain, dict(zip(plain, told, strict=True))


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
