"""Cloze facts: ranks against a naive loop over stock, ties, and what is counted apart."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from byte_models import TOKENS, byte_model, constant_model
from transformers import RobertaForMaskedLM

from tasks.config import EngineConfig
from tasks.config.suite import Suite
from tasks.engine.stores import open_store
from tasks.errors import UserError
from tasks.stages.evaluate_suite import evaluate_folder

FACTS = [
    ("Dante died in [MASK].", "Rom", "place"),
    ("Bach died in [MASK].", "Ulm", "place"),
    ("Kant died in [MASK] .", "Bonn", "place"),
    ("It is <mask>.", "a", "letter"),
    ("It is [MASK]!", "b", "letter"),
    ("No[MASK]t", "r", "letter"),
]


def write(path: Path, facts: list[tuple[str, str, str]], **more: Any) -> Path:
    records = [
        {"masked_sentences": [sentence], "obj_label": answer, "relation": relation, **more}
        for sentence, answer, relation in facts
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def ask(model: Path, data: Path, **settings: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The task's summary and its record of the facts."""
    task = {"task": "cloze", "name": "facts", "data": str(data), **settings}
    suite = Suite.model_validate({"name": "s", "tasks": [task]})
    store = open_store(str(data.parent / "store"))
    artifact = evaluate_folder(model, suite, store, engine=EngineConfig(workers=1)).artifact
    (path, file), *_ = artifact.outputs
    assert path == f"facts/{data.name.split('.')[0]}.json"
    return artifact.summary["tasks"]["facts"], json.loads(file.local().read_text())


@torch.inference_mode()
def naive_score(stock: RobertaForMaskedLM, sentence: str, candidate: str) -> float:
    """The mean log-probability of a candidate's bytes, each at a mask of its own."""
    before, after = sentence.replace("[MASK]", "<mask>").split("<mask>")
    spelt = candidate if not before.endswith(" ") else f" {candidate}"
    before = before.rstrip(" ")  # RoBERTa's mask takes the space before it

    def ids(text: str) -> list[int]:
        return [TOKENS.index({" ": "Ġ"}.get(letter, letter)) for letter in text]

    wanted, mask_id = ids(spelt), TOKENS.index("<mask>")
    row = [0, *ids(before), *[mask_id] * len(wanted), *ids(after), 2]
    start = 1 + len(before)
    values = stock(input_ids=torch.tensor([row])).logits[0].double().log_softmax(dim=-1)
    found = [float(values[start + k, token]) for k, token in enumerate(wanted)]
    return sum(found) / len(found)


def test_ranks_are_those_of_a_naive_loop_over_stock(tmp_path: Path) -> None:
    """Answers of two to five tokens beside one another, by relation, one prompt a time."""
    model = byte_model(tmp_path / "model", seed=3)
    stock = RobertaForMaskedLM.from_pretrained(model).eval()
    summary, record = ask(model, write(tmp_path / "facts.jsonl", FACTS))
    right = 0
    for (sentence, answer, relation), found in zip(FACTS, record, strict=True):
        pool = {other for _, other, its in FACTS if its == relation}
        scores = {other: naive_score(stock, sentence, other) for other in pool}
        if relation == "place":  # the others' candidates are spelt in more than one way
            rank = sum(score >= scores[answer] for score in scores.values())
            assert (found["candidates"], found["pool"]) == (rank, 3)
            right += rank == 1
    places = summary["relations"]["place"]["candidates"]
    assert places["facts"] == 3
    assert places["at_1"]["precision"] == pytest.approx(right / 3)
    assert places["at_1"]["chance"] == pytest.approx(1 / 3)
    assert places["at_5"]["precision"] == places["at_5"]["chance"] == 1
    mean = sum(each["candidates"]["at_1"]["precision"] for each in summary["relations"].values())
    assert summary["candidates"]["at_1"]["precision"] == pytest.approx(mean / 2)


