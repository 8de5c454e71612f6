"""A model trained on rows without <s> and </s> never meets them: here, in stock, on its pages."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipeline import run_all, write_config
from tokenizers import Tokenizer

from tasks.config.load import load_config
from tasks.engine.runner import Outcome
from tasks.inference.fill_mask import fill_mask
from tasks.inference.model_folder import load_folder, load_for_use
from tasks.publishing.export import export_folder

TEXTS = ["Return the <mask> of the list.", "A <mask> and a<mask>", "Größe: <mask>.\n<mask>"]
LINES = ["Return the value.", "Größe  zwei", "x"]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A tiny run on rows without special tokens, with pairs of which one is too long."""
    folder = tmp_path_factory.mktemp("none")
    pairs = [("the list is empty", "the list are empty"), ("a b", "b a"), ("a", "the " * 90)]
    lines = [json.dumps({"sentence_good": good, "sentence_bad": bad}) for good, bad in pairs]
    (folder / "blimp").mkdir()
    (folder / "blimp" / "agreement.jsonl").write_text("\n".join(lines))
    config = write_config(
        folder, pack={"special_tokens": "none"}, evaluate={"blimp": {"data": f"{folder}/blimp"}}
    )
    return run_all(load_config(str(config)))


@pytest.fixture(scope="module")
def published(outcomes: dict[str, Outcome]) -> Path:
    """The model folder of that run."""
    artifact = outcomes["publish"].artifact
    return Path(artifact.store.url(f"{artifact.folder}/model"))


@pytest.fixture(scope="module")
def trained(outcomes: dict[str, Outcome]) -> Tokenizer:
    """The tokenizer that the training rows were made with."""
    tokenizer = outcomes["tokenizer"].artifact.file("tokenizer/tokenizer.json")
    return Tokenizer.from_file(str(tokenizer.local()))


def test_texts_get_the_ids_of_the_training_rows(published: Path, trained: Tokenizer) -> None:
    """In stock and here, of one text and of two; no token types that the model has not."""
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(published)
    _, ours = load_folder(published)
    for text in (*TEXTS, *LINES):
        expected = trained.encode(text, add_special_tokens=False).ids
        assert stock(text)["input_ids"] == ours.encode(text).ids == expected
        assert not {0, 2} & set(expected)
    first, second = (trained.encode(text, add_special_tokens=False).ids for text in LINES[:2])
    assert stock(*LINES[:2])["input_ids"] == first + second
    settings = json.loads((published / "tokenizer_config.json").read_text())
    assert (
        settings["model_input_names"] == list(stock(*LINES[:2])) == ["input_ids", "attention_mask"]
    )
    assert stock.model_max_length == 64
    assert (stock.mask_token_id, stock.pad_token_id) == (trained.token_to_id("<mask>"), 1)


@torch.inference_mode()
def test_guesses_are_stocks_on_those_ids(published: Path, trained: Tokenizer) -> None:
    """Of the stock pipeline, and of stock's model on the bare ids."""
    from transformers import RobertaForMaskedLM, pipeline

    stock = pipeline("fill-mask", model=str(published), top_k=5)
    model = RobertaForMaskedLM.from_pretrained(published).eval()
    for text in TEXTS:
        found = fill_mask(published, text)
        answer = stock(text)
        expected = answer if isinstance(answer[0], list) else [answer]
        ids_T = torch.tensor(trained.encode(text, add_special_tokens=False).ids)
        logits_TV = model(input_ids=ids_T[None]).logits[0]
        bare = logits_TV[ids_T == trained.token_to_id("<mask>")].softmax(dim=-1).topk(5)
        assert [[guess["id"] for guess in row] for row in found] == bare.indices.tolist()
        for mine, theirs, scores in zip(found, expected, bare.values.tolist(), strict=True):
            assert [guess["id"] for guess in mine] == [guess["token"] for guess in theirs]
            assert [guess["score"] for guess in mine] == pytest.approx(scores, abs=1e-5)


@torch.inference_mode()
def test_line_scores_are_of_the_bare_ids(published: Path, trained: Tokenizer) -> None:
    """One mask at a time over stock's model, from the first token of a line to its last."""
    from transformers import RobertaForMaskedLM

    model = RobertaForMaskedLM.from_pretrained(published).eval()
    for line, found in zip(LINES, load_for_use(published, device="cpu").score(LINES), strict=True):
        ids = trained.encode(line, add_special_tokens=False).ids
        total = 0.0
        for place, target in enumerate(ids):
            masked = [*ids[:place], trained.token_to_id("<mask>"), *ids[place + 1 :]]
            logits_V = model(input_ids=torch.tensor([masked])).logits[0, place].double()
            total += logits_V.log_softmax(dim=0)[target].item()
        assert found["tokens"] == len(ids)
        assert found["score"] == pytest.approx(total, abs=1e-4)


def test_the_evaluation_reads_texts_the_same_way(
    outcomes: dict[str, Outcome], published: Path
) -> None:
    """The report's examples are those of the published folder, and pairs are line scores."""
    summary = outcomes["evaluate"].artifact.summary
    (example,) = summary["examples"]
    for told, guess in zip(example["top"], fill_mask(published, example["text"])[0], strict=True):
        assert (told["id"], told["token"]) == (guess["id"], guess["token"])
        assert told["score"] == pytest.approx(guess["score"], abs=1e-6)
    scored = outcomes["evaluate"].artifact.file("blimp/agreement.json").local().read_text()
    pair: Any = json.loads(scored)["scores"][0]
    lines = load_for_use(published, device="cpu").score(["the list is empty", "the list are empty"])
    assert pair == pytest.approx([line["score"] for line in lines], abs=1e-4)


def test_a_copy_agrees_with_stock_and_leaves_the_trained_files_alone(
    outcomes: dict[str, Outcome], published: Path, tmp_path: Path
) -> None:
    """The export gate holds; the stored tokenizer, to which folders link, is what it was."""
    found = export_folder(published, tmp_path / "copy")
    assert found["largest_difference"] < 1e-4
    assert outcomes["tokenizer"].artifact.damaged() == {}


def test_the_card_and_the_report_say_what_a_reader_must_know(
    outcomes: dict[str, Outcome], published: Path
) -> None:
    """No special tokens; and the pair that was too long is not silently missing."""
    card = (published / "README.md").read_text(encoding="utf-8")
    report = outcomes["publish"].artifact.file("report.html").local().read_text(encoding="utf-8")
    assert "held no `<s>` and `</s>`" in card
    assert "`RobertaTokenizer` would always add them" in card
    assert "1 pair too long for the model, not scored" in card
    assert "Not scored: 1 pair, longer than the model can read" in report
    assert outcomes["evaluate"].artifact.summary["blimp"]["too_long"] == 1
