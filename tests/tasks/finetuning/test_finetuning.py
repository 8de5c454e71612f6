"""Fine-tuning whole: it learns each task, stock agrees, a killed one ends in the same bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_finetuning import THINGS, alone_config, sentences, write_jsonl
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline

from roberta_model.inference.reading import Columns
from tasks.engine.progress import Progress
from tasks.engine.runner import identify
from tasks.errors import StageError, UserError
from tasks.finetuning import alone, trying
from tasks.finetuning.alone import fine_tune_folder, unfinished
from tasks.finetuning.choices import Adapted
from tasks.finetuning.dev_scores import score_dev
from tasks.finetuning.items import Item
from tasks.finetuning.predictor import Predictor

Tuned = tuple[Path, dict[str, Any]]


def tune(model: Path, out: Path, **settings: Any) -> dict[str, Any]:
    return fine_tune_folder(alone_config(model, **settings), out, Progress())


@pytest.fixture(scope="module")
def classifier(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Good and bad sentences, told apart."""
    folder = tmp_path_factory.mktemp("classifier")
    files = {}
    for seed, (part, count) in enumerate((("train", 160), ("dev", 60), ("test", 60))):
        rows = [{"sentence": text, "label": label} for text, label in sentences(count, seed)]
        files[part] = str(write_jsonl(folder / f"{part}.jsonl", rows))
    found = tune(model_folder, folder / "out", task="classify", **files)
    return folder / "out", found


def test_it_learns_and_says_so(classifier: Tuned) -> None:
    """On text that chose nothing, far above the commonest class; label names are kept."""
    folder, found = classifier
    assert found["labels"] == ["bad", "good"]
    assert found["columns"] == "sentence -> label"
    assert found["scores"]["test"]["metrics"]["accuracy"]["value"] > 0.9
    assert found["baselines_on"]["test"]["commonest"]["accuracy"] < 0.65
    assert np.sum(found["scores"]["dev"]["confusion"]) == found["rows"]["dev"] == 60
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["RobertaForSequenceClassification"]
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert not unfinished(folder).exists()
    assert "accuracy (decides)" in (folder / "README.md").read_text(encoding="utf-8")


def test_stocks_pipeline_gives_the_same_answers(classifier: Tuned) -> None:
    """The same classes, and the same probabilities within 1e-4."""
    folder, _ = classifier
    texts = [text for text, _ in sentences(20, 9)]
    stock = pipeline("text-classification", model=str(folder))(texts)
    ours = Predictor(folder)([Item("", text, None, None) for text in texts])
    assert [each["label"] for each in stock] == [each["label"] for each in ours]
    shares = [each["score"] for each in ours]
    assert [each["score"] for each in stock] == pytest.approx(shares, abs=1e-4)


@pytest.mark.slow
def test_shuffled_labels_give_chance(model_folder: Path, tmp_path: Path) -> None:
    """What has no rule cannot be learnt: on unseen text it is a coin's guess."""
    rng = np.random.default_rng(1)
    files = {}
    for seed, part in enumerate(("train", "dev", "test")):
        rows = [
            {"text": text, "label": int(rng.integers(2))} for text, _ in sentences(120, seed + 5)
        ]
        files[part] = str(write_jsonl(tmp_path / f"{part}.jsonl", rows))
    found = tune(model_folder, tmp_path / "out", task="classify", epochs=1, **files)
    accuracy = found["scores"]["test"]["metrics"]["accuracy"]
    assert accuracy["low"] < 0.5 < accuracy["high"]


