"""Items of labelled data that the pretraining text holds: found, and scores without them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_corpus import run_small, write_texts
from small_finetuning import write_jsonl

from tasks.artifacts import CleanText
from tasks.config.downstream import FineTuningConfig
from tasks.config.evaluate import ContaminationConfig
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.finetuning import metrics
from tasks.finetuning.contained import find_contained, scores_without
from tasks.finetuning.downstream import job_of
from tasks.finetuning.items import Item
from tasks.finetuning.labels import Labels
from tasks.finetuning.plan import Contained, Job

HOW = ContaminationConfig()
Run = Callable[[Callable[..., UnitReport], Sequence[Unit]], list[UnitResult]]


def sentence(number: int) -> str:
    """Ten words, eight of which no other sentence has."""
    return " ".join([f"w{number}x{place}" for place in range(8)] + ["the", "end"])


def runs_in(folder: Path) -> Run:
    """Units are run here and now, as the engine would."""

    def run(function: Callable[..., UnitReport], units: Sequence[Unit]) -> list[UnitResult]:
        results = []
        for unit in units:
            work = UnitWork(unit.label, folder)
            summary = function(work, **unit.payload).summary
            files = {suffix: outside_file(work.path(suffix)) for suffix in sorted(work.declared)}
            results.append(UnitResult(unit.label, "k", files, Ledger(), summary, reused=False))
        return results

    return run


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[StoredFile]:
    """A cleaned corpus that quotes sentences 0 to 9, in other clothes, and half of the tenth."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = [f"Somebody said: {sentence(n).upper()}! And line {n} goes on." for n in range(10)]
    texts.append(" ".join(sentence(10).split()[:5]) + " and nothing more of it at all")
    made = run_small(folder / "store", write_texts(folder / "texts", texts), "clean")
    return CleanText(made["clean"].artifact).files("train")


def job(folder: Path, task: str, rows: dict[str, list[dict[str, Any]]], **more: Any) -> Job:
    paths = {part: write_jsonl(folder / f"{task}.{part}.jsonl", rows[part]) for part in rows}
    named = {part: str(path) for part, path in paths.items()}
    settings = FineTuningConfig.model_validate({"name": task, "task": task, **named, **more})
    return job_of(settings, {part: outside_file(path) for part, path in paths.items()}, {})


def test_the_items_that_the_text_holds_are_found(
    documents: list[StoredFile], tmp_path: Path
) -> None:
    """Whole texts alone; of a pair enough of both, of a question its context; all in one pass."""
    one = [{"text": sentence(30), "label": "a"}]
    texts = [{"text": sentence(n), "label": "a"} for n in (20, 3, 10, 7, 21)]
    short = [{"text": "too short", "label": "a"}, {"text": sentence(9), "label": "a"}]
    pairs = [
        {"sentence1": sentence(a), "sentence2": sentence(b), "label": "same"}
        for a, b in ((1, 2), (1, 20), (20, 21))
    ]
    questions = [
        {"question": sentence(0), "context": sentence(context), "answers": "end"}
        for context in (20, 4, 4)
    ]
    jobs = {
        "mood": job(tmp_path, "classify", {"train": one, "dev": texts, "test": short}),
        "same": job(tmp_path, "pair", {"train": pairs, "dev": pairs}),
        "asked": job(tmp_path, "qa", {"train": questions, "dev": questions}),
    }
    found = find_contained(runs_in(tmp_path / "units"), jobs, documents, HOW)
    assert found == {
        "mood": {"dev": Contained([1, 3], 0), "test": Contained([1], 1)},
        "same": {"dev": Contained([0], 0)},
        "asked": {"dev": Contained([1, 2], 0)},
    }


def test_words_to_tag_are_a_text(documents: list[StoredFile], tmp_path: Path) -> None:
    """As a list or with spaces between them."""
    rows = [
        {"tokens": words, "tags": ["O"] * 10}
        for words in (sentence(5).split(), sentence(20).split())
    ]
    tagging = {"ner": job(tmp_path, "tag", {"train": rows, "dev": rows})}
    found = find_contained(runs_in(tmp_path / "units"), tagging, documents, HOW)
    assert found == {"ner": {"dev": Contained([0], 0)}}


def test_scores_with_and_without_are_those_of_the_items() -> None:
    """Right in what it has read, wrong in half of the rest; nothing contained, nothing to tell."""
    settings = FineTuningConfig.model_validate(
        {"name": "mood", "task": "classify", "train": "t", "dev": "d"}
    )
    labels = Labels(("bad", "good"))
    items = [Item("", f"text {n}", None, ("bad", "good")[n % 2]) for n in range(8)]
    answers = [{"label": "good"} for _ in items]
    found = scores_without(settings, labels, items, answers, Contained([1, 3], 1))
    counts = {name: found[name] for name in ("items", "contained", "too_short", "flagged")}
    assert counts == {"items": 8, "contained": 2, "too_short": 1, "flagged": True}
    assert found["without"]["n"] == 6
    assert found["without"]["metrics"]["accuracy"]["value"] == pytest.approx(2 / 6, abs=1e-6)
    assert found["contained_only"]["metrics"]["accuracy"]["value"] == 1.0
    none = scores_without(settings, labels, items, answers, Contained([], 0))
    assert (none["contained_only"], none["flagged"]) == (None, False)
    assert none["without"]["metrics"]["accuracy"]["value"] == 0.5
    every = scores_without(settings, labels, items, answers, Contained(list(range(8)), 0))
    assert every["without"] is None


def test_an_item_is_contained_from_the_share_on(
    documents: list[StoredFile], tmp_path: Path
) -> None:
    """One of three runs of eight words, or of a pair three of six: of both texts together."""
    pairs = [
        {"sentence1": sentence(1), "sentence2": sentence(20), "label": "a"},
        {"sentence1": sentence(20), "sentence2": sentence(21), "label": "b"},
    ]
    jobs = {"same": job(tmp_path, "pair", {"train": pairs, "dev": pairs})}
    for share, expected in ((0.5, [0]), (0.51, [])):
        how = ContaminationConfig(share=share)
        run = runs_in(tmp_path / f"units-{share}")
        found = find_contained(run, jobs, documents, how)
        assert found == {"same": {"dev": Contained(expected, 0)}}


@pytest.mark.parametrize(
    ("items", "inside", "short", "flagged"),
    [(100, 1, 0, False), (99, 1, 0, True), (150, 1, 60, True), (160, 1, 60, False)],
)
def test_more_than_a_hundredth_of_what_can_be_looked_for_is_flagged(
    items: int, inside: int, short: int, flagged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intervals beside it are not what is asked here: two draws are enough."""
    monkeypatch.setattr(metrics, "NUM_SAMPLES", 2)
    values = {"name": "mood", "task": "classify", "train": "t", "dev": "d"}
    settings = FineTuningConfig.model_validate(values)
    rows = [Item("", "text", None, "good")] * items
    contained = Contained(list(range(inside)), short)
    answers: list[dict[str, Any]] = [{"label": "good"}] * items
    found = scores_without(settings, Labels(("bad", "good")), rows, answers, contained)
    assert found["flagged"] is flagged
