"""What a report and a card show is in the key of publish; when and where it was made is not."""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_corpus import small_config, write_texts
from tiny_pipeline import TINY, digests, run_all, run_record

from tasks.artifacts import TrainedModel
from tasks.config import Config, PublishConfig
from tasks.engine.identity import flatten
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stores import open_store
from tasks.inference.model_folder import load_tokenizer
from tasks.inspection.models import earlier_models
from tasks.inspection.plan import make_plan
from tasks.inspection.runs import states_under_way, write_run
from tasks.publishing.circumstances import collect_circumstances
from tasks.publishing.figures import collect_figures
from tasks.publishing.portrait import portrait_of
from tasks.publishing.render import render_report
from tasks.stages import get_stage
from tasks.stages.publish_model import say_dropout

WORDS = ("ship", "harbour", "storm", "sailor", "rope", "island", "morning", "letter", "captain")
TEXTS = [
    f"In the {WORDS[n % 9]} the {WORDS[(n * n + 3) % 9]} met a {WORDS[(2 * n + 1) % 9]} number {n}."
    for n in range(60)
]
# Short and no text at all: dropped for the first of two reasons, whichever filter is looser.
DROPPED = "#### ---- ++++"


def small(store: Path, texts: Path, **changes: Any) -> Config:
    recipe = {"batch_rows": 4, "steps": 2, "precision": "fp32", "checkpoint_steps": 2}
    return small_config(
        store,
        texts,
        held_out=0.1,
        model=TINY["model"],
        pretrain=recipe,
        evaluate=TINY["evaluate"],
        engine=TINY["engine"],
        pack={"row_tokens": 32},
        **changes,
    )


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"), [*TEXTS, DROPPED])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Config:
    return small(tmp_path_factory.mktemp("publish") / "store", texts)


@pytest.fixture(scope="module")
def finished(config: Config) -> dict[str, Outcome]:
    return run_all(config)


def page(outcomes: Mapping[str, Outcome], path: str) -> str:
    return outcomes["publish"].artifact.file(path).local().read_text(encoding="utf-8")


def test_a_changed_filter_leaves_no_old_figure_in_report_and_card(
    config: Config, finished: dict[str, Outcome], texts: Path
) -> None:
    """The same documents are kept, so nothing is trained again, but a reason has changed."""
    looser = small(Path(config.store), texts, clean={"filters": {"min_characters": 5}})
    plans = {plan.name: plan for plan in make_plan(looser, open_store(looser.store))}
    assert plans["clean"].action == "run"
    after = run_all(looser)

    assert after["clean"].artifact.digest == finished["clean"].artifact.digest
    states = {name: made.state for name, made in after.items()}
    assert [name for name, state in states.items() if state == "done"] == ["clean", "publish"]
    for path, dropped in (("report.html", "<td>{} 1</td>"), ("model/README.md", "| {} 1 |")):
        assert dropped.format("too_short") in page(finished, path)
        assert dropped.format("symbols") in page(after, path)
        assert "too_short" not in page(after, path)
        assert "<code>clean.filters.min_characters</code></td><td>5<" in page(after, "report.html")
    unit = {unit.label: unit.provenance for unit in after["publish"].artifact.units}
    before = {unit.label: unit.provenance for unit in finished["publish"].artifact.units}
    assert unit["model"] == before["model"], "weights need no second look by stock transformers"
    assert make_plan(looser, open_store(looser.store))[-1].action == "cached"


def test_a_stage_made_again_to_the_same_bytes_leaves_publish_cached(
    config: Config, finished: dict[str, Outcome]
) -> None:
    """Times and hosts are shown as of the run that computed them; they are in no key."""
    store = open_store(config.store)
    made = {name: outcome.artifact for name, outcome in finished.items()}
    pack = get_stage("pack")
    again = run_stage(pack, config, store, made, force="again")
    assert again.artifact.manifest["provenance"] != made["pack"].manifest["provenance"]
    assert run_all(config)["publish"].state == "cached"


@pytest.mark.slow
def test_the_name_of_a_source_file_is_in_no_key(
    config: Config, finished: dict[str, Outcome], tmp_path: Path
) -> None:
    """The same text from elsewhere, in another store: the same keys to the very end."""
    moved = write_texts(tmp_path / "moved", [*TEXTS, DROPPED], name="other")
    found = digests(run_all(small(tmp_path / "store", moved)))
    for name, expected in digests(finished).items():
        assert {part: found[name][part] for part in ("key", "outputs")} == {
            part: expected[part] for part in ("key", "outputs")
        }


