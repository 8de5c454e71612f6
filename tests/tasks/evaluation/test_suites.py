"""A suite asked of model folders: against stock, restarts, and what is refused."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
import torch
import yaml
from byte_models import byte_model, constant_model
from click.testing import CliRunner, Result
from small_corpus import run_small, write_texts
from transformers import RobertaForMaskedLM, RobertaForSequenceClassification, RobertaTokenizer

from flows.cli import roberta
from tasks.config import EngineConfig
from tasks.config.suite import SUITES, Suite, load_suite
from tasks.engine.identity import file_digest
from tasks.engine.runner import Outcome
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.stages.evaluate_suite import evaluate_folder

GOOD = ["the cats sleep", "a dog barks", "they are here", "no one came"]
BAD = ["the cats sleeps", "a dog bark", "they is here", "no one come"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's folder: no tokenizer.json, weights in several files."""
    folder = byte_model(tmp_path_factory.mktemp("models") / "own")
    stock = folder.parent / "stock"
    RobertaForMaskedLM.from_pretrained(folder).save_pretrained(stock, max_shard_size="20KB")
    tokens = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (stock / "vocab.json").write_text(json.dumps(tokens))
    (stock / "merges.txt").write_text("#version: 0.2\n")
    assert len(list(stock.glob("*.safetensors"))) > 1
    return stock


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Three files of pairs, as BLiMP has them."""
    folder = tmp_path / "sets"
    folder.mkdir()
    for name, field in (("agreement", "syntax"), ("islands", "syntax"), ("scope", "semantics")):
        write_pairs(folder / f"{name}.jsonl", name, field)
    return folder


def write_pairs(path: Path, name: str, field: str) -> None:
    records = [
        {"sentence_good": f"{name} {good}", "sentence_bad": f"{name} {bad}", "field": field}
        for good, bad in zip(GOOD, BAD, strict=True)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def suite(folder: Path, *tasks: dict[str, Any], **more: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({"tasks": list(tasks), **more}))
    return path


def pairs(**changes: Any) -> dict[str, Any]:
    return {"task": "minimal_pairs", "name": "blimp", "data": "sets", **changes}


def score(model: Path, asked: Suite, store: Store) -> Outcome:
    """In this process, without workers to wait for."""
    return evaluate_folder(model, asked, store, engine=EngineConfig(workers=1))


def evaluate(*words: str | int | Path) -> Result:
    """The command in this process."""
    command = roberta.get_command(click.Context(roberta), "evaluate")
    assert command is not None
    return CliRunner().invoke(command, [*map(str, words)], catch_exceptions=False)


@torch.inference_mode()
def naive(stock: RobertaForMaskedLM, tokenizer: RobertaTokenizer, text: str) -> float:
    """One masked copy a forward pass, with the tokenizer that stock makes of the folder."""
    ids = tokenizer(text)["input_ids"]
    total = 0.0
    for place in range(1, len(ids) - 1):
        masked = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
        logits_V = stock(input_ids=torch.tensor([masked])).logits[0, place].double()
        total += logits_V.log_softmax(dim=0)[ids[place]].item()
    return total


def test_a_strangers_folder_scores_as_a_naive_loop_over_stock(
    model: Path, sets: Path, tmp_path: Path
) -> None:
    """Every pair's two scores, the accuracies by paradigm and field, and the JSON in the file."""
    done = evaluate(
        model, "--suite", suite(tmp_path, pairs()), "--store", tmp_path / "store", "--json",
        "--out", tmp_path / "scores.json", "--workers", 1,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert json.loads((tmp_path / "scores.json").read_text()) == found
    stock = RobertaForMaskedLM.from_pretrained(model).eval()
    tokenizer = RobertaTokenizer.from_pretrained(model)
    right: dict[str, int] = {}
    for name in ("agreement", "islands", "scope"):
        expected = [
            [naive(stock, tokenizer, f"{name} {text}") for text in pair]
            for pair in zip(GOOD, BAD, strict=True)
        ]
        record = json.loads((Path(found["path"]) / f"blimp/{name}.json").read_text())
        assert [value for pair in record["scores"] for value in pair] == pytest.approx(
            [value for pair in expected for value in pair], abs=1e-4
        )
        right[name] = sum(good > bad for good, bad in expected)
    told = found["tasks"]["blimp"]
    assert told["files"] == {name: count / 4 for name, count in right.items()}
    assert told["accuracy"] == pytest.approx(sum(right.values()) / 12)
    assert told["groups"]["field"]["syntax"]["right"] == right["agreement"] + right["islands"]
    assert told["groups"]["field"]["semantics"]["accuracy"] == right["scope"] / 4
    assert 0 < sum(right.values()) < 12
    (row,) = found["scores"]
    assert (row["task"], row["value"], row["n"]) == ("blimp", told["accuracy"], 12)
    assert row["interval"]["low"] < row["value"] < row["interval"]["high"]
    assert found["costs"]["blimp"]["units"] == 3


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A model folder in a store whose run was trained on two of the pairs' good sentences."""
    texts = [f"{'agreement' if n else 'scope'} {GOOD[n]}, says line {n}" for n in range(2)]
    folder = write_texts(tmp_path / "texts", [*texts, "and of something else there is a third"])
    clean = run_small(tmp_path / "runs", folder, "clean")["clean"].artifact
    home = clean.store
    model = byte_model(Path(home.url("7-publish/abc/model")))
    outputs = [
        {"path": f"model/{path.name}", "sha256": file_digest(path), "bytes": 1, "rows": None}
        for path in sorted(model.iterdir())
    ]
    manifest = {"outputs": outputs, "inputs": {"clean": {"key": clean.key}}}
    home.write("7-publish/abc/manifest.json", seal(manifest))
    return model


def test_of_a_runs_own_folder_it_is_known_what_the_text_held(
    published: Path, sets: Path, tmp_path: Path
) -> None:
    """And of a copy elsewhere, of other weights in its place or without the text it is not."""
    store = open_store(str(tmp_path / "store"))

    def told(model: Path) -> Any:
        asked = load_suite(str(suite(tmp_path, pairs())))
        return score(model, asked, store).artifact.summary["contamination"]

    found = told(published)
    assert found["flagged"] == ["blimp"]
    counts = {name: found["tasks"]["blimp"][name] for name in ("items", "contained")}
    assert counts == {"items": 12, "contained": 2}
    assert found["tasks"]["blimp"]["without"]["n"] == 10
    shutil.copytree(published, tmp_path / "copy")
    assert told(tmp_path / "copy") is None
    weights = (published / "model.safetensors").read_bytes()
    byte_model(published, seed=1)
    assert told(published) is None
    (published / "model.safetensors").write_bytes(weights)
    assert told(published) == found
    shutil.rmtree(tmp_path / "runs" / "2-clean")
    assert told(published) is None


def test_a_constant_model_scores_nothing(sets: Path, tmp_path: Path) -> None:
    """Ties are wrong, on all pairs of one length; and nought of a few is no certainty."""
    same = [f"{word}s\n{word}z\n" for word in ("cat", "dog", "house")]
    (tmp_path / "same.txt").write_text("\n".join(same))
    model = constant_model(tmp_path / "model")
    asked = load_suite(str(suite(tmp_path, pairs(data="same.txt"))))
    summary = score(model, asked, open_store(str(tmp_path / "store"))).artifact.summary
    told = summary["tasks"]["blimp"]
    assert (told["accuracy"], told["pairs"], told["ties"]) == (0, 3, 3)
    assert told["interval"]["high"] > 0.5


def test_what_was_cut_off_goes_on_and_ends_the_same(
    model: Path, sets: Path, tmp_path: Path
) -> None:
    """A broken file ends the first try; mended, the others are not scored again."""
    whole = (sets / "scope.jsonl").read_text()
    (sets / "scope.jsonl").write_text(whole + '{"sentence_good": "lonely"}\n')
    asked, store = load_suite(str(suite(tmp_path, pairs()))), open_store(str(tmp_path / "store"))
    with pytest.raises(UserError, match=r"blimp\.data: scope, line 5: .* lacks sentence_bad"):
        score(model, asked, store)
    (sets / "scope.jsonl").write_text(whole)
    outcome = score(model, asked, store)
    fresh = score(model, asked, open_store(str(tmp_path / "other")))
    assert outcome.artifact.summary == fresh.artifact.summary
    assert outcome.artifact.digest == fresh.artifact.digest
    again = score(model, asked, store)
    assert (outcome.state, again.state) == ("done", "cached")
    write_pairs(sets / "more.jsonl", "more", "syntax")
    more = score(model, asked, store)
    made = {unit.label: unit.provenance["ended"] for unit in outcome.artifact.units}
    kept = {unit.label: unit.provenance["ended"] for unit in more.artifact.units}
    assert {label: kept[label] for label in made} == made
    assert kept.keys() - made.keys() == {"blimp/more"}


def test_paths_are_those_of_the_suites_folder(model: Path, sets: Path, tmp_path: Path) -> None:
    """Wherever it is called from; those of --set and of packaged suites are the caller's."""
    path = suite(tmp_path, pairs())

    def data_of(source: str, overrides: tuple[str, ...] = ()) -> str:
        return str(getattr(load_suite(source, overrides).tasks[0], "data", None))

    assert data_of(str(path)) == str(tmp_path / "sets")
    assert data_of(str(path), ("tasks.0.data=here",)) == "here"
    assert data_of("blimp-fast") == "../shared/data/eval/blimp_fast"


@pytest.mark.parametrize("name", sorted(path.stem for path in SUITES.glob("*.yaml")))
def test_packaged_suites_are_valid(name: str) -> None:
    """They load by name, which is theirs."""
    assert load_suite(name).name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks: [{task: minimal_pair, name: a, data: b}]", "did you mean `minimal_pairs`"),
        ("tasks: [{name: a, data: b}]", "`tasks.0.task` is missing; tasks are .*minimal_pairs"),
        ("tasks: [{task: minimal_pairs, name: a, dta: b}]", "`tasks.0.dta`, did you mean `data`"),
        ("tasks: [{task: minimal_pairs, name: a/b, data: b}]", "`tasks.0.name`: string should"),
        ("tasks: [{task: minimal_pairs, name: held_out, data: b}]", "a meaning of its own"),
        (
            "tasks: [{task: minimal_pairs, name: a, data: b}, {task: minimal_pairs, name: a, "
            "data: c}]",
            r"s\.yaml: two tasks are called a",
        ),
        ("tasks: []", r"s\.yaml: there is nothing in `tasks` or in `downstream`"),
        ("taskz: []", "unknown key `taskz`, did you mean `tasks`"),
        ("[1]", "a suite is a mapping"),
        ("tasks: [", "not valid YAML"),
    ],
)
def test_what_is_no_suite_is_refused_with_the_nearest_right_key(
    text: str, said: str, tmp_path: Path
) -> None:
    """In one paragraph that names file, key and what to do."""
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_suite(str(tmp_path / "s.yaml"))
    assert str(caught.value).startswith(str(tmp_path / "s.yaml"))


