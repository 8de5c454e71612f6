"""Which choices are tried and which is kept; what a training is told, and what is said of it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_finetuning import write_jsonl

from roberta_model.inference.reading import Columns, Reading
from tasks.config.downstream import FineTuningConfig
from tasks.engine.outside import outside_file
from tasks.errors import UserError
from tasks.finetuning import job as jobs
from tasks.finetuning.choices import adapted_to, choices_of
from tasks.finetuning.downstream import (
    _job,
    check_downstream,
    data_files,
    downstream_files,
    score_rows,
    told_part,
    told_score,
)
from tasks.finetuning.job import _best_of
from tasks.finetuning.labels import Labels
from tasks.finetuning.plan import Choice, DataFile, Found, Job, Tried
from tasks.finetuning.trying import spec_of


def settings_of(**more: Any) -> FineTuningConfig:
    values = {"task": "classify", "train": "train.jsonl", "dev": "dev.jsonl", **more}
    return FineTuningConfig.model_validate(values)


def told(choices: list[Choice]) -> list[tuple[float, int]]:
    return [(choice.learning_rate, choice.batch_size) for choice in choices]


def test_a_wide_encoder_is_tried_as_in_the_paper_and_a_narrow_one_faster() -> None:
    """768 is as wide as the paper's; every rate with every size, with the first seed."""
    wide = choices_of(settings_of(seed=5), 768)
    assert told(wide) == [(rate, size) for rate in (1e-5, 2e-5, 3e-5) for size in (16, 32)]
    assert {choice.seed for choice in wide} == {5}
    assert told(choices_of(settings_of(), 767)) == [(1e-4, 32), (2e-4, 32), (4e-4, 32)]
    both = settings_of(learning_rates=[1e-3, 1e-2], batch_sizes=[8, 4])
    assert told(choices_of(both, 32)) == [(1e-3, 8), (1e-3, 4), (1e-2, 8), (1e-2, 4)]
    assert told(choices_of(settings_of(batch_sizes=[8]), 768))[0] == (1e-5, 8)


class Trials:
    """Trainings that are only noted: each choice's value, and whose weights are let go."""

    def __init__(self, values: list[float | None]) -> None:
        self.values = values
        self.tried: list[tuple[Choice, float | None]] = []
        self.discarded, self.places = list[int](), list[str]()

    def discard(self, weights: Any) -> None:
        self.discarded.append(weights)

    def __call__(
        self, context: Any, job: Any, found: Any, choice: Choice, before: float | None, place: str
    ) -> tuple[Tried, int | None]:
        number, self.places = len(self.tried), [*self.places, place]
        self.tried.append((choice, before))
        value = self.values[number]
        epochs = [{"accuracy": abs(value or 0.0)}]
        return Tried(choice, abs(value or 0.0), epochs, 0), None if value is None else number


def best_of(
    values: list[float | None],
    monkeypatch: pytest.MonkeyPatch,
    metric: str = "accuracy",
    **more: Any,
) -> tuple[Any, Trials]:
    trials = Trials(values)
    monkeypatch.setattr(jobs, "try_choice", trials)
    settings = settings_of(learning_rates=[0.1, 0.2, 0.3], batch_sizes=[4], seed=7, **more)
    job: Any = SimpleNamespace(settings=settings, config={"hidden_size": 32})
    found: Any = SimpleNamespace(metric=metric)
    context: Any = trials
    return _best_of(context, job, found), trials


def test_the_first_of_the_best_is_kept_and_the_others_weights_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is as good comes too late; the one before goes when a better one comes."""
    best, trials = best_of([0.5, 0.7, 0.7], monkeypatch)
    assert (best.chosen.choice.learning_rate, best.weights) == (0.2, 1)
    assert trials.discarded == [0, 2]
    assert [before for _, before in trials.tried] == [None, 0.5, 0.7]
    assert [tried.value for tried in best.tried] == [0.5, 0.7, 0.7]


def test_of_errors_the_least_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    best, trials = best_of([0.5, 0.2, 0.3], monkeypatch, metric="mse")
    assert (best.weights, trials.discarded) == (1, [0, 2])


def test_the_best_choice_is_tried_with_the_next_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first nor the last; a seed that does better is kept in its place."""
    best, trials = best_of([0.5, 0.7, 0.6, 0.65, 0.8], monkeypatch, seeds=3)
    seeds = [(choice.learning_rate, choice.seed) for choice, _ in trials.tried]
    assert seeds == [(0.1, 7), (0.2, 7), (0.3, 7), (0.2, 8), (0.2, 9)]
    assert (best.chosen.choice.seed, best.weights, trials.discarded) == (9, 4, [0, 2, 3, 1])
    assert trials.places == [f" ({number} of 5)" for number in range(1, 6)]