def test_the_model_folder_tells_no_date_and_no_host(finished: dict[str, Outcome]) -> None:
    """It is handed to others. How long the training took stands in the card, and nowhere else."""
    host, *_ = finished["pretrain"].artifact.manifest["provenance"]["hosts"]
    card = page(finished, "model/README.md")
    assert not re.search(rf"\b{re.escape(host)}\b", card)
    assert not re.search(r"\d{4}-\d\d-\d\d", card)
    assert "Training: " in card
    assert host in page(finished, "report.html")
    for path, file in finished["publish"].artifact.outputs:
        if path.startswith("model/") and path != "model/README.md":
            assert host.encode() not in file.local().read_bytes() or len(host) < 3


def test_the_counts_on_top_agree(finished: dict[str, Outcome]) -> None:
    """What was found is what was dropped, trained on and held out; each as it was written."""
    report = page(finished, "report.html")
    clean, pack = finished["clean"].artifact.summary, finished["pack"].artifact.summary
    train, held_out = (clean[split]["documents"] for split in ("train", "held_out"))
    assert held_out > 0
    found, kept = len(TEXTS) + 1, train + held_out
    assert found - 1 == kept
    text = re.sub(r"<[^>]*>", "", report)
    assert f"{found} found − 1 dropped = {kept} = {train} to train on + {held_out} held out" in text
    told = f"{found} read, 1 dropped, which leaves {kept} kept. Dropped: "
    assert f"Every document is accounted for: {told}" in text
    assert f"The text to train on is {pack['train']['tokens']:,} tokens long" in text


def test_every_figure_leads_to_its_manifest(finished: dict[str, Outcome]) -> None:
    """Each link is of a file that is there, and holds what is shown."""
    publish = finished["publish"].artifact
    folder = Path(publish.store.url(publish.folder))
    links = set(re.findall(r'href="([^"]*)"', page(finished, "report.html")))
    assert len(links) == 7  # the model, and six stages
    assert all((folder / link).exists() for link in links)
    for name in ("download", "pretrain", "evaluate"):
        assert any(
            json.loads((folder / link).read_text())["stage"] == name
            for link in links
            if link.endswith(".json")
        )


