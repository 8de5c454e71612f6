"""The whole pipeline on real text, by the stages alone: bytes, ledger, reuse, repair."""

import copy
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_pipeline import digests, run_all, run_record, write_config

from flows.commands.use import fill_mask as fill_mask_command
from roberta_model.config import ModelConfig
from roberta_model.data.masking import MaskingTables
from roberta_model.data.rows import PackedRows
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.scoring import masked_loss
from tasks.config import Config, PublishConfig
from tasks.config.load import load_config
from tasks.engine.progress import Progress
from tasks.engine.runner import Outcome
from tasks.engine.stores import open_store
from tasks.inspection.ledger_path import ledger_of
from tasks.inspection.plan import explain, make_plan
from tasks.inspection.runs import write_run
from tasks.inspection.verify import find_damage, repair
from tasks.publishing.circumstances import collect_circumstances
from tasks.publishing.figures import collect_figures
from tasks.publishing.render import render_report
from tasks.stages import STAGE_NAMES

Finished = tuple[Config, dict[str, Outcome]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One undisturbed run of all stages."""
    config = load_config(str(write_config(tmp_path_factory.mktemp("pipeline"))))
    outcomes = run_all(config)
    store = open_store(config.store)
    write_run(store, run_record(config, outcomes))
    return config, outcomes


def changed(config: Config, **changes: Any) -> Config:
    values = config.model_dump(mode="json", by_alias=True)
    for path, value in changes.items():
        place = values
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return Config.model_validate(values)


def test_the_ledger_adds_up_from_raw_documents_to_packed_tokens(finished: Finished) -> None:
    """What one stage keeps is what the next takes in, in documents, bytes and tokens."""
    _, outcomes = finished
    ledger = ledger_of({name: made.artifact for name, made in outcomes.items()})
    assert ledger["balanced"]
    assert [stage["name"] for stage in ledger["stages"]][:3] == ["download", "clean", "pack"]
    pack = ledger["stages"][-1]
    row_tokens = outcomes["pack"].artifact.config["row_tokens"]
    assert 0 <= pack["tokens"]["in"] - pack["tokens"]["kept"] < row_tokens


def test_a_second_run_is_cached_throughout(finished: Finished) -> None:
    """Nothing changed, so nothing runs; `plan` says the same."""
    config, outcomes = finished
    assert {plan.action for plan in make_plan(config, open_store(config.store))} == {"cached"}
    again = run_all(config)
    assert {made.state for made in again.values()} == {"cached"}
    assert digests(again) == digests(outcomes)


@pytest.mark.parametrize(
    ("field", "value", "first"),
    [
        ("pack__row_tokens", 32, "pack"),
        ("pretrain__steps", 9, "pretrain"),
        ("evaluate__examples", ["A <mask>."], "evaluate"),
        ("publish__licence", "apache-2.0", "publish"),
        ("tokenizer__vocab_size", 900, "tokenizer"),
    ],
)
def test_a_changed_field_wakes_exactly_the_stages_it_concerns(
    finished: Finished, field: str, value: Any, first: str
) -> None:
    """The plan says which stages run and names the field; those before it stay cached."""
    config, _ = finished
    store = open_store(config.store)
    plans = make_plan(changed(config, **{field: value}), store)
    actions = {plan.name: plan.action for plan in plans}
    position = STAGE_NAMES.index(first)

    assert all(actions[name] == "cached" for name in STAGE_NAMES[:position])
    assert actions[first] == "run"
    (plan,) = (plan for plan in plans if plan.name == first)
    assert any(field.split("__")[-1] in why and "->" in why for why in plan.why), plan.why
    told = explain(changed(config, **{field: value}), store, first)
    assert any(field.split("__")[-1] in d["field"] for d in told["differences"])


def test_a_flipped_byte_anywhere_is_named_and_repaired_to_the_same_bytes(
    finished: Finished,
) -> None:
    """One file of every stage is damaged; repair redoes only those units."""
    config, outcomes = finished
    store = open_store(config.store)
    before = {}
    damaged = []
    for name, made in outcomes.items():
        path, file = made.artifact.outputs[-1]
        place = file.local()
        before[place] = place.read_bytes()
        content = bytearray(before[place])
        content[len(content) // 2] ^= 0x10
        place.unlink()
        place.write_bytes(bytes(content))
        damaged.append((name, f"{made.artifact.folder}/{path}"))

    found = find_damage(store)
    assert [(entry["stage"], entry["path"]) for entry in found] == damaged
    repair(store, found, None, Progress())

    for place, was in before.items():
        assert place.read_bytes() == was, place
    assert find_damage(store) == []
    assert {made.state for made in run_all(config).values()} == {"cached"}


def test_the_published_folder_is_a_stock_model(finished: Finished) -> None:
    """Stock transformers loads it and its fill-mask pipeline gives our top five."""
    from transformers import pipeline

    from tasks.inference.fill_mask import fill_mask

    _, outcomes = finished
    publish = outcomes["publish"].artifact
    folder = Path(publish.store.url(f"{publish.folder}/model"))
    text = "Return the <mask> of the list."
    stock = pipeline("fill-mask", model=str(folder), top_k=5)(text)
    ours = fill_mask(folder, text, top=5)[0]

    assert [guess["token"] for guess in stock] == [guess["id"] for guess in ours]
    for theirs, mine in zip(stock, ours, strict=True):
        assert theirs["score"] == pytest.approx(mine["score"], abs=1e-5)


def test_the_held_out_score_is_told_by_kind_beside_unigram(finished: Finished) -> None:
    """Parts add up to the total; unigram is of the training rows."""
    _, outcomes = finished
    evaluation, pack = outcomes["evaluate"].artifact, outcomes["pack"].artifact
    held_out = evaluation.summary["held_out"]
    kinds = held_out["by_kind"]
    masked = held_out["masked_tokens"]
    assert set(kinds) == {"mask", "random", "kept"}
    assert sum(part["tokens"] for part in kinds.values()) == masked
    for name in ("loss", "accuracy"):
        total = sum(part[name] * part["tokens"] for part in kinds.values())
        assert total / masked == pytest.approx(held_out[name])
    assert kinds["mask"]["tokens"] / masked == pytest.approx(0.8, abs=0.1)

    counts = np.load(pack.file("token_counts.npy").local())
    tables = outcomes["tokenizer"].artifact.file("masking_tables.npz").local()
    rows = PackedRows([file.local() for file in pack.files("held_out/")])
    baseline = masked_loss(
        RobertaMaskedLM(ModelConfig(len(counts), 1, 8, 1, 8, max_row_tokens=64)),
        rows,
        MaskingTables.load(tables),
        token_counts=counts,
        max_rows=32,
    ).unigram
    assert held_out["unigram"]["mask"]["loss"] == pytest.approx(baseline.mask.loss)
    assert held_out["unigram"]["all"]["accuracy"] == pytest.approx(baseline.total.accuracy)
    assert held_out["unigram"]["all"]["perplexity"] == pytest.approx(baseline.total.perplexity)


def test_the_pages_tell_the_held_out_score_by_kind(finished: Finished) -> None:
    """The report and the card hold each figure, and why the total flatters."""
    _, outcomes = finished
    held_out = outcomes["evaluate"].artifact.summary["held_out"]
    publish = outcomes["publish"].artifact
    report, card = (
        publish.file(path).local().read_text(encoding="utf-8")
        for path in ("report.html", "model/README.md")
    )
    for kind, read in (("mask", "<mask>"), ("random", "another, random token")):
        part = held_out["by_kind"][kind]
        unigram = held_out["unigram"].get(kind)
        cells = [f"{part['tokens']:,}", f"{part['perplexity']:,.1f}", f"{part['accuracy']:.1%}"]
        beside = unigram and [f"{unigram['perplexity']:,.1f}", f"{unigram['accuracy']:.1%}"]
        cells += beside or ["–", "–"]
        row = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        assert f"<td>{html.escape(read)}</td>{row}" in report
        shown = f"`{read}`" if kind == "mask" else read
        assert f"| {shown} | {' | '.join(cells)} |\n" in card
    for page in (report, card):
        order = ("another, random token", "the token itself", "all chosen tokens", "total flatters")
        places = [page.index(text) for text in order]
        assert places == sorted(places)


def test_the_report_tells_a_guess_of_white_space_in_words(finished: Finished) -> None:
    """The report of the same figures, had the model guessed a line break."""
    _, outcomes = finished
    manifests = {
        name: copy.deepcopy(dict(made.artifact.manifest))
        for name, made in outcomes.items()
        if name != "publish"
    }
    first, second, *_ = manifests["evaluate"]["summary"]["examples"][0]["top"]
    first["token"], second["token"] = "\n\n", "\ufffd"
    figures = collect_figures("tiny", PublishConfig(), [None], manifests)
    losses = [{"step": step, "loss": 8.0 - step} for step in (1, 2)]
    report = render_report(figures, losses, collect_circumstances(manifests))
    assert "<b>(2 line breaks)</b>" in report
    assert "<b>(part of a character)</b>" in report


def test_fill_mask_tells_white_space_in_words_and_json_keeps_it(finished: Finished) -> None:
    """All tokens of a vocabulary: each on a line of its own, never an empty one."""
    _, outcomes = finished
    publish = outcomes["publish"].artifact
    model = publish.store.url(f"{publish.folder}/model")
    asked = [model, "Return the <mask>.", "--top", "2000"]
    shown = CliRunner().invoke(fill_mask_command, asked).stdout.splitlines()
    told = json.loads(CliRunner().invoke(fill_mask_command, [*asked, "--json"]).stdout)
    tokens = [guess["token"] for guess in told["masks"][0]]

    assert len(shown) == len(tokens) > 1000
    for token, words in (("\n", "(line break)"), (" ", "(space)"), ("\ufffd", "(part of")):
        assert words in shown[tokens.index(token)]


def test_the_published_tokenizer_is_the_one_that_was_trained(finished: Finished) -> None:
    """Byte for byte; only its settings learn how long an input the model takes."""
    _, outcomes = finished
    made, published = outcomes["tokenizer"].artifact, outcomes["publish"].artifact
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        assert published.file(f"model/{name}").sha256 == made.file(f"tokenizer/{name}").sha256
    path = "tokenizer_config.json"
    settings = json.loads(made.file(f"tokenizer/{path}").local().read_text())
    told = json.loads(published.file(f"model/{path}").local().read_text())
    assert told == {**settings, "model_max_length": 64}


def test_the_report_needs_nothing_else(finished: Finished) -> None:
    """One HTML file: its own script, no links out, the figures in it."""
    _, outcomes = finished
    publish = outcomes["publish"].artifact
    page = publish.file("report.html").local().read_text(encoding="utf-8")

    assert "src=" not in page
    without_comments = re.sub(r"\s// \w[^\n]*", "", page)
    assert "//" not in without_comments.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<svg") >= 2
    losses = outcomes["pretrain"].artifact.file("losses.jsonl").local().read_text()
    last = json.loads(losses.splitlines()[-1])
    assert last["step"] in (13, 14)
    assert "tiny" in page