def test_weights_that_nobody_needs_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that are known already and no better come without them."""
    best, trials = best_of([0.5, None, 0.4], monkeypatch)
    assert (best.weights, trials.discarded, len(best.tried)) == (0, [2], 3)


def found_in(folder: Path, labels: Labels, rows: int = 10) -> Found:
    (folder / "examples").write_text("")
    examples = replace(outside_file(folder / "examples"), rows=rows)
    reading = Reading("classify", Columns("text", None, "label"), 48, 16)
    known = {"dev": {"c": {"f1": 0.5}}}
    return Found(examples, reading, labels, "accuracy", {"train": rows}, 3, {"dev": 2}, known)


TWO = Labels(("a", "b"), "single_label_classification", (6, 4))


def test_a_training_is_told_what_the_config_says(tmp_path: Path) -> None:
    """Each of its settings under its own name."""
    settings = settings_of(
        dropout=0.25, weight_decay=0.5, warmup_share=0.125, precision="fp32", epochs=2
    )
    spec = spec_of(settings, found_in(tmp_path, TWO), Choice(3e-4, 4, 11), WIDE)
    assert (spec.head, spec.labels, spec.problem) == ("sequence", TWO.names, TWO.problem)
    assert (spec.dropout, spec.precision, spec.seed) == (0.25, "fp32", 11)
    assert (spec.optimizer.learning_rate, spec.optimizer.weight_decay) == (3e-4, 0.5)
    assert spec.schedule.warmup_share == 0.125
    assert (spec.steps, spec.checkpoint_steps, spec.batch_rows) == (5, 3, 4)


@pytest.mark.parametrize(
    ("task", "head"), [("pair", "sequence"), ("regress", "sequence"), ("tag", "tokens")]
)
def test_a_task_has_its_head(task: str, head: str, tmp_path: Path) -> None:
    found = found_in(tmp_path, TWO)
    assert spec_of(settings_of(task=task), found, Choice(1e-4, 4, 0), WIDE).head == head


WIDE, NARROW = {"hidden_size": 768}, {"hidden_size": 767}
CLASSIFIER = "RobertaForSequenceClassification"


@pytest.mark.parametrize(
    ("encoder", "rate", "asked", "expected"),
    [
        (WIDE, 2e-5, {}, (2e-5, 2e-5, "pretrained")),
        (NARROW, 1e-4, {}, (1e-3, 5e-4, "uniform")),
        (NARROW, 4e-4, {"task": "pair"}, (4e-3, 2e-3, "uniform")),
        (NARROW, 1e-4, {"task": "regress"}, (1e-3, 5e-4, "uniform")),
        (NARROW, 1e-4, {"task": "tag"}, (1e-4, 1e-4, "pretrained")),
        (NARROW, 1e-4, {"task": "qa"}, (1e-4, 1e-4, "pretrained")),
        (NARROW, 1e-4, {"head_learning_rate": 1e-5}, (1e-3, 1e-5, "uniform")),
        (NARROW, 1e-4, {"first_attention": "pretrained"}, (1e-3, 5e-4, "pretrained")),
        (WIDE, 1e-5, {"first_attention": "uniform"}, (1e-5, 1e-5, "uniform")),
        (WIDE, 1e-5, {"embedding_learning_rate": 1e-6}, (1e-6, 1e-5, "pretrained")),
        (NARROW | {"architectures": None}, 1e-4, {}, (1e-3, 5e-4, "uniform")),
        (NARROW | {"architectures": ["RobertaForMaskedLM"]}, 1e-4, {}, (1e-3, 5e-4, "uniform")),
        (NARROW | {"architectures": [CLASSIFIER]}, 1e-4, {}, (1e-3, 5e-4, "pretrained")),
        (
            NARROW | {"architectures": [CLASSIFIER]},
            1e-4,
            {"first_attention": "uniform"},
            (1e-3, 5e-4, "uniform"),
        ),
    ],
)
def test_small_encoders_learn_words_and_head_faster(
    encoder: dict[str, Any],
    rate: float,
    asked: dict[str, Any],
    expected: tuple[float, float, str],
    tmp_path: Path,
) -> None:
    """And let <s> read all alike, unless a classifier has taught it; what is asked for is done."""
    spec = spec_of(settings_of(**asked), found_in(tmp_path, TWO), Choice(rate, 4, 0), encoder)
    optimizer = spec.optimizer
    assert optimizer.rate_of("matrices") == optimizer.rate_of("vectors") == rate
    rates = optimizer.rate_of("embeddings"), optimizer.rate_of("head")
    assert (*rates, spec.first_attention) == expected


@pytest.mark.parametrize(
    ("says", "asked", "dropout"),
    [(None, {}, 0.1), (0.0, {}, 0.0), (0.3, {}, 0.3), (0.3, {"dropout": 0.0}, 0.0)],
)
def test_dropout_is_what_the_encoder_is_used_to(
    says: float | None, asked: dict[str, Any], dropout: float, tmp_path: Path
) -> None:
    """As its config.json says, which is 0.1 for the paper's; what is asked for is done."""
    found, encoder = found_in(tmp_path, TWO), NARROW | {"hidden_dropout_prob": says}
    assert spec_of(settings_of(**asked), found, Choice(1e-4, 4, 0), encoder).dropout == dropout


