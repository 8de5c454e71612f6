"""The recipe in the report is in the words of the config, and says what somebody chose."""

from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import write_config

from tasks.config import Config
from tasks.config.load import load_config
from tasks.engine.identity import canonical
from tasks.publishing import recipe
from tasks.publishing.recipe import defaults_digest, main_fields, recipe_of, recipe_values
from tasks.stages import get_stage

STAGES = ("clean", "tokenizer", "pack", "pretrain")


def shown(config: Config) -> dict[str, dict[str, str]]:
    stages = [get_stage(name) for name in STAGES]
    found = recipe_of({stage.name: canonical(stage.config(config)) for stage in stages})
    return {part: dict(fields) for part, fields in found.items()}


def test_every_field_can_be_set_as_it_is_shown(tmp_path: Path) -> None:
    """`--set field=value` takes each of them and leads to the same recipe."""
    path = str(write_config(tmp_path))
    expected = shown(load_config(path))
    found = {**expected["chosen"], **expected["defaults"]}
    assert {"model.start", "corpus.0.held_out", "clean.filters.min_characters"} <= found.keys()
    overrides = [f"{field}={value}" for field, value in found.items()]
    assert shown(load_config(path, overrides)) == expected


def test_what_was_chosen_stands_apart(tmp_path: Path) -> None:
    """A newcomer looks for the fields that make this run another than a default one."""
    fields = shown(
        load_config(str(write_config(tmp_path, clean={"filters": {"min_characters": 7}})))
    )
    assert fields["chosen"]["clean.filters.min_characters"] == "7"
    assert fields["chosen"]["pretrain.precision"] == "fp32"
    assert fields["defaults"]["clean.filters.max_characters"] == "null"
    assert fields["defaults"]["clean.unicode.repair"] == "true"


def test_a_sources_own_field_is_usual_whichever_number_the_source_has() -> None:
    """That of the twelfth as that of the first; what somebody chose for one stands apart."""
    rest: dict[str, dict[str, Any]] = {stage: {} for stage in STAGES}
    shares = [*[0.01] * 11, 0.2, 0.01]
    found = recipe_of({**rest, "clean": {"held_out": shares, "names": [None, "b"]}})
    assert found["chosen"] == [("corpus.11.held_out", "0.2"), ("corpus.1.name", "b")]
    usual = [f"corpus.{number}.held_out" for number in (*range(11), 12)]
    assert found["defaults"] == [(field, "0.01") for field in usual]


def test_a_changed_default_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field would move from one table to the other, so the report must be made again."""
    before = defaults_digest()
    values, names = recipe._defaults()
    changed: dict[str, Any] = values | {"pack.row_tokens": 77}
    monkeypatch.setattr(recipe, "_defaults", lambda: (changed, names))
    assert defaults_digest() != before


def test_what_was_worked_out_goes_before_what_was_asked_for() -> None:
    """In an order of its own; nought and no are values, what is not set is left out."""
    values = {
        **{"pretrain.steps": "auto", "tokenizer.vocab_size": 300, "model.width": None},
        **{"clean.dedup.exact": False, "pretrain.masking.rate": 0, "pack.format": "x"},
        "pretrain.batch_rows": [],
    }
    assert main_fields(values, {"pretrain.steps": 7, "pretrain.precision": "bf16"}) == [
        ("clean.dedup.exact", "false"),
        ("tokenizer.vocab_size", "300"),
        ("pretrain.steps", "7"),
        ("pretrain.precision", "bf16"),
        ("pretrain.masking.rate", "0"),
    ]


def test_each_sources_own_fields_have_its_number() -> None:
    """What is not set of a source is left out, and what no config can set is no field."""
    configs: dict[str, dict[str, Any]] = {
        "clean": {"held_out": [0.1, None, 0.2], "names": ["a", "b", "c"], "clean": {}},
        "tokenizer": {"vocab_size": 300},
        "pack": {"nothing_of_a_config": "none", "row_tokens": 77},
        "pretrain": {"pretrain": {"steps": 9}},
    }
    assert recipe_values(configs) == {
        **{"corpus.0.held_out": 0.1, "corpus.2.held_out": 0.2},
        **{"corpus.0.name": "a", "corpus.1.name": "b", "corpus.2.name": "c"},
        **{"tokenizer.vocab_size": 300, "pack.row_tokens": 77, "pretrain.steps": 9},
    }
