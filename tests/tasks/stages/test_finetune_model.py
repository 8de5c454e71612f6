"""finetune in a pipeline: planned, run, cached; what it answers; what is refused at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_finetuning import sentences, write_jsonl
from tiny_pipeline import digests, run_all, write_config

from flows.commands.inspect import report
from flows.summary import print_summary
from tasks.artifacts import CleanText
from tasks.config import Config
from tasks.config.downstream import FineTuningConfig
from tasks.config.load import load_config
from tasks.documents import read_documents
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.inspection.plan import make_plan
from tasks.inspection.verify import find_damage
from tasks.stages import check_outside, stage_names
from tasks.stages.finetune_model import with_dropout


def write_task(folder: Path, **changes: Any) -> dict[str, Any]:
    """A task of `downstream` with its files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "dev")):
        rows = [{"text": text, "label": label} for text, label in sentences(48, seed)]
        write_jsonl(folder / f"{part}.jsonl", rows)
    write_jsonl(folder / "new.jsonl", [{"text": "the film was kind today", "from": "me"}] * 3)
    return {
        "name": "mood",
        "task": "classify",
        "train": str(folder / "train.jsonl"),
        "dev": str(folder / "dev.jsonl"),
        "epochs": 1,
        "learning_rates": [1e-3],
        "predict": [str(folder / "new.jsonl")],
        **changes,
    }


def config_with(folder: Path, *tasks: dict[str, Any]) -> Config:
    return load_config(str(write_config(folder, downstream=list(tasks))))


def record_of(config: Config, made: Any) -> dict[str, Any]:
    """The record of the run, as its end is told from it."""
    store = open_store(config.store)
    stages = [
        {"name": name, "key": outcome.artifact.key, "state": outcome.state, "seconds": 1.0}
        | {"path": store.url(outcome.artifact.folder)}
        for name, outcome in made.items()
    ]
    return {"stages": stages, "model": "a/model", "report": "a/report.html"}


@pytest.mark.parametrize(
    ("asked", "used_to", "taken"),
    [(None, 0.25, 0.25), (None, 0.0, 0.0), (None, None, None), (0.3, 0.0, 0.3), (0.0, 0.3, 0.0)],
)
def test_a_task_is_taught_as_it_would_be_to_the_published_folder(
    asked: float | None, used_to: float | None, taken: float | None, tmp_path: Path
) -> None:
    """The weights are those before it, whose config.json does not know what they are used to."""
    task = write_task(tmp_path, **({} if asked is None else {"dropout": asked}))
    settings = FineTuningConfig.model_validate(task)
    assert with_dropout(settings, used_to) == settings.model_copy(update={"dropout": taken})


@pytest.mark.slow
def test_a_run_teaches_its_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run after publish, verified, cached; changed data have it alone made again."""
    config = config_with(tmp_path, write_task(tmp_path / "data"))
    made = run_all(config)
    assert list(made)[-2:] == ["publish", "finetune"]
    artifact = made["finetune"].artifact
    found = artifact.summary["tasks"]["mood"]
    assert found["rows"] == {"train": 48, "dev": 48}
    assert found["tried"][0]["dropout"] == config.pretrain.dropout == 0.0
    answers = [
        json.loads(line)
        for line in artifact.file("mood/predict/0.jsonl").local().read_text().splitlines()
    ]
    assert len(answers) == 3
    assert {answer["predicted_label"] for answer in answers} <= {"good", "bad"}
    assert answers[0]["from"] == "me"
    store = open_store(config.store)
    assert find_damage(store) == []
    told = found["scores"]["dev"]["contamination"]
    assert (told["items"], told["contained"]) == (48, 0), "its corpus is about something else"
    page = artifact.file("report.html").local().read_text(encoding="utf-8")
    assert f"{found['scores']['dev']['metrics']['accuracy']['value']:.3f}" in page
    for link in ("mood/model.dev.jsonl", "mood/predict/0.jsonl"):
        assert f'<a href="{link}">' in page
        assert artifact.file(link).rows
    card = artifact.file("mood/model/README.md").local().read_text(encoding="utf-8")
    read = json.loads(artifact.file("mood/model/finetuning.json").local().read_text())
    assert f"| longest row | {read['max_tokens']} tokens" in card
    assert read["max_tokens"] < 512, "the model reads no more, whatever was asked for"
    asked = [str(tmp_path / "tiny.yaml"), "--json"]
    pages = json.loads(CliRunner().invoke(report, asked, catch_exceptions=False).stdout)
    assert pages["taught"] == store.url(f"{artifact.folder}/report.html")
    assert Path(pages["report"]).is_file()
    print_summary(record_of(config, made), store)
    assert pages["taught"] in capsys.readouterr().out
    assert {plan.action for plan in make_plan(config, store)} == {"cached"}
    assert digests(run_all(config)) == digests(made)
    with Path(config.downstream[0].dev).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "the song was grim today", "label": "bad"}) + "\n")
    actions = {plan.name: plan.action for plan in make_plan(config, store)}
    assert actions.pop("finetune") == "run"
    assert set(actions.values()) == {"cached"}


@pytest.mark.slow
def test_what_the_corpus_holds_is_told_of_the_data_that_have_it(tmp_path: Path) -> None:
    """Two of three rows of test are documents of it, and none of dev."""
    task = write_task(tmp_path / "data", test=str(tmp_path / "data" / "test.jsonl"))
    plain = {name: value for name, value in task.items() if name != "test"}
    made = run_all(config_with(tmp_path, plain), until="clean")
    files = CleanText(made["clean"].artifact).files("train")
    found = [document.text for file in files for document in read_documents(file.local())]
    known = [text for text in found if len(text.split()) >= 8][:2]
    rows = [
        {"text": text, "label": "bad"} for text in (*known, "the film was kind today and so on")
    ]
    write_jsonl(tmp_path / "data" / "test.jsonl", rows)
    scores = run_all(config_with(tmp_path, task))["finetune"].artifact.summary["tasks"]["mood"]
    told = {part: scored["contamination"] for part, scored in scores["scores"].items()}
    assert (told["test"]["items"], told["test"]["contained"]) == (3, 2)
    assert (told["dev"]["items"], told["dev"]["contained"]) == (48, 0)


def test_a_config_without_tasks_has_no_such_stage(tmp_path: Path) -> None:
    config = load_config(str(write_config(tmp_path)))
    assert stage_names(config)[-1] == "publish"
    with pytest.raises(UserError, match="nothing in `downstream`"):
        stage_names(config, "finetune")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"train": "nowhere.csv"}, r"downstream.0.train: there is no file .*nowhere.csv"),
    ({"columns": {"label": "mood"}}, r"no column 'mood' \(columns.label\)"),
    ({"task": "pair"}, "which columns hold the two texts"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED)
def test_what_cannot_be_learnt_is_refused_before_the_first_stage(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    config = config_with(tmp_path, write_task(tmp_path / "data", **changes))
    with pytest.raises(UserError, match=told):
        check_outside(config)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    task = write_task(tmp_path / "data")
    with pytest.raises(UserError, match="downstream: two tasks are called mood; give each"):
        check_outside(config_with(tmp_path, task, task))