def test_an_encoder_that_drops_everything_is_refused(tmp_path: Path) -> None:
    found, encoder = found_in(tmp_path, TWO), NARROW | {"hidden_dropout_prob": 1}
    with pytest.raises(UserError, match=r"hidden_dropout_prob: 1, .* Give another with --dropout"):
        spec_of(settings_of(), found, Choice(1e-4, 4, 0), encoder)
    assert spec_of(settings_of(dropout=0.2), found, Choice(1e-4, 4, 0), encoder).dropout == 0.2


@pytest.mark.parametrize(
    ("examples", "rate"),
    [(1, 2e-3), (10_000, 2e-3), (20_000, 1e-3), (67_349, 2.97e-4), (100_000, 2e-4), (10**6, 2e-4)],
)
def test_of_many_examples_words_come_by_often_enough(examples: int, rate: float) -> None:
    adapted = adapted_to(NARROW, examples, settings_of(), Choice(2e-4, 32, 0))
    assert adapted.embedding_learning_rate == pytest.approx(rate, rel=1e-3)
    assert adapted.head_learning_rate == 1e-3


def test_words_that_are_never_read_shrink_no_faster(tmp_path: Path) -> None:
    """A step takes rate times decay of every vector; what learns more slowly shrinks so too."""
    slow = {"embedding_learning_rate": 1e-6}
    for encoder, asked, words in ((WIDE, {}, 1e-5), (NARROW, {}, 1e-5), (WIDE, slow, 1e-7)):
        settings, found = settings_of(**asked), found_in(tmp_path, TWO)
        optimizer = spec_of(settings, found, Choice(1e-4, 4, 0), encoder).optimizer
        shrunk = [
            optimizer.rate_of(group) * optimizer.decay_of(group)
            for group in ("matrices", "embeddings")
        ]
        assert shrunk == pytest.approx([1e-5, words])
    assert optimizer.decay_of("matrices") == optimizer.decay_of("embeddings") == 0.1


@pytest.mark.parametrize("task", ["tag", "qa"])
def test_where_each_token_answers_nothing_begins_at_s(task: str) -> None:
    with pytest.raises(ValueError, match=f"{task} is answered at each token"):
        settings_of(task=task, first_attention="uniform")
    assert settings_of(task=task, first_attention="pretrained")


def test_only_single_classes_are_weighed(tmp_path: Path) -> None:
    """Of several classes a text, and of numbers, there is nothing to balance."""
    for problem in ("multi_label_classification", "regression"):
        labels = replace(TWO, problem=problem)
        spec = spec_of(
            settings_of(balance=True), found_in(tmp_path, labels), Choice(1e-4, 4, 0), NARROW
        )
        assert spec.weights is None


def test_what_was_found_is_told_and_read_again(tmp_path: Path) -> None:
    found = found_in(tmp_path, TWO)
    again = Found.from_json(found.to_json(), found.examples, settings_of())
    assert again == found


def test_an_epoch_is_told_from_one() -> None:
    """The best one's metrics, its number, and how many there were."""
    choice = Choice(1e-4, 32, 5)
    tried = Tried(choice, 0.7, [{"f1": 0.3}, {"f1": 0.7}, {"f1": 0.6}], 1)
    assert tried.to_json() == {
        **{"learning_rate": 1e-4, "batch_size": 32, "seed": 5},
        **{"dev": {"f1": 0.7}, "epoch": 2, "epochs": 3},
    }
    assert choice.told() == "0.0001-32-5"


