"""Each section's own rules: ranges at their ends, what must differ, what goes together."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.config import (
    BlimpConfig,
    CleanConfig,
    Config,
    EngineConfig,
    EvaluateConfig,
    HeldOutConfig,
    LaunchConfig,
    ModelSection,
    PackConfig,
    PretrainConfig,
    TokenizerConfig,
)
from tasks.config.base import Section
from tasks.config.clean import DeduplicationConfig, FilterConfig, NearDuplicateConfig
from tasks.config.corpus import DocstringsSource, HttpSource, HubSource, RemoteFile, SourceBase
from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import (
    ClozeConfig,
    ContaminationConfig,
    MinimalPairsConfig,
    NeighboursConfig,
    check_names,
)
from tasks.config.operations import (
    NotificationConfig,
    OperationsConfig,
    PruneConfig,
    RefreshConfig,
    VerifyConfig,
)
from tasks.config.reading import ReadingOptions
from tasks.config.suite import Suite
from tasks.config.tokenizer import TokenizerCheckConfig
from tasks.engine.identity import canonical
from tasks.errors import UserError
from tasks.finetuning.downstream import check_downstream

FINE: dict[str, Any] = {"task": "classify", "train": "a.csv", "dev": "b.csv"}
CLOZE: dict[str, Any] = {"task": "cloze", "name": "c", "data": "d"}
PAIRS: dict[str, Any] = {"task": "minimal_pairs", "name": "m", "data": "d"}
NEAR: dict[str, Any] = {"task": "neighbours", "name": "n"}
HUB: dict[str, Any] = {"dataset": "d"}
HTTP: dict[str, Any] = {"urls": "https://h/a"}
FILE: dict[str, Any] = {"url": "https://h/a"}
BLIMP: dict[str, Any] = {"data": "d"}

RANGES: list[tuple[type[Section], dict[str, Any], str, list[Any], list[Any]]] = [
    (ReadingOptions, {}, "max_document_bytes", [1], [0]),
    (ReadingOptions, {}, "text_field", ["a"], [""]),
    (SourceBase, {}, "held_out", [0, 1], [-0.01, 1.01]),
    (SourceBase, {}, "name", ["a b._-9", "9"], ["", " a", "-a", "a/b", "\u00e4"]),
    (RemoteFile, FILE, "sha256", ["0a" * 32], ["0A" * 32, "0a" * 31, "0a" * 33, "0g" * 32]),
    (RemoteFile, FILE, "bytes", [0], [-1]),
    (HttpSource, HTTP, "max_file_bytes", [1], [0]),
    (HttpSource, HTTP, "attempts", [1], [0]),
    (HttpSource, HTTP, "backoff_seconds", [0], [-0.1]),
    (HttpSource, HTTP, "timeout_seconds", [0.1], [0]),
    (HubSource, {}, "dataset", ["a"], [""]),
    (HubSource, HUB, "text_field", ["a"], [""]),
    (HubSource, HUB, "max_documents", [1], [0]),
    (HubSource, HUB, "max_bytes", [1], [0]),
    (DocstringsSource, {}, "min_characters", [1], [0]),
    (DocstringsSource, {}, "max_bytes", [1], [0]),
    (FilterConfig, {}, "min_characters", [1, None], [0]),
    (FilterConfig, {}, "max_characters", [1, None], [0]),
    (FilterConfig, {}, "max_symbol_share", [0.01, 1, None], [0, 1.01]),
    (FilterConfig, {}, "max_repeated_line_share", [0.01, 1, None], [0, 1.01]),
    (FilterConfig, {}, "max_repeated_phrase_share", [0.01, 1, None], [0, 1.01]),
    (NearDuplicateConfig, {}, "threshold", [0.01, 0.99], [0, 1]),
    (NearDuplicateConfig, {}, "num_hashes", [16, 1024], [15, 1025]),
    (CleanConfig, {}, "seed", [0], [-1]),
    (TokenizerCheckConfig, {}, "max_tokens_per_word", [1.1, None], [1]),
    (TokenizerCheckConfig, {}, "sample_bytes", [1], [0]),
    (TokenizerConfig, {}, "vocab_size", [262], [261]),
    (TokenizerConfig, {}, "min_frequency", [1], [0]),
    (TokenizerConfig, {}, "max_token_characters", [2], [1]),
    (TokenizerConfig, {}, "sample_bytes", [1], [0]),
    (PackConfig, {}, "row_tokens", [8, 32_768], [7, 32_769]),
    (PackConfig, {}, "shard_rows", [1], [0]),
    (ModelSection, {}, "num_layers", [1], [0]),
    (ModelSection, {}, "width", [8], [7]),
    (ModelSection, {}, "num_heads", [1], [0]),
    (ModelSection, {}, "feedforward_width", [8], [7]),
    (ModelSection, {}, "max_row_tokens", [8], [7]),
    (ModelSection, {}, "initializer_range", [0.001], [0]),
    (PretrainConfig, {}, "steps", [1], [0]),
    (PretrainConfig, {}, "epochs", [0.1], [0]),
    (PretrainConfig, {}, "minutes", [0.1], [0]),
    (PretrainConfig, {}, "keep_checkpoints", [1], [0]),
    (HeldOutConfig, {}, "max_rows", [1], [0]),
    (HeldOutConfig, {}, "draws", [0, 100], [-1, 101]),
    (BlimpConfig, BLIMP, "max_pairs", [1], [0]),
    (ContaminationConfig, {}, "words", [2, 50], [1, 51]),
    (ContaminationConfig, {}, "share", [0.01, 1], [0, 1.01]),
    (MinimalPairsConfig, PAIRS, "name", ["a", "a" * 60, "9.x_-"], ["", "a" * 61, ".a", "a b"]),
    (MinimalPairsConfig, PAIRS, "name", ["blimp"], ["held_out", "examples", "contamination"]),
    (MinimalPairsConfig, PAIRS, "max_pairs", [1], [0]),
    (MinimalPairsConfig, PAIRS, "good_field", ["a"], [""]),
    (MinimalPairsConfig, PAIRS, "bad_field", ["a"], [""]),
    (MinimalPairsConfig, PAIRS, "paradigm_field", ["a"], [""]),
    (ClozeConfig, CLOZE, "sentence_fields", [("a",)], [()]),
    (ClozeConfig, CLOZE, "answer_field", ["a"], [""]),
    (ClozeConfig, CLOZE, "max_answer_tokens", [1, 64], [0, 65]),
    (ClozeConfig, CLOZE, "max_facts", [1], [0]),
    (NeighboursConfig, NEAR, "words", [(), ("a" * 100,)], [("",), ("a" * 101,)]),
    (NeighboursConfig, NEAR, "top", [1, 100], [0, 101]),
    (FineTuningConfig, FINE, "name", ["a" * 60], ["a" * 61, "", "a/b"]),
    (FineTuningConfig, FINE, "separator", ["|"], [""]),
    (FineTuningConfig, FINE, "epochs", [1, 1000], [0, 1001]),
    (FineTuningConfig, FINE, "patience", [1], [0]),
    (FineTuningConfig, FINE, "learning_rates", [(1e-5,)], [(), (0.0,), (1e-5, -1.0), (1.0, 1.0)]),
    (FineTuningConfig, FINE, "batch_sizes", [(16, 32)], [(), (0,), (16, -1), (16, 32, 16)]),
    (FineTuningConfig, FINE, "seeds", [1, 100], [0, 101]),
    (FineTuningConfig, FINE, "seed", [0], [-1]),
    (FineTuningConfig, FINE, "max_tokens", [8], [7]),
    (FineTuningConfig, FINE, "stride", [1], [0]),
    (FineTuningConfig, FINE, "dropout", [0, 0.99], [-0.01, 1]),
    (FineTuningConfig, FINE, "weight_decay", [0], [-0.01]),
    (FineTuningConfig, FINE, "warmup_share", [0, 0.99], [-0.01, 1]),
    (LaunchConfig, {}, "processes", [1], [0]),
    (LaunchConfig, {}, "threads", [1, None], [0]),
    (LaunchConfig, {}, "stall_minutes", [0.1, None], [0]),
    (EngineConfig, {}, "workers", [1, None], [0]),
    (RefreshConfig, {}, "steps", [1], [0]),
    (RefreshConfig, {}, "minutes", [0.1], [0]),
    (RefreshConfig, {}, "margin", [0, 1], [-0.01, 1.01]),
    (PruneConfig, {}, "keep", [0], [-1]),
    (PruneConfig, {}, "partial_days", [0], [-0.1]),
    (VerifyConfig, {}, "cron", ["0 4 * * 0", "*/5 1-3,7 L * MON#1", None], ["0 4 * *", ""]),
    (VerifyConfig, {}, "cron", ["  0 4  * * 0 "], ["0 4 * * 0 0", "a;b 4 * * 0", "0 4 * * 0!"]),
    (NotificationConfig, {}, "block", ["a/b", "slack-webhook/team-1"], ["a", "/b", "a/", "a/B"]),
    (NotificationConfig, {}, "block", ["a/b"], ["a/b/c", "a b/c", "https://h/x"]),
    (NotificationConfig, {"block": "a/b"}, "news", [("failure",)], [(), ("success",)]),
    (OperationsConfig, {}, "timezone", ["Europe/Berlin", "UTC"], ["Berlin", "", "../UTC", "/UTC"]),
    (Suite, {"tasks": [CLOZE]}, "name", ["a" * 100], ["a" * 101, "", "-a"]),
    (Config, {"corpus": [{"type": "docs"}]}, "name", ["a" * 100, "json"], ["a" * 101, "x.json"]),
    (Config, {}, "corpus", [[{"type": "docs"}]], [[]]),
]


@pytest.mark.parametrize(
    ("section", "base", "field", "right", "wrong"),
    RANGES,
    ids=[f"{section.__name__}.{field}" for section, _, field, _, _ in RANGES],
)
def test_a_value_at_the_end_of_its_range_is_allowed_and_the_next_is_not(
    section: type[Section], base: dict[str, Any], field: str, right: list[Any], wrong: list[Any]
) -> None:
    needed = {"name": "s"} if section is Suite else {}
    for value in right:
        section.model_validate({**needed, **base, field: value})
    for value in wrong:
        with pytest.raises(ValidationError):
            section.model_validate({**needed, **base, field: value})


def test_a_section_keeps_its_values_and_takes_no_others() -> None:
    pack = PackConfig()
    with pytest.raises(ValidationError, match="frozen"):
        pack.row_tokens = 9  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        PackConfig.model_validate({"rows": 1})
    for value in (float("inf"), float("nan")):
        with pytest.raises(ValidationError, match="finite"):
            SourceBase(held_out=value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (BlimpConfig(data="a"), BlimpConfig(data="b"), True),
        (BlimpConfig(data="a"), BlimpConfig(data="a", max_pairs=3), False),
        (MinimalPairsConfig(**PAIRS), MinimalPairsConfig(**{**PAIRS, "data": "x"}), True),
        (MinimalPairsConfig(**PAIRS), MinimalPairsConfig(**PAIRS, bad_field="x"), False),
        (FineTuningConfig(**FINE), FineTuningConfig(**{**FINE, "train": "x", "dev": "y"}), True),
        (FineTuningConfig(**FINE), FineTuningConfig(**FINE, test="x", predict=("y",)), True),
        (FineTuningConfig(**FINE), FineTuningConfig(**FINE, seed=1), False),
        (FineTuningConfig(**FINE), FineTuningConfig(**FINE, balance=True), False),
        (TokenizerConfig(), TokenizerConfig(**{"from": "x"}), True),
        (TokenizerConfig(), TokenizerConfig(vocab_size=300), False),
        (PretrainConfig(), PretrainConfig(keep_checkpoints=9, checkpoint_steps=3), True),
        (EngineConfig(), EngineConfig(workers=3, launch=LaunchConfig(processes=2)), True),
        (LaunchConfig(), LaunchConfig(threads=2, device="cpu", stall_minutes=1.0), True),
        (OperationsConfig(), OperationsConfig(timezone="Europe/Berlin"), True),
        (RefreshConfig(), RefreshConfig(steps=3, margin=0.5, cron="0 0 * * *"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_where_and_how_fast_is_no_part_of_a_section(one: Any, other: Any, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


def test_names_of_tasks_differ() -> None:
    tasks = [{**CLOZE, "name": "a"}, {**PAIRS, "name": "a"}]
    told = "two tasks are called a; give each"
    with pytest.raises(ValidationError, match=told):
        EvaluateConfig.model_validate({"tasks": tasks})
    with pytest.raises(ValidationError, match=told):
        Suite.model_validate({"name": "s", "tasks": tasks})
    with pytest.raises(ValidationError, match=told):
        Suite.model_validate(
            {"name": "s", "tasks": tasks[:1], "downstream": [{**FINE, "name": "a"}]}
        )
    blimp = {"tasks": [{**CLOZE, "name": "blimp"}]}
    EvaluateConfig.model_validate(blimp)
    with pytest.raises(ValidationError, match="two tasks are called blimp"):
        EvaluateConfig.model_validate({**blimp, "blimp": {"data": "d"}})


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("mood", "Mood"), "two tasks are called mood and Mood, which are one folder"),
        (("units",), "no task can be called units"),
        (("Manifest.json",), r"no task can be called Manifest\.json"),
        (("report.html",), r"no task can be called report\.html"),
    ],
)
def test_names_of_tasks_are_folders_of_their_own(names: tuple[str, ...], told: str) -> None:
    """A folder `manifest.json` left every command on its store without an answer."""
    with pytest.raises(ValueError, match=told):
        check_names(names)
    with pytest.raises(UserError, match=f"^downstream: {told}"):
        check_downstream([FineTuningConfig(**{**FINE, "name": name}) for name in names])
    assert FineTuningConfig(**{**FINE, "name": names[0]}), "a folder alone may be called so"


def test_a_suite_asks_something() -> None:
    Suite.model_validate({"name": "s", "tasks": [NEAR]})
    Suite.model_validate({"name": "s", "downstream": [FINE]})
    with pytest.raises(ValidationError, match="nothing in `tasks` or in `downstream`"):
        Suite.model_validate({"name": "s"})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"steps": 1, "epochs": 1}, "steps and epochs are given"),
        ({"epochs": 1, "minutes": 1}, "epochs and minutes are given"),
        ({"steps": 1, "minutes": 1}, "steps and minutes are given"),
    ],
)
def test_a_training_has_one_length(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        PretrainConfig.model_validate(values)
    if "epochs" not in values:
        with pytest.raises(ValidationError, match="steps and minutes are given"):
            RefreshConfig.model_validate(values)


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"steps": 7}, 7),
        ({"minutes": 1}, None),
        ({"batch_rows": 10}, 10),
        ({"batch_rows": 10, "epochs": 2.5}, 25),
        ({"batch_rows": 30}, 3),
        ({"batch_rows": 40}, 2),
        ({"batch_rows": 64}, 2),
        ({"batch_rows": 1000}, 1),
    ],
)
def test_a_length_in_passes_becomes_steps_of_a_hundred_rows(
    values: dict[str, Any], steps: int | None
) -> None:
    """Rounded, and one at least."""
    assert PretrainConfig.model_validate(values).num_steps(100) == steps


def test_one_pass_is_the_length_where_none_is_given() -> None:
    assert PretrainConfig().identity()["epochs"] == 1.0
    assert PretrainConfig(epochs=2.0).identity()["epochs"] == 2.0
    assert PretrainConfig(steps=3).identity()["epochs"] is None
    assert PretrainConfig(minutes=3).identity()["epochs"] is None


def test_micro_batches_are_part_of_a_training_with_dropout() -> None:
    assert PretrainConfig(micro_batch_rows=4, dropout=0.1).identity()["micro_batch_rows"] == 4
    assert "micro_batch_rows" not in PretrainConfig(micro_batch_rows=4, dropout=0.0).identity()


def test_the_kind_of_engine_and_its_address_go_together() -> None:
    EngineConfig(kind="dask", address="tcp://h:1")
    with pytest.raises(ValidationError, match="dask needs the scheduler's address"):
        EngineConfig(kind="dask")
    with pytest.raises(ValidationError, match="an address belongs to kind: dask"):
        EngineConfig(address="tcp://h:1")


def test_the_older_name_of_a_kind_means_the_same() -> None:
    older = EngineConfig.model_validate({"type": "dask", "address": "tcp://h:1", "workers": 3})
    assert older == EngineConfig(kind="dask", address="tcp://h:1", workers=3)
    with pytest.raises(ValidationError, match="Extra inputs"):
        EngineConfig.model_validate({"type": "dask", "kind": "local"})


SIZES = {"num_layers": 2, "width": 64, "num_heads": 4, "feedforward_width": 96}


def test_a_size_that_is_given_replaces_the_presets() -> None:
    large = ModelSection(preset="large").shape
    for name, size in SIZES.items():
        shape = ModelSection.model_validate({"preset": "large", name: size}).shape
        assert vars(shape) == {**vars(large), name: size}


@pytest.mark.parametrize("name", [*SIZES, "max_row_tokens"])
def test_a_folder_to_continue_from_brings_its_own_sizes(name: str) -> None:
    ModelSection.model_validate({"from": "x"})
    with pytest.raises(ValidationError, match="brings its own sizes"):
        ModelSection.model_validate({"from": "x", name: 64})


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({}, ("local", "svd", 0.02)),
        ({"start": "plain"}, ("plain", "drawn", 0.02)),
        ({"start": "plain", "embeddings": "svd"}, ("plain", "svd", 0.02)),
        ({"embeddings": "drawn", "initializer_range": 0.05}, ("local", "drawn", 0.05)),
    ],
)
def test_how_weights_begin(values: dict[str, Any], first: tuple[Any, ...]) -> None:
    section = ModelSection.model_validate(values)
    assert section.first_weights == first
    identity = section.identity()
    assert (identity["start"], identity["embeddings"], identity["initializer_range"]) == first
    assert identity["max_row_tokens"] is None
    assert identity["width"] == section.shape.width
    assert ModelSection.model_validate({"from": "x"}).identity() == {}


def test_near_duplicates_may_be_left_in() -> None:
    assert DeduplicationConfig(near=None).near is None
    assert DeduplicationConfig().near == NearDuplicateConfig(threshold=0.8, num_hashes=128)
