"""What a report and a card show is in the key of publish; when and where it was made is not."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_corpus import small_config, write_texts
from tiny_pipeline import TINY, digests, run_all

from tasks.config import Config
from tasks.engine.identity import flatten
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stores import open_store
from tasks.inference.model_folder import load_tokenizer
from tasks.inspection.plan import make_plan
from tasks.stages import get_stage

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


def test_the_cards_count_what_was_trained_on(finished: dict[str, Outcome]) -> None:
    """Documents that are held out, and their tokens, are no training data."""
    report = page(finished, "report.html")
    clean, pack = finished["clean"].artifact.summary, finished["pack"].artifact.summary
    assert clean["held_out"]["documents"] > 0
    for figure, label in (
        (clean["train"]["documents"], "training documents"),
        (pack["train"]["tokens"], "tokens in a pass"),
    ):
        assert f"<b>{figure:,}</b><span>{label}</span>" in report


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


def test_the_slow_tokenizers_files_give_the_same_ids(model: Path, tmp_path: Path) -> None:
    """vocab.json and merges.txt alone, as programs without the `tokenizers` library read them."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(model / name, tmp_path / name)
    text = "In the harbour the storm <mask> a rope, 12 times: é\n"
    assert load_tokenizer(tmp_path).encode(text).ids == load_tokenizer(model).encode(text).ids