def scored(n: int, **values: float) -> dict[str, Any]:
    metrics = {
        name: {"value": value, "low": value - 0.125, "high": value + 0.25}
        for name, value in values.items()
    }
    return {"n": n, "metrics": metrics}


def test_the_deciding_metric_stands_first_with_its_interval_and_guessing() -> None:
    """Guessing is the first baseline; for an error less is better."""
    found: dict[str, Any] = {
        "metric": "mse",
        "scores": {"dev": scored(9, pearson=0.5, mse=2.0)},
    }
    on_dev = {"mean": {"pearson": 0.0, "mse": 3.0}, "bag": {"pearson": 0.4, "mse": 1.0}}
    found["baselines_on"] = {"dev": on_dev, "test": {"mean": {"pearson": 0.0, "mse": 5.0}}}
    first, second = score_rows("rate", found)
    interval = {"low": 1.875, "high": 2.25, "method": "bootstrap"}
    assert first == {
        **{"task": "rate", "measure": "mse", "value": 2.0, "n": 9},
        **{"interval": interval, "chance": 3.0, "better": "lower"},
    }
    assert (second["measure"], second["chance"], second["better"]) == ("pearson", 0.0, "higher")
    assert told_score(found) == "2.000 (1.875 to 2.250 on dev)"
    found["scores"] = {"dev": scored(9, mse=2.0), "test": scored(8, mse=4.0)}
    assert told_part(found) == "test"
    assert told_score(found) == "4.000 (3.875 to 4.250 on test)"
    assert score_rows("rate", found)[0]["chance"] == 5.0, "on the same rows"


def test_a_job_has_the_files_of_its_own_name(tmp_path: Path) -> None:
    """Of tasks whose names begin alike each has its own, and the encoder's by their kind."""
    files = {}
    for name in ("mood/train", "mood/dev", "moods/train"):
        (tmp_path / name.replace("/", "-")).write_text(name)
        files[name] = outside_file(tmp_path / name.replace("/", "-"))
    names = ("config.json", "model.safetensors", "tokenizer.json", "README.md", "merges.txt")
    model = dict.fromkeys(names, files["mood/train"])
    context: Any = SimpleNamespace(externals=files)
    job = _job(context, settings_of(name="mood"), model)
    assert job.prefix == "mood/"
    assert {part: data.file for part, data in job.files.items()} == {
        **{"train": files["mood/train"], "dev": files["mood/dev"]}
    }
    assert set(job.encoder) == {"config.json", "model.safetensors"}
    assert set(job.tokenizer) == {"tokenizer.json", "merges.txt"}


def test_labelled_data_are_called_by_task_and_part(tmp_path: Path) -> None:
    """What is to be predicted by its number; a file that is missing by its field."""
    row = [{"text": "a", "label": "x"}]
    paths = [str(write_jsonl(tmp_path / f"{name}.jsonl", row)) for name in "abcd"]
    mood = settings_of(name="mood", train=paths[0], dev=paths[1], predict=paths[2:])
    assert {part: str(path) for part, path in data_files(mood, "").items()} == {
        **{"train": paths[0], "dev": paths[1], "predict/0": paths[2], "predict/1": paths[3]}
    }
    assert sorted(downstream_files([mood])) == [
        *("mood/dev", "mood/predict/0", "mood/predict/1", "mood/train")
    ]
    with pytest.raises(UserError, match="downstream: two tasks are called mood; give each"):
        check_downstream([mood, mood])
    with pytest.raises(UserError, match=r"downstream\.0\.predict: there is no file .*none"):
        check_downstream([mood.model_copy(update={"predict": (str(tmp_path / "none"),)})])


def test_what_is_only_answered_needs_no_label(tmp_path: Path) -> None:
    """What is learnt from and what chooses do."""
    labelled = str(write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": "x"}]))
    bare = str(write_jsonl(tmp_path / "b.jsonl", [{"text": "a"}]))
    check_downstream([settings_of(train=labelled, dev=labelled, predict=[bare])])
    with pytest.raises(UserError, match=r"b\.jsonl.*which column holds the label"):
        check_downstream([settings_of(train=labelled, dev=bare)])


def test_a_data_file_counts_by_its_content(tmp_path: Path) -> None:
    """Whatever it is called: nothing is learnt anew for another name."""
    (tmp_path / "a").write_text("x")
    file = outside_file(tmp_path / "a")
    assert DataFile("one", file).identity() == DataFile("two", file).identity() == file.identity()
    assert Job(settings_of(), {}, {}).prefix == ""