def test_planted_text_stays_text_in_the_report(finished: dict[str, Outcome]) -> None:
    """In names of sources, reasons, licences, examples, samples and earlier models."""
    evil = "</script><img src=x onerror=alert(1)>'\"|\u202e"
    manifests = {
        name: copy.deepcopy(dict(made.artifact.manifest))
        for name, made in finished.items()
        if name != "publish"
    }
    manifests["download"]["summary"]["sources"][0]["name"] = evil
    manifests["clean"]["ledger"]["documents"]["dropped"] = {evil: 1}
    example = {"text": evil, "top": [{"token": evil, "score": 0.5}]}
    manifests["evaluate"]["summary"]["examples"] = [example]
    row = {"task": evil, "measure": evil, "value": 0.5, "n": 7, "interval": None}
    manifests["evaluate"]["summary"]["scores"].append(row)
    manifests["evaluate"]["headline"] = evil
    figures = collect_figures("small", PublishConfig(language=evil), [evil], manifests)
    looks = {"lengths": {"3": 2}, "scripts": {evil: 1}}
    tokens = {"tokens": {evil: [evil]}, "num_tokens": 1, "num_unused": 0}
    portrait = portrait_of([looks], [{"samples": {evil: [["00", evil]]}}], tokens, 1)
    before = {"finished": evil, "key": evil, "scores": [{"name": evil, "value": 1, "shown": evil}]}
    losses = [{"step": 1, "loss": 2.0, "learning_rate": 0.1}]
    html = render_report(figures, losses, collect_circumstances(manifests), portrait, [before])
    tags: list[tuple[str, list[str]]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append((tag, [name for name, _ in attrs]))  # type: ignore[method-assign]
    reader.feed(html)
    assert [tag for tag, _ in tags].count("script") == 1
    assert not [
        tag for tag, names in tags if tag == "img" or any(n.startswith("on") for n in names)
    ]
    assert html.count("&lt;/script&gt;&lt;img src=x") >= 10


def test_an_earlier_model_of_the_name_stands_beside_the_scores(
    config: Config, finished: dict[str, Outcome]
) -> None:
    """Of another evaluation, once however often it was published; none of another name."""
    store = open_store(config.store)
    evaluated = finished["evaluate"].artifact
    assert earlier_models(store, "small", evaluated.key) == []
    assert earlier_models(store, "another", "k") == []
    (model,) = earlier_models(store, "small", "k")
    told = {score["name"]: score["value"] for score in model["scores"]}
    at_mask = evaluated.summary["held_out"]["by_kind"]["mask"]
    assert told["held-out text, perplexity at <mask>"] == at_mask["perplexity"]
    manifests = {n: m.artifact.manifest for n, m in finished.items() if n != "publish"}
    figures = collect_figures("small", PublishConfig(), [None], manifests)
    losses = [{"step": 1, "loss": 2.0}]
    html = render_report(figures, losses, collect_circumstances(manifests), None, [model])
    assert f"the model before, of {model['finished']}" in html


def test_the_report_says_which_stages_the_run_found(
    config: Config, finished: dict[str, Outcome]
) -> None:
    """By the record of the run that is at work; where there is none it claims nothing."""
    store = open_store(config.store)
    keys = {n: made.artifact.key for n, made in finished.items() if n != "publish"}
    assert states_under_way(store, keys) == {}
    assert "is not known" in page(finished, "report.html")
    record = run_record(config, finished, run="at-work") | {"state": "running"}
    for entry in record["stages"]:
        entry["state"] = "cached" if entry["name"] in ("download", "clean") else "done"
    write_run(store, record)
    states = states_under_way(store, keys)
    assert [name for name, state in states.items() if state == "cached"] == ["download", "clean"]
    assert states_under_way(store, keys | {"pack": "another"}) == {}
    store.remove("runs/at-work.json")
    manifests = {n: m.artifact.manifest for n, m in finished.items() if n != "publish"}
    told = collect_circumstances(manifests, states)
    assert [stage["name"] for stage in told["stages"] if stage["is_found"]] == ["download", "clean"]


@pytest.fixture(scope="module")
def model(finished: dict[str, Outcome]) -> Path:
    publish = finished["publish"].artifact
    return Path(publish.store.url(f"{publish.folder}/model"))


def test_the_snippets_of_the_card_run_as_they_are_pasted(model: Path) -> None:
    """In the model's folder: guesses for the example, and a vector for each text."""
    card = (model / "README.md").read_text(encoding="utf-8")
    assert 'fill("Return the <mask> of the list.")' in card
    snippets = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    code = "\n".join([*snippets, "print(vectors.shape)"])
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=model, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [bool(re.fullmatch(r"'.*' 0\.\d{3}", line)) for line in told] == [True] * 5 + [False]
    assert told[-1] == "torch.Size([2, 64])"


def test_the_recipe_is_a_few_rows_in_the_card_and_whole_beside_it(
    config: Config, model: Path
) -> None:
    """In the words of the config, with the steps that were worked out; each can be typed."""
    card = (model / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z._]+)` \| (.*) \|$", card, re.MULTILINE))
    assert 10 < len(rows) < 18
    assert (rows["clean.dedup.exact"], rows["pretrain.steps"]) == ("true", "2")
    assert "None" not in rows.values()
    record = json.loads((model / "recipe.json").read_text())
    known = flatten(config.model_dump(mode="json", by_alias=True))
    assert record["fields"].keys() >= rows.keys()
    assert record["fields"].keys() <= known.keys()
    assert record["resolved"] == {"pretrain.precision": "fp32", "pretrain.steps": 2}


def test_its_config_says_what_dropout_the_weights_are_used_to(
    config: Config, model: Path, tmp_path: Path
) -> None:
    """None in this pretraining; stock's own 0.1 is noise that they have never met."""
    known = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert config.pretrain.dropout == 0.0
    assert (known["hidden_dropout_prob"], known["attention_probs_dropout_prob"]) == (0.0, 0.0)
    noisy = pretrained(dropout=0.25)
    assert noisy.dropout == 0.25
    shutil.copy(model / "config.json", tmp_path)
    say_dropout(tmp_path, 0.25)
    changed = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert changed == known | dict.fromkeys(
        ("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.25
    )


def pretrained(dropout: float, **model: Any) -> TrainedModel:
    """A pretraining's hand-over that knows its config alone."""
    config = {"pretrain": {"dropout": dropout}, "model": model or {"width": 16}}
    artifact: Any = SimpleNamespace(manifest={"config": config})
    return TrainedModel(artifact)


def test_what_went_on_from_another_model_leaves_its_word() -> None:
    """A few steps without dropout do not make noise new to what another has long learnt in it."""
    gone_on: Any = SimpleNamespace(manifest={"config": {"pretrain": {"dropout": 0.0}, "model": {}}})
    assert TrainedModel(gone_on).dropout is None


def test_the_slow_tokenizers_files_give_the_same_ids(model: Path, tmp_path: Path) -> None:
    """vocab.json and merges.txt alone, as programs without the `tokenizers` library read them."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(model / name, tmp_path / name)
    text = "In the harbour the storm <mask> a rope, 12 times: é\n"
    assert load_tokenizer(tmp_path).encode(text).ids == load_tokenizer(model).encode(text).ids