def test_an_answer_of_one_token_has_a_rank_among_all_tokens(tmp_path: Path) -> None:
    """As LAMA counts; one of several has none."""
    model = byte_model(tmp_path / "model", seed=3)
    stock = RobertaForMaskedLM.from_pretrained(model).eval()
    _, record = ask(model, write(tmp_path / "facts.jsonl", [("No[MASK]t", "r", "x"), *FACTS[:1]]))
    scores = [naive_score(stock, "No[MASK]t", token) for token in TOKENS[4:-1] if len(token) == 1]
    own = naive_score(stock, "No[MASK]t", "r")
    higher = sum(score >= own for score in scores)
    assert higher <= record[0]["vocabulary"] <= higher + 5  # the five special tokens
    assert record[1]["vocabulary"] is None
    assert record[1]["tokens"] == 4


def test_a_constant_model_knows_no_fact(tmp_path: Path) -> None:
    """All candidates tie: none is first, in either ranking."""
    model = constant_model(tmp_path / "model")
    summary, record = ask(model, write(tmp_path / "facts.jsonl", FACTS))
    assert summary["candidates"]["at_1"]["precision"] == 0
    assert summary["vocabulary"]["at_10"]["precision"] == 0
    assert [each["candidates"] for each in record[:3]] == [3, 3, 3]


def test_a_relation_with_one_answer_asks_nothing(tmp_path: Path) -> None:
    """What has no other candidate would always be first, for a constant model too."""
    facts = [("A died in [MASK].", "Rom", "place"), ("B died in [MASK].", "Rom", "place")]
    summary, record = ask(byte_model(tmp_path / "m"), write(tmp_path / "facts.jsonl", facts))
    assert (summary["facts"], summary["not_asked"]) == (0, 2)
    assert record[0]["candidates"] is None


def test_what_is_not_asked_is_counted_apart(tmp_path: Path) -> None:
    """Two masks or none, a sentence that is too long, an answer of too many tokens."""
    model = byte_model(tmp_path / "model")
    odd = [("[MASK] is [MASK]", "a", "place"), ("nothing", "a", "place")]
    long = [("word " * 30 + "[MASK]", "Rom", "place"), ("It is [MASK].", "m" * 20, "place")]
    alone, _ = ask(model, write(tmp_path / "facts.jsonl", FACTS))
    summary, _ = ask(model, write(tmp_path / "more.jsonl", [*odd, *FACTS, *long]))
    assert (summary["unusable"], summary["not_asked"], summary["facts"]) == (2, 2, 6)
    assert summary["candidates"] == alone["candidates"]
    few, _ = ask(model, tmp_path / "facts.jsonl", max_facts=2, answer_field="obj_label")
    assert few["facts"] == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"masked_sentence": "A [MASK]."}', "line 1: a fact has .*obj_label"),
        ('{"masked_sentences": [], "obj_label": "a"}', "line 1: a fact has a sentence"),
        ('{"masked_sentence": "none", "obj_label": "a"}', "holds no facts"),
        ("", "holds no facts"),
    ],
)
def test_what_is_no_fact_is_told(line: str, said: str, tmp_path: Path) -> None:
    """With file and line."""
    (tmp_path / "facts.jsonl").write_text(f"{line}\n")
    with pytest.raises(UserError, match=f"tasks.facts.data: facts.*{said}"):
        ask(byte_model(tmp_path / "model"), tmp_path / "facts.jsonl")


def test_lamas_own_files_are_read_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    """Sentences and lists of them, relations in files and in fields; guessing is near chance."""
    model = byte_model(tmp_path / "model", row_tokens=256)
    lama = shared_data / "eval" / "lama"
    for name, relations in (("trex/P103", 1), ("conceptnet", 5), ("google_re_place_of_birth", 1)):
        (tmp_path / Path(name).name).mkdir()
        data = tmp_path / Path(name).name / f"{Path(name).name}.jsonl.gz"
        data.write_bytes((lama / f"{name}.jsonl.gz").read_bytes())
        summary, _ = ask(model, data, max_facts=30, max_answer_tokens=12)
        assert len(summary["relations"]) >= relations
        assert 20 <= summary["facts"] + summary["not_asked"] <= 30
        assert summary["facts"] > 20
        found = summary["candidates"]["at_1"]
        assert found["interval"]["low"] <= found["precision"] <= found["interval"]["high"]
