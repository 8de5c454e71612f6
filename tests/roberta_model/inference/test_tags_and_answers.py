"""`.tag` and `.answer` of a loaded folder: what stock's logits say, and `roberta predict` gives."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from stock_folders import SENTENCES, stock_folder
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from roberta_model import load
from roberta_model.inference.reading import Columns, Reading
from roberta_model.inference.task_rows import TaskRows
from roberta_model.inference.tokenizer import load_tokenizer
from roberta_model.inference.unusable import UnusableError
from tasks.errors import UserError
from tasks.finetuning.items import Item
from tasks.finetuning.predictor import Predictor

LONG = " ".join(SENTENCES)  # several rows of 32 tokens
PAIRS = [
    ("What is the capital?", "The capital of France is Paris."),
    (" Which list?", "A list of words is returned;\n nothing is raised."),
    ("What is the capital of Italy?", LONG),
    (LONG, "A question longer than a row is cut."),
    ("", "No question."),
]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tagger of three tags, and no record of a fine-tuning."""
    folder = tmp_path_factory.mktemp("tagger")
    stock_folder(folder, "RobertaForTokenClassification", id2label={0: "O", 1: "B-X", 2: "I-X"})
    return folder


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random answerer of questions."""
    folder = tmp_path_factory.mktemp("reader")
    stock_folder(folder, "RobertaForQuestionAnswering")
    return folder


def stock_logits(folder: Path, kind: str, *texts: str) -> tuple[Any, Any]:
    """What stock's tokenizer and model make of a text or a pair that fits into a row."""
    found = transformers.AutoTokenizer.from_pretrained(folder)(*texts, return_tensors="pt")
    model = getattr(transformers, kind).from_pretrained(folder)
    with torch.inference_mode():
        return found, model(**found)


def stock_tags(folder: Path, text: str) -> list[str]:
    """The tag of the token at each word's first character."""
    found, answer = stock_logits(folder, "RobertaForTokenClassification", text)
    starts = [n for n in range(len(text)) if text[n] != " " and (n == 0 or text[n - 1] == " ")]
    best = answer.logits[0].argmax(dim=-1)
    return [("O", "B-X", "I-X")[best[found.char_to_token(0, start)]] for start in starts]


def stock_answer(folder: Path, question: str, context: str) -> str:
    """The best span of at most 30 tokens of the context, by trying all."""
    found, answer = stock_logits(folder, "RobertaForQuestionAnswering", question, context)
    within = [n for n, part in enumerate(found.sequence_ids(0)) if part == 1]
    starts, ends = answer.start_logits[0], answer.end_logits[0]
    spans = [(a, b) for a in within for b in within if a <= b < a + 30]
    first, last = max(spans, key=lambda span: float(starts[span[0]] + ends[span[1]]))
    offsets = found[0].offsets
    return context[offsets[first][0] : offsets[last][1]]


def test_a_words_tag_is_stocks_of_its_first_token(tagger: Path) -> None:
    """Of a text, and of the same words given one by one."""
    model = load(tagger)
    for text in (*SENTENCES[:3], "Größe zwei"):
        expected = stock_tags(tagger, text)
        found = model.tag(text)
        assert [each["word"] for each in found] == text.split()
        assert [each["tag"] for each in found] == expected
        assert model.tag(text.split()) == found
    assert len({each["tag"] for text in SENTENCES for each in model.tag(text)}) > 1


def test_more_words_than_a_row_are_all_tagged_as_predict_tags_them(tagger: Path) -> None:
    """In order, whatever else is tagged beside them; of nothing there are no tags."""
    model, words = load(tagger), LONG.split()
    before = model.tokenize(LONG)
    together = model.tag_all([LONG, "", "Rome", words])
    assert [each["word"] for each in together[0]] == words
    assert together[0] == together[3]
    assert (together[1], len(together[2])) == ([], 1)
    (expected,) = Predictor(tagger)([Item("", words, None, None)])
    assert [each["tag"] for each in model.tag(LONG)] == expected["tags"]
    assert model.tokenize(LONG) == before, "the tokenizer that users see was changed"


def test_a_text_of_thousands_of_words_is_tagged_row_by_row(tagger: Path) -> None:
    """Each row makes tokens of what may fit into it, not of all that is left."""
    words = LONG.split() * 60
    assert len(words) > 2500
    found = load(tagger).tag(words)
    assert [each["word"] for each in found] == words
    rows = load(tagger).tag_all([words[:40], words[:50]])
    assert found[:20] == rows[0][:20] == rows[1][:20]


def test_an_answer_is_the_best_span_of_stocks_logits(reader: Path) -> None:
    """In the characters of the context."""
    model = load(reader)
    for question, context in (PAIRS[0], ("Which list?", "A list of words is returned.")):
        found = model.answer(question, context)
        assert found["answer"] == stock_answer(reader, question, context)
        assert context[found["start"] :].startswith(found["answer"])


