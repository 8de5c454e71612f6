"""Using a finished model, ours as the pipeline publishes it: against stock, and its refusals."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import our_model, small_config
from tiny_pipeline import run_all, write_config

from roberta_model.huggingface import save_model
from tasks.config.evaluate import MinimalPairsConfig
from tasks.config.load import load_config
from tasks.engine.identity import file_digest
from tasks.engine.units import StoredFile, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.evaluation.device import Device
from tasks.evaluation.minimal_pairs import count_right, score_pairs, summarise_pairs
from tasks.inference.fill_mask import fill_mask
from tasks.inference.model_folder import load_folder, load_for_use
from tasks.inference.over_files import Account, score_windows
from tasks.inference.texts import open_texts
from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

TEXTS = [
    "Return the <mask> of the list.",
    "Return the<mask> of the list.",
    "<mask> the file is closed.",
    "A <mask> of the <mask>, and a <mask>",
    "Größe: <mask>.\n<mask>",
]
PAIRS = [("the list is empty", "the list are empty"), ("it returns a value", "it return a value")]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder that a tiny run publishes."""
    config = load_config(str(write_config(tmp_path_factory.mktemp("inference"))))
    publish = run_all(config)["publish"].artifact
    return Path(publish.store.url(f"{publish.folder}/model"))


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    place = tmp_path / "model"
    shutil.copytree(published, place)
    return place


@pytest.fixture(scope="module")
def stock_pipeline(published: Path) -> Any:
    """Stock's own fill-mask pipeline on that folder."""
    from transformers import pipeline

    return pipeline("fill-mask", model=str(published), top_k=5)


@pytest.mark.parametrize("mask", ["<mask>", "[MASK]"])
@pytest.mark.parametrize("text", TEXTS)
def test_guesses_are_those_of_the_stock_pipeline(
    text: str, mask: str, published: Path, stock_pipeline: Any
) -> None:
    """Ids, texts and probabilities of the first five, for each mask, in either spelling."""
    answer = stock_pipeline(text)
    expected = answer if isinstance(answer[0], list) else [answer]
    found = fill_mask(published, text.replace("<mask>", mask))

    assert len(found) == text.count("<mask>")
    for mine, theirs in zip(found, expected, strict=True):
        assert [guess["id"] for guess in mine] == [guess["token"] for guess in theirs]
        assert [guess["token"] for guess in mine] == [guess["token_str"] for guess in theirs]
        scores = [guess["score"] for guess in theirs]
        assert [guess["score"] for guess in mine] == pytest.approx(scores, abs=1e-5)


def test_the_space_before_a_mask_changes_no_guess(published: Path) -> None:
    """`the <mask>` and `the<mask>` ask the same; guesses that begin a word have the space."""
    with_space, without = (fill_mask(published, text, top=40) for text in TEXTS[:2])
    assert with_space == without
    assert any(guess["token"].startswith(" ") for guess in with_space[0])


def test_guesses_are_probabilities_of_the_whole_vocabulary(published: Path) -> None:
    """Asked for more than there is, all of it: sorted, each token once, adding up to one."""
    (guesses,) = fill_mask(published, TEXTS[0], top=10**6)
    scores = [guess["score"] for guess in guesses]
    assert sorted(guess["id"] for guess in guesses) == list(range(len(guesses)))
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)


def score_lines(folder: Path, *lines: str) -> list[Any]:
    return [*load_for_use(folder, device="cpu").score(lines)]


def score_file(folder: Path, file: Path) -> list[Any]:
    windows = score_windows(load_for_use(folder), open_texts(file), Account())
    return [score for window in windows for score in window]


@torch.inference_mode()
def test_line_scores_are_a_naive_loop_over_stock(published: Path, tmp_path: Path) -> None:
    """One mask at a time with stock's model and tokenizer, file line by file line."""
    from transformers import AutoTokenizer, RobertaForMaskedLM

    model = RobertaForMaskedLM.from_pretrained(published).eval()
    tokenizer = AutoTokenizer.from_pretrained(published)
    lines = ["Return the value.", "", "Größe  zwei", "Return the value."]
    file = tmp_path / "lines.txt"
    file.write_bytes("\ufeffReturn the value.\r\n\nGröße  zwei\nReturn the value.\n".encode())
    scores = score_file(published, file)

    assert [score["text"] for score in scores] == lines
    for line, score in zip(lines, scores, strict=True):
        ids = tokenizer(line)["input_ids"]
        total = 0.0
        for place in range(1, len(ids) - 1):
            masked = torch.tensor([[*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]])
            logits_V = model(input_ids=masked).logits[0, place].double()
            total += logits_V.log_softmax(dim=0)[ids[place]].item()
        assert score["tokens"] == len(ids) - 2
        expected = pytest.approx(total, abs=1e-4) if score["tokens"] else None
        assert score["score"] == expected
    assert scores[0] == scores[3]
    assert scores[1]["per_token"] is None