@pytest.mark.slow
def test_what_was_stopped_at_any_epoch_ends_in_the_same_bytes(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of scoring, with dropout and two seeds."""
    few = Path(sentiment["train"]).read_text(encoding="utf-8").splitlines()[:48]
    Path(sentiment["train"]).write_text("\n".join(few) + "\n", encoding="utf-8")
    settings: dict[str, Any] = {
        **sentiment,
        "task": "classify",
        "epochs": 2,
        "dropout": 0.1,
        "seeds": 2,
    }
    whole = tune(model_folder, tmp_path / "whole", **settings)
    usual = score_dev
    for stop_at in (2,):
        calls = 0

        def interrupted(*args: Any, stop_at: int = stop_at, **values: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            return usual(*args, **values)

        interrupted.__name__ = "score_dev"
        with monkeypatch.context() as patch:
            patch.setattr(trying, "score_dev", interrupted)
            with pytest.raises(KeyboardInterrupt):
                tune(model_folder, tmp_path / "cut", **settings)
        assert not (tmp_path / "cut").exists()
    again = tune(model_folder, tmp_path / "cut", **settings)
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert again["scores"] == whole["scores"]
    assert again["tried"] == whole["tried"]
    assert [one["seed"] for one in whole["tried"]] == [0, 1]
    for one in whole["tried"]:
        rate = one["learning_rate"]
        taken = tuple(one[name] for name in Adapted._fields)
        assert taken == (pytest.approx(10 * rate), pytest.approx(5 * rate), "uniform", 0.1)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_words_are_tagged(model_folder: Path, tmp_path: Path) -> None:
    """Things and their kinds, in rows longer than the model reads; stock agrees by word."""
    rng = np.random.default_rng(2)

    def rows(count: int, seed: int) -> list[dict[str, Any]]:
        drawn = [text.split() for text, _ in sentences(count, seed)]
        long = [[*words] * int(rng.integers(1, 8)) for words in drawn]
        return [
            {"tokens": words, "tags": ["B-THING" if w in THINGS else "O" for w in words]}
            for words in long
        ]

    files = {
        part: str(write_jsonl(tmp_path / f"{part}.jsonl", rows(60, seed)))
        for seed, part in enumerate(("train", "dev"))
    }
    found = tune(model_folder, tmp_path / "out", task="tag", **files)
    assert found["metric"] == "f1"
    assert found["scores"]["dev"]["metrics"]["f1"]["value"] > 0.9
    words = ["the", "song", "was", "dull", "today"]
    (ours,) = Predictor(tmp_path / "out")([Item("", words, None, None)])
    stock = pipeline("token-classification", model=str(tmp_path / "out"))(" ".join(words))
    by_word = {each["word"].lstrip("Ġ"): each["entity"] for each in stock}
    assert ours["tags"] == [by_word.get(word, "O") for word in words]


@pytest.mark.slow
def test_numbers_are_learnt(model_folder: Path, tmp_path: Path) -> None:
    files = {}
    for seed, part in enumerate(("train", "dev")):
        rows = [
            {"text": text, "score": 1.5 if label == "good" else -0.5}
            for text, label in sentences(160, seed)
        ]
        files[part] = str(write_jsonl(tmp_path / f"{part}.jsonl", rows))
    found = tune(model_folder, tmp_path / "out", task="regress", **files)
    assert found["scores"]["dev"]["metrics"]["pearson"]["value"] > 0.8
    (value,) = Predictor(tmp_path / "out")([Item("", "the film was kind today", None, None)])
    stock = pipeline("text-classification", model=str(tmp_path / "out"), function_to_apply="none")
    (expected,) = stock("the film was kind today")
    assert value["value"] == pytest.approx(expected["score"], abs=1e-4)


@pytest.mark.slow
def test_several_classes_and_pairs(model_folder: Path, tmp_path: Path) -> None:
    """A pair of texts with any number of classes, from a table whose cells hold several."""
    files = {}
    for seed, part in enumerate(("train", "dev")):
        first, second = sentences(200, seed), sentences(200, seed + 50)
        lines = ["sentence1\tsentence2\tlabels"]
        for (text, label), (other, kind) in zip(first, second, strict=True):
            both = (("first", label == "good"), ("second", kind == "good"))
            names = [name for name, is_so in both if is_so]
            lines.append(f"{text}\t{other}\t{'|'.join(names) or 'none'}")
        path = tmp_path / f"{part}.tsv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files[part] = str(path)
    found = tune(model_folder, tmp_path / "out", task="pair", separator="|", **files)
    assert found["labels"] == ["first", "none", "second"]
    assert found["metric"] == "f1"
    assert found["scores"]["dev"]["metrics"]["f1"]["value"] > 0.6


def test_answers_are_found_in_long_contexts(model_folder: Path, tmp_path: Path) -> None:
    """SQuAD's format; the context is several windows long; stock's logits lead to the same span."""
    files = {}
    for seed, part in enumerate(("train", "dev")):
        articles = []
        for number, (text, _) in enumerate(sentences(80, seed)):
            filler = " ".join("abcdefg"[(number + n) % 7] for n in range(60))
            before = filler[: (number % 3) * 50]
            context = f"{before} {text} {filler}".strip()
            answer = text.split()[3]
            qa = {
                "id": str(number),
                "question": f"how was the {text.split()[1]}",
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            articles.append({"title": "t", "paragraphs": [{"context": context, "qas": [qa]}]})
        path = tmp_path / f"{part}.json"
        path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
        files[part] = str(path)
    out = tmp_path / "out"
    found = tune(model_folder, out, task="qa", stride=16, epochs=8, **files)
    f1 = found["scores"]["dev"]["metrics"]["f1"]["value"]
    assert f1 > found["baselines_on"]["dev"]["likeliest sentence"]["f1"]
    assert f1 > 0.7
    question, context = "how was the song", "the song was grim today"
    (ours,) = Predictor(out)([Item("", question, context, None)])
    tokenizer = AutoTokenizer.from_pretrained(out)
    inputs = tokenizer(question, context, return_tensors="pt")
    with torch.inference_mode():
        logits = AutoModelForQuestionAnswering.from_pretrained(out)(**inputs)
    start, end = int(logits.start_logits.argmax()), int(logits.end_logits.argmax())
    assert str(tokenizer.decode(inputs.input_ids[0, start : end + 1])).strip() == ours["answer"]
    assert ours["answer"] == "grim"
    assert context[ours["start"] :].startswith(ours["answer"])


BAD_DATA = [
    ([{"text": "a", "label": "x"}, {"text": "b", "label": None}], "line 2: there is no label"),
    ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "only the label 'x'"),
    ([{"text": "a"}, {"text": "b"}], "which column holds the label"),
    ([{"words": "a", "label": 1}], "which column holds the text"),
    ([{"text": 5, "label": 1}, {"text": "b", "label": 2}], "holds '5', not text"),
    ([{"text": "a", "label": "x"}, {"label": "y"}], "line 2: there is no 'text'"),
]


@pytest.mark.parametrize(("rows", "told"), BAD_DATA)
def test_bad_data_are_told_in_one_paragraph(
    model_folder: Path, tmp_path: Path, rows: list[dict[str, Any]], told: str
) -> None:
    bad = str(write_jsonl(tmp_path / "train.jsonl", rows))
    with pytest.raises(UserError, match=told) as problem:
        tune(model_folder, tmp_path / "out", task="classify", train=bad, dev=bad)
    assert "\n" not in str(problem.value)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"], "something is left"


def test_what_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    """A folder with anything in it is somebody's, and a file is."""
    (mine := tmp_path / "mine").write_text("mine")
    for out in (tmp_path, mine):
        with pytest.raises(UserError, match="something is there already"):
            tune(tmp_path, out, task="classify", train="train", dev="dev")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_label_that_training_does_not_know_is_named(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    dev = write_jsonl(tmp_path / "new.jsonl", [{"sentence": "a", "label": "odd"}])
    files = {**sentiment, "dev": str(dev)}
    with pytest.raises(UserError, match=r"new.jsonl, line 1: the label 'odd' is not among"):
        tune(model_folder, tmp_path / "out", task="classify", **files)


def test_an_empty_dev_set_and_a_broken_line(
    model_folder: Path, sentiment: dict[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"empty.jsonl holds no rows"):
        tune(model_folder, tmp_path / "out", task="classify", **{**sentiment, "dev": str(empty)})
    broken = tmp_path / "broken.jsonl"
    lines = Path(sentiment["train"]).read_text(encoding="utf-8").splitlines()
    lines[99] = lines[99][:-5]
    broken.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"broken.jsonl, line 100: this is not JSON"):
        tune(model_folder, tmp_path / "out", task="classify", **{**sentiment, "train": str(broken)})
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes("\n".join([*lines[:99], '{"sentence": "schön"}']).encode("latin-1"))
    told = (
        r"latin.jsonl, line 100: byte [\d,]+ \(f6\) is not valid utf-8\. .*`iconv -f NAME -t UTF-8`"
    )
    with pytest.raises(UserError, match=told):
        tune(model_folder, tmp_path / "out", task="classify", **{**sentiment, "train": str(latin)})
    assert not unfinished(tmp_path / "out").exists()


def test_what_was_begun_otherwise_is_not_gone_on_with_in_silence(
    model_folder: Path,
    sentiment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By other data or settings, or by a version that made it in another way."""

    def cut_off(stage: Any, config: Any, store: Any, **_: Any) -> None:
        store.write(f"{stage.folder}/{identify(stage, config, {}).key}/units/x.json", b"{}")
        raise StageError("cut off")

    monkeypatch.setattr(alone, "run_stage", cut_off)
    for epochs, is_said in ((1, False), (1, False), (2, True)):
        with pytest.raises(StageError, match="cut off"):
            tune(model_folder, tmp_path / "out", task="classify", epochs=epochs, **sentiment)
        assert ("begun with other data or settings" in caplog.text) == is_said


def test_windows_hold_every_token_and_find_the_answer(model_folder: Path) -> None:
    """Of a context several windows long each token is in one, and offsets are characters of it."""
    from tasks.finetuning.encoding import ItemEncoder
    from tasks.inference.model_folder import load_tokenizer

    encoder = ItemEncoder(load_tokenizer(model_folder), 24, 6)
    context = "  the film was   fine today, the garden «grim» and the letter cold. " * 4
    item = Item("", " how was it ?", context, None)
    windows = encoder.windows(item)
    assert len(windows) > 3
    seen = {n for window in windows for a, b in window.spans for n in range(a, b)}
    assert seen == {n for n, character in enumerate(context) if not character.isspace()}
    start = context.index("garden")
    places = [(w, place) for w in windows if (place := w.place(start, start + 6)) is not None]
    assert places
    for window, (first, last) in places:
        a, b = window.spans[first - window.first][0], window.spans[last - window.first][1]
        assert context[a:b] == "garden"
        assert len(window.ids) <= 24


def test_columns_named_by_hand_win(model_folder: Path, tmp_path: Path) -> None:
    from tasks.config.downstream import ColumnsConfig
    from tasks.finetuning.items import find_columns

    row = {"text": "a", "title": "b", "label": 1, "topic": 2}
    given = ColumnsConfig(text="title", label="topic")
    assert find_columns("classify", row, given, "f", labelled=True) == Columns(
        "title", None, "topic"
    )
    with pytest.raises(UserError, match=r"no column 'titel' \(columns.text\)"):
        find_columns("classify", row, ColumnsConfig(text="titel"), "f", labelled=True)
