"""Contamination rule by rule: what is contained, flagged and counted, on sets of a few words."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.config.evaluate import ContaminationConfig, MinimalPairsConfig, NeighboursConfig
from tasks.documents import DocumentWriter
from tasks.engine.ledger import Ledger
from tasks.engine.outside import outside_file
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.evaluation.contamination import check_contamination
from tasks.evaluation.grams import Sought, grams_of, run_hashes, word_hash, words_of
from tasks.evaluation.intervals import wilson_of_mean
from tasks.evaluation.table import Asked

Scored = tuple[Asked, dict[str, StoredFile], list[UnitResult]]


class Here:
    """Runs units in this process, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, function: Callable[..., UnitReport], units: Sequence[Unit]
    ) -> list[UnitResult]:
        return [self.run(function, unit) for unit in units]

    def run(self, function: Callable[..., UnitReport], unit: Unit) -> UnitResult:
        work = UnitWork(unit.label, self.folder)
        report = function(work, **unit.payload)
        files = {
            suffix: outside_file(work.folder / f"{unit.label}{suffix}") for suffix in work.declared
        }
        return UnitResult(unit.label, "k", files, Ledger(), report.summary, reused=False)


def scored(folder: Path, sentences: Sequence[str], rights: Sequence[bool | None]) -> Scored:
    """A set of pairs with these good sentences, and whether each was right."""
    pairs, record = folder / "set.jsonl", folder / "set-record.json"
    lines = [{"sentence_good": text, "sentence_bad": "no"} for text in sentences]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scores = [None if right is None else [float(right), 0.5] for right in rights]
    named = [f"p{number % 2}" for number in range(len(rights))]
    record.write_text(json.dumps({"pair_paradigms": named, "scores": scores}))
    settings = MinimalPairsConfig(task="minimal_pairs", name="set", data=str(pairs))
    result = UnitResult("set/set", "k", {".json": outside_file(record)}, Ledger(), {}, reused=False)
    return Asked("set", "evaluate.tasks.set", settings), {"set": outside_file(pairs)}, [result]


def documents(path: Path, *texts: str) -> StoredFile:
    with DocumentWriter(path) as writer:
        for number, text in enumerate(texts):
            writer.add(number, text)
    return outside_file(path)


def told(
    folder: Path,
    sentences: Sequence[str],
    trained: Sequence[str],
    rights: Sequence[bool | None] | None = None,
    **how: Any,
) -> dict[str, Any]:
    """What the check says of one set."""
    task = scored(folder, sentences, rights or [True] * len(sentences))
    file = documents(folder / "documents.arrow", *trained)
    settings = ContaminationConfig(**{"words": 2, "share": 0.5, **how})
    found = check_contamination([task], [file], settings, Here(folder / "units"))
    assert found is not None
    assert found["flagged"] == (["set"] if found["tasks"]["set"]["flagged"] else [])
    return dict(found["tasks"]["set"])


def test_an_item_is_contained_from_the_share_on(tmp_path: Path) -> None:
    """Of four runs of two words, two are half of them, and one is not."""
    sentences = ["a b c d e", "f g h i j"]
    found = told(tmp_path, sentences, ["a b c", "f g"])
    assert (found["items"], found["contained"], found["too_short"]) == (2, 1, 0)
    found = told(tmp_path, sentences, ["a b c", "f g"], share=0.51)
    assert found["contained"] == 0
    found = told(tmp_path, sentences, ["a b c", "f g"], share=0.25)
    assert found["contained"] == 2


def test_runs_are_as_long_as_the_settings_say(tmp_path: Path) -> None:
    """The same text holds every pair of words and no three in order."""
    trained = ["a b x b c x c d"]
    assert told(tmp_path, ["a b c d"], trained, words=2)["contained"] == 1
    assert told(tmp_path, ["a b c d"], trained, words=3)["contained"] == 0


@pytest.mark.parametrize(("items", "contained", "flagged"), [(100, 1, False), (99, 1, True)])
def test_a_set_is_flagged_if_more_than_a_hundredth_is_contained(
    items: int, contained: int, flagged: bool, tmp_path: Path
) -> None:
    sentences = [f"s{number} t{number} u{number}" for number in range(items)]
    found = told(tmp_path, sentences, sentences[:contained])
    assert (found["contained"], found["flagged"]) == (contained, flagged)


def test_items_that_are_too_short_to_be_looked_for_make_no_set_clean(tmp_path: Path) -> None:
    """One of fifty that can be looked for is two hundredths."""
    short = ["a"] * 60
    long = [f"s{n} t{n} u{n} v{n}" for n in range(50)]
    found = told(tmp_path, [*short, *long], ["a", long[7]], words=4)
    assert (found["too_short"], found["contained"], found["flagged"]) == (60, 1, True)