@pytest.mark.parametrize("recorded", [False, True])
def test_answers_are_those_of_predict(recorded: bool, reader: Path, tmp_path: Path) -> None:
    """Of long contexts and long questions too, in the windows that the folder's record names."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in reader.iterdir():
        (folder / path.name).symlink_to(path)
    plain = load(folder).answer_all(PAIRS)
    if recorded:
        columns = Columns("question", "context", "answers")
        Reading("qa", columns, 16, 4, may_have_no_answer=True).write(folder)
    found = load(folder).answer_all(PAIRS)
    items = [Item("", question, context, None) for question, context in PAIRS]
    assert [dict(each) for each in found] == Predictor(folder)(items)
    assert (found != plain) == recorded, "the record is not heeded"
    assert all(each["answer"] for each in plain)


MISUSED: dict[str, tuple[str, Any, str]] = {
    "tag": ("RobertaForMaskedLM", lambda m: m.tag("A"), "fine-tuned to tag words"),
    "answer": ("RobertaModel", lambda m: m.answer("A", "B"), "fine-tuned to answer questions"),
    "long word": ("RobertaForTokenClassification", lambda m: m.tag("x" * 400), "more than 32"),
    "no word": ("RobertaForTokenClassification", lambda m: m.tag(["a", ""]), "Text 1 .* empty"),
    "broken": ("RobertaForQuestionAnswering", lambda m: m.answer("a", "\ud800"), "half of a surro"),
}


@pytest.mark.parametrize("case", MISUSED)
def test_what_cannot_be_tagged_or_answered_is_refused(case: str, tmp_path: Path) -> None:
    """One paragraph: what it is, and what is needed."""
    kind, use, message = MISUSED[case]
    stock_folder(tmp_path, kind)
    with pytest.raises(UnusableError, match=message) as caught:
        use(load(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("learnt", "stride", "limit", "sizes"),
    [(16, 4, 32, (16, 4)), (64, 40, 32, (32, 16)), (16, 12, 512, (16, 8))],
)
def test_rows_are_read_as_long_as_they_were_learnt(
    learnt: int, stride: int, limit: int, sizes: tuple[int, int]
) -> None:
    """Never longer than the encoder reads; windows share half a row at most."""
    columns = Columns("text", None, None)
    assert Reading("qa", columns, learnt, stride, may_have_no_answer=False).sizes(limit) == sizes


def test_a_record_that_is_none_is_named(reader: Path, tmp_path: Path) -> None:
    """Nothing is guessed where a folder says something that cannot be read."""
    for path in reader.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "finetuning.json").write_text('{"task": "qa"}')
    with pytest.raises(UnusableError, match="finetuning.json: this is not the record"):
        load(tmp_path).answer(*PAIRS[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": "many"}, "max_tokens cannot be 'many'"),
        ({"max_tokens": 12.5}, "max_tokens cannot be 12.5"),
        ({"max_tokens": 0}, "max_tokens cannot be 0"),
        ({"stride": -5}, "stride cannot be -5"),
        ({"may_have_no_answer": "no"}, "may_have_no_answer cannot be 'no'"),
        ({"columns": {"text": 5, "second": None, "label": None}}, "columns cannot be"),
        ({"task": "guess"}, "task cannot be 'guess'"),
        ({"task": "classify"}, "for classify, and the head of the model is one for qa"),
    ],
)
def test_a_strangers_record_that_would_not_do_is_named(
    changes: dict[str, Any], message: str, reader: Path, tmp_path: Path
) -> None:
    """It once ended in a traceback, at the first question."""
    for path in reader.iterdir():
        (tmp_path / path.name).symlink_to(path)
    record = tmp_path / "finetuning.json"
    record.unlink(missing_ok=True)
    Reading("qa", Columns("question", "context", None), 24, 8).write(tmp_path)
    load(tmp_path).answer(*PAIRS[0])
    record.write_text(json.dumps({**json.loads(record.read_text()), **changes}))
    with pytest.raises(UnusableError, match=message):
        load(tmp_path).answer(*PAIRS[0])
    with pytest.raises(UserError, match=message):
        Predictor(tmp_path)


@pytest.mark.parametrize("max_tokens", [12, 16, 32])
@pytest.mark.parametrize("question", ["日本語" * 10, "é" * 40, f"{LONG} {LONG}"])
def test_a_question_cut_within_a_character_leaves_room(
    question: str, max_tokens: int, reader: Path
) -> None:
    """Cut, it can have more tokens than before; the windows still hold the whole context."""
    rows = TaskRows(load_tokenizer(reader), max_tokens, max_tokens // 2)
    windows = rows.windows(question, PAIRS[0][1])
    assert rows.num_cut == 1
    assert max(len(window.ids) for window in windows) <= max_tokens
    seen = {n for window in windows for start, stop in window.spans for n in range(start, stop)}
    assert seen == {n for n, character in enumerate(PAIRS[0][1]) if character != " "}


def test_a_row_without_room_for_a_context_is_refused(reader: Path, tmp_path: Path) -> None:
    """Half of eight tokens is the question's, the other half stands around the two."""
    (folder := tmp_path / "copy").mkdir()
    for path in reader.iterdir():
        (folder / path.name).symlink_to(path)
    Reading("qa", Columns("question", "context", "answers"), 8, 4).write(folder)
    pairs = [("", "No question."), ("What is the capital?", "The capital of France is Paris.")]
    with pytest.raises(UnusableError, match="Text 2: a row of 8 tokens has no room"):
        load(folder).answer_all(pairs)
    items = [Item("f, line 2", *pairs[1], None)]
    with pytest.raises(UserError, match="f, line 2: a row of 8 tokens has no room"):
        Predictor(folder)(items)


@pytest.mark.parametrize("in_a_sequence", [False, True])
def test_an_answer_at_the_beginning_is_whole_where_a_space_is_put_before_a_text(
    in_a_sequence: bool, reader: Path
) -> None:
    """The space is in no text, so offsets are not to leave it out."""
    tokenizer = load_tokenizer(reader)
    cutter = ByteLevel(add_prefix_space=True)
    tokenizer.pre_tokenizer = PreTokenizers([cutter]) if in_a_sequence else cutter
    question, context = PAIRS[0]
    (window,) = TaskRows(tokenizer, 32, 8).windows(question, context)
    place = window.place(0, len("The capital"))
    assert place is not None
    first, last = (number - window.first for number in place)
    assert context[window.spans[first][0] : window.spans[last][1]] == "The capital"