def blimp(folder: Path, tmp_path: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """The evaluation unit's summary for some minimal pairs."""
    data = tmp_path / "agreement.jsonl"
    records = [{"sentence_good": good, "sentence_bad": bad} for good, bad in pairs]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    files = {
        path.name: StoredFile(str(path), file_digest(path), path.stat().st_size)
        for path in (*folder.iterdir(), data)
    }
    known = files.pop(data.name)
    work = UnitWork("blimp/agreement", tmp_path / "unit")
    read = MinimalPairsConfig(task="minimal_pairs", name="blimp", data="agreement.jsonl")
    report = score_pairs(
        work,
        model=files,
        special_tokens="bos_eos",
        device=Device("cpu"),
        data=known,
        name="agreement",
        read=read,
    )
    result = UnitResult(work.label, "key", {}, report.ledger, report.summary, reused=False)
    return summarise_pairs([result])


def test_a_model_that_knows_nothing_gets_no_minimal_pair_right(
    folder: Path, tmp_path: Path
) -> None:
    """Equal logits are ties, and a tie is wrong: nobody scores 100 % by returning a constant."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["roberta.embeddings.word_embeddings.weight"].zero_()
    weights["lm_head.bias"].zero_()
    save_file(weights, path, metadata={"format": "pt"})
    _, tokenizer = load_folder(folder)
    pairs = [(good, good.replace("e", "a", 1)) for good, _ in PAIRS] + [("a b", "b a")]
    same = [p for p in pairs if len(tokenizer.encode(p[0]).ids) == len(tokenizer.encode(p[1]).ids)]
    assert same

    summary = blimp(folder, tmp_path, same)
    assert summary["accuracy"] == 0
    assert summary["ties"] == summary["pairs"] == len(same)


def test_minimal_pairs_are_decided_by_line_scores(published: Path, tmp_path: Path) -> None:
    """A pair is right exactly where the good line scores strictly higher."""
    both = PAIRS + [(bad, good) for good, bad in PAIRS]
    scores = {s["text"]: s["score"] for pair in both for s in score_lines(published, *pair)}
    pairs = [(scores[good] or math.nan, scores[bad] or math.nan) for good, bad in both]
    right, ties = count_right(pairs)
    summary = blimp(published, tmp_path, both)
    assert (right, ties) == (len(PAIRS), 0)
    assert summary["accuracy"] == right / len(both)
    assert count_right([(-1.0, -1.0), (-math.inf, -math.inf)]) == (0, 2)


def test_minimal_pairs_leave_out_special_tokens_whatever_their_ids(tmp_path: Path) -> None:
    """In a stranger's folder `<mask>` may be the first token, and `</s>` the fifth."""
    words = ("<mask>", "<pad>", "<unk>", "<s>", "</s>", "A", "Ġ", ".", "a", "b", "c")
    folder = tmp_path / "model"
    save_model(our_model(small_config(vocab_size=len(words))), folder)
    save_tokenizer(build_tokenizer({word: n for n, word in enumerate(words)}, []), folder)
    blimp(folder, tmp_path, [("A a b.", "A b a c.")])
    (found,) = json.loads((tmp_path / "unit/blimp/agreement.json").read_text())["scores"]
    assert found == [line["score"] for line in score_lines(folder, "A a b.", "A b a c.")]


def with_tokens(folder: Path, num_tokens: int) -> str:
    """A sentence that the folder's tokenizer makes so many tokens of, special ones included."""
    _, tokenizer = load_folder(folder)
    sentence = " the" * (num_tokens - 2)
    assert len(tokenizer.encode(sentence).ids) == num_tokens
    return sentence


def test_pairs_that_the_model_cannot_read_are_counted_apart(
    published: Path, tmp_path: Path
) -> None:
    """64 tokens are read and 65 are not, in either sentence; the others score as they do alone."""
    fits, too_long = with_tokens(published, 64), with_tokens(published, 65)
    wrong = (PAIRS[0][1], PAIRS[0][0])
    alone = blimp(published, tmp_path, [*PAIRS, wrong, (fits, "the")])
    unread = [("a", too_long), (too_long, "a"), (too_long, too_long)]
    found = blimp(published, tmp_path, [unread[0], *PAIRS, wrong, *unread[1:], (fits, "the")])

    assert alone["too_long"] == 0
    assert alone["pairs"] == 4
    assert found["too_long"] == 3
    counts = ("pairs", "right", "ties", "accuracy", "interval")
    assert [found[name] for name in counts] == [alone[name] for name in counts]
    assert found["accuracy"] > 0
    scores = json.loads((tmp_path / "unit/blimp/agreement.json").read_text())["scores"]
    assert [pair is None for pair in scores] == [True, *[False] * 3, True, True, False]


def test_a_file_without_a_pair_that_fits_is_refused(published: Path, tmp_path: Path) -> None:
    """No score over no pairs: which file, how long its pairs are, and what to raise."""
    pairs = [(with_tokens(published, 70), "a"), ("a", with_tokens(published, 66))]
    with pytest.raises(UserError) as caught:
        blimp(published, tmp_path, pairs)
    message = str(caught.value)
    assert "agreement: no pair can be scored" in message
    assert "The longest has 70 tokens" in message
    assert "reads at most 64" in message
    assert "Raise model.max_row_tokens or pack.row_tokens" in message


def remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def put_inside(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "config.json").rename(folder / "model" / "config.json")


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no model folder, it is not a folder"),
    "no config": (
        lambda f: (f / "config.json").unlink(),
        "no model folder, there is no config.json",
    ),
    "the folder around it": (put_inside, "Did you mean .*/model"),
    "a config of nothing": (lambda f: (f / "config.json").write_text("[1]"), "not a JSON object"),
    "a torn config": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "a BERT": (lambda f: rewrite(f / "config.json", model_type="bert"), "model_type: 'bert'"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "there is no model.safetensors"),
    "a pickle": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "a pickle .*, which can run code",
    ),
    "no index": (
        lambda f: (f / "model.safetensors").rename(f / "model.safetensors.index.json"),
        "index.json: this is not JSON",
    ),
    "damaged weights": (
        lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 5000),
        "this file is damaged",
    ),
    "other sizes": (lambda f: rewrite(f / "config.json", hidden_size=128), "asks for"),
    "no tokenizer": (
        lambda f: remove(f, "tokenizer.json", "vocab.json", "merges.txt"),
        "has no tokenizer",
    ),
    "a torn tokenizer": (
        lambda f: (f / "tokenizer.json").write_text('{"model": '),
        "tokenizer cannot be read",
    ),
    "too small a model": (
        lambda f: rewrite(f / "config.json", vocab_size=900),
        "do not belong together|asks for",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_is_no_model_of_ours_is_refused_in_a_paragraph(
    case: str, folder: Path
) -> None:
    """The folder and what is wrong with it, in one paragraph; never numbers from half a model."""
    damage, message = REFUSED[case]
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        fill_mask(folder, TEXTS[0])
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_vocabulary_and_merges_alone_gives_the_same(folder: Path) -> None:
    """Older RoBERTa folders have no tokenizer.json; theirs are the same guesses and scores."""
    expected = fill_mask(folder, TEXTS[3]), score_lines(folder, "Return the value.")
    (folder / "tokenizer.json").unlink()
    assert (fill_mask(folder, TEXTS[3]), score_lines(folder, "Return the value.")) == expected


@pytest.mark.parametrize(
    ("text", "top", "message"),
    [
        ("Nothing is hidden here.", 5, "no mask to fill in 'Nothing is hidden here.'"),
        ("A <mask>.", 0, "at least 1, not 0"),
        ("word " * 100 + "<mask>", 5, "tokens, and the model reads at most 64"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    text: str, top: int, message: str, published: Path
) -> None:
    """With what is wrong, rather than with some token or a traceback."""
    with pytest.raises(UserError, match=message):
        fill_mask(published, text, top=top)


def test_files_that_are_no_text_are_told_apart(published: Path, tmp_path: Path) -> None:
    """By what cannot be read of them."""
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(
        UserError, match=r"byte 3 \(e9\) is not valid utf-8\. Set --encoding \(auto g"
    ):
        score_file(published, tmp_path / "latin.txt")
    with pytest.raises(UserError, match="cannot be read"):
        score_file(published, tmp_path / "none.txt")