def test_scores_with_and_without_are_means_over_the_groups(tmp_path: Path) -> None:
    """By hand: pairs take turns in two paradigms; what was not asked is in no score."""
    sentences = [f"s{n} t{n} u{n}" for n in range(7)]
    rights = [True, False, True, True, None, True, None]
    found = told(tmp_path, sentences, [sentences[0], sentences[3], sentences[6]], rights)
    # p0: numbers 0, 2, 4 and 6; p1: numbers 1, 3 and 5.
    for part, counts in (
        ("with", [(2, 2), (2, 3)]),
        ("without", [(1, 1), (1, 2)]),
        ("contained_only", [(1, 1), (1, 1)]),
    ):
        value = sum(right / asked for right, asked in counts) / 2
        assert found[part]["value"] == pytest.approx(value), part
        assert found[part]["n"] == sum(asked for _, asked in counts)
        assert found[part]["interval"] == wilson_of_mean(counts)
    assert (found["items"], found["contained"]) == (7, 3)


def test_without_a_contained_item_there_is_no_score_of_them(tmp_path: Path) -> None:
    found = told(tmp_path, ["a b c"], ["nothing of it"])
    assert found["contained_only"] is None
    assert found["without"] == found["with"]


def test_where_there_is_nothing_to_look_for_nothing_is_said(tmp_path: Path) -> None:
    """No text, or tasks alone that have no items."""
    near = NeighboursConfig(task="neighbours", name="near")
    run, how = Here(tmp_path), ContaminationConfig()
    file = documents(tmp_path / "d.arrow", "a b")
    assert check_contamination([(Asked("near", "", near), {}, [])], [file], how, run) is None
    assert check_contamination([scored(tmp_path, ["a b"], [True])], [], how, run) is None


def test_what_was_compared_is_said_beside_the_result(tmp_path: Path) -> None:
    files = [documents(tmp_path / f"{n}.arrow", f"a b {n}") for n in range(3)]
    found = check_contamination(
        [scored(tmp_path, ["a b"], [True])],
        files,
        ContaminationConfig(words=2, share=0.9),
        Here(tmp_path / "units"),
    )
    assert found is not None
    assert (found["words"], found["share"], found["documents_files"]) == (2, 0.9, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße STRASSE", ["strasse", "strasse"]),  # case is folded, not lowered
        ("\uff21\uff22 \u2460", ["ab", "1"]),  # compatibility forms
        ("don't stop", ["don", "t", "stop"]),
        ("a_b", ["a", "b"]),
        ("x" * 70, ["x" * 64]),
        ("ไทยx", ["ไ", "ท", "ย", "x"]),
        ("ひカ漢", ["ひ", "カ", "漢"]),
        ("ខម", ["ខ", "ម"]),
        ("ကခ", ["က", "ခ"]),
        ("a\u061cb c\u2066d", ["ab", "cd"]),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 x\u0325y",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "x\u0325y"],
        ),
        ("\u0645\u064f\u062d\u0645\u062f", ["\u0645\u064f\u062d\u0645\u062f"]),
        ("\u0301 cat\ufe0fs \u845b\U000e0100", ["cats", "\u845b"]),
        ("\u0e01\u0e34", ["\u0e01", "\u0e34"]),
    ],
)
def test_words_are_what_is_left_without_dress(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_an_item_is_looked_for_down_to_half_a_run() -> None:
    """Its own length is then the run's."""
    lengths = [grams_of(" ".join("abcdefghi"[:count]), 8) for count in (3, 4, 8, 9)]
    assert [(length, len(hashes)) for length, hashes in lengths] == [(3, 0), (4, 1), (8, 1), (8, 2)]


def test_what_is_looked_for_is_sorted_and_each_once() -> None:
    """Looking up halves the list: an order of another kind would miss what is there."""
    sought = Sought.of(["b c d e", "a b c d", "b c d e"], 4)
    assert sought.runs[4].tolist() == sorted(set(sought.runs[4].tolist()))
    assert len(sought.runs[4]) == 2
    assert sought.words == tuple("abcde")


def test_a_runs_hash_follows_from_its_words_alone() -> None:
    """Wherever it stands in its text."""
    _, alone = grams_of("b c", 2)
    _, within = grams_of("a b c d", 2)
    assert alone[0] == within[1]
    assert len(set(within.tolist())) == 3
    assert 0 not in {word_hash(word) for word in "abc"}
    assert len(run_hashes(alone[:0], 2)) == 0