def test_a_suite_that_is_not_there_is_told_with_those_that_are() -> None:
    """And with the nearest one."""
    with pytest.raises(UserError, match=r"no suite of that name. Did you mean 'blimp-fast'\?"):
        load_suite("blimp_fast")


def test_a_folder_with_another_head_is_refused_by_its_own_name_and_leaves_nothing(
    model: Path, sets: Path, tmp_path: Path
) -> None:
    """A worker would know it by the name of the copy that it scores."""
    tuned = tmp_path / "tuned"
    RobertaForSequenceClassification.from_pretrained(model).save_pretrained(tuned)
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(UserError, match=f"^{re.escape(str(tuned))}: this is a RobertaForSequence"):
        score(tuned, load_suite(str(suite(tmp_path, pairs()))), store)
    assert not store.names("6-suite")


@pytest.mark.parametrize("wrong", ["no folder", "no weights", "no config", "no tokenizer"])
def test_a_folder_that_is_no_model_is_told(wrong: str, sets: Path, tmp_path: Path) -> None:
    """Before or at the first item, in a paragraph."""
    folder = byte_model(tmp_path / "model")
    gone = {
        "no weights": ["model.safetensors"],
        "no config": ["config.json"],
        "no tokenizer": ["tokenizer.json", "vocab.json", "merges.txt"],
    }
    for name in gone.get(wrong, ()):
        (folder / name).unlink(missing_ok=True)
    if wrong == "no folder":
        shutil.rmtree(folder)
    asked = load_suite(str(suite(tmp_path, pairs())))
    with pytest.raises(UserError, match="not a folder|no model.safetensors|no config|no tokenizer"):
        score(folder, asked, open_store(str(tmp_path / "store")))
