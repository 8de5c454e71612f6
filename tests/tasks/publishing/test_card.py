"""The model card: what the hub reads of it, and that it stays Markdown whatever a source holds."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from tasks.publishing.card import render_card
from tasks.publishing.licences import card_licence, hub_licence
from tasks.publishing.plain_text import as_python, cell
from tasks.publishing.score_tables import contamination_table, detail_tables
from tasks.publishing.scores import Score, scores_of
from tasks.publishing.spent import spent_on

EVIL = "a|b\\|c\n\n# Head\n---\nlicense: mit <script>x</script> ![p](http://127.0.0.1:9/p) `c`"
SPLIT = {"documents": 3, "tokens": 40, "rows": 2}
SCORES = [
    Score("held-out text", "accuracy at <mask>", 0.25, 400, "tokens", True, (0.21, 0.295)),
    Score("held-out text", "perplexity", 87.5, 400, "tokens", is_share=False),
    Score(EVIL, "accuracy", 0.5, 90_000, "pairs"),
]
FIGURES: dict[str, Any] = {
    **dict.fromkeys(("licence", "chosen_licence", "summary", "held_out", "blimp")),
    **dict.fromkeys(("languages", "held_out_table", "scores", "methods", "contamination"), ()),
    "name": "letters",
    "goes_on": False,
    "example_text": "A <mask>.",
    "ledger": {"stages": []},
    "parameters": 7,
    "longest_input": 128,
    "cleaned": {"train": SPLIT},
    "packed": {"train": SPLIT},
    "special_tokens": "bos_eos",
    "sources": [],
    "recipe_main": [("clean.dedup.exact", "true")],
}
UNIT: dict[str, Any] = {"files": {".arrow": {"bytes": 5_000_000}}}
MANIFEST = {"units": [{**UNIT, "provenance": {"seconds": 36.0}}], "provenance": {}}


def trained(**measured: Any) -> dict[str, Any]:
    """The manifests of two stages, one of them a training of 100 seconds."""
    interval = {"step": 9, "seconds": 100.0, "processes": 2, "threads": 1, **measured}
    unit = {**UNIT, "provenance": {"step": 9, "seconds": 100.0, "intervals": [interval]}}
    return {"clean": MANIFEST, "pretrain": {"units": [unit], "provenance": {}}}


def card_of(**changes: Any) -> str:
    spent = spent_on(trained(device="Some CPU", is_on_gpu=False))
    return render_card({**FIGURES, **changes}, spent)


def rows_of(*licences: str | None) -> list[str]:
    """The rows of the card's table of sources."""
    sources = [{"name": "a", "documents": 1, "bytes": 2, "licence": each} for each in licences]
    table = card_of(sources=sources).split("## Data\n\n")[1].split("\n\n")[0].splitlines()
    return table[2:]


def head_of(card: str) -> Mapping[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, Mapping)
    return found


def test_a_licence_that_is_no_plain_text_stays_in_its_cell() -> None:
    """Bars, lines and HTML end neither the cell nor the table; a plain note is as it was."""
    found = rows_of("CC BY 4.0", EVIL, None)
    assert found[0] == "| a | 1 | 2 | CC BY 4.0 |"
    assert found[1].startswith("| a | 1 | 2 | a\\|b\\\\\\|c \\# Head --- license: mit \\<script\\>")
    assert "\\!\\[p\\]\\(http" in found[1]
    assert found[2:] == ["| a | 1 | 2 | not stated |"]
    assert cell("\u202ea\x1b[2J\u2028b_c _d_") == "a \\[2J b_c \\_d\\_"


def test_a_model_that_went_on_from_another_is_not_said_to_be_from_scratch() -> None:
    """In the tags and in the first sentence, unless somebody has written one."""
    anew, goes_on = card_of(), card_of(goes_on=True)
    assert "pretrained-from-scratch" in head_of(anew)["tags"]
    assert "\n\nA RoBERTa encoder pretrained from scratch on its own corpus.\n\nIt has" in anew
    assert head_of(goes_on)["tags"][-1] == "continued-pretraining"
    assert "from scratch" not in goes_on
    assert "went on from another" in goes_on
    assert "\n\nOurs.\n\nIt has" in card_of(goes_on=True, summary="Ours.")


def test_the_hub_reads_the_head_and_nothing_of_a_source_gets_into_it() -> None:
    """Its own library takes the card: licence, languages, and every score by task."""
    card = card_of(scores=SCORES, licence="other", languages=["en", "de"])
    data: Any = ModelCard(card).data
    assert (data.license, data.language) == ("other", ["en", "de"])
    assert data.eval_results is not None
    told = [(each.dataset_name, each.metric_name, each.metric_value) for each in data.eval_results]
    assert told == [
        ("held-out text", "accuracy at <mask>", 0.25),
        ("held-out text", "perplexity", 87.5),
        (" ".join(EVIL.split()), "accuracy", 0.5),
    ]
    assert head_of(card)["license"] == "other"
    assert set(head_of(card_of(scores=SCORES))) == {
        *("library_name", "pipeline_tag", "tags", "model-index")
    }


@pytest.mark.parametrize(
    ("chosen", "notes", "expected"),
    [
        (None, ["CC BY 4.0", "cc-by-4.0 "], "other"),  # in two spellings: a person must look
        (None, ["CC BY-SA 4.0", "CC BY-SA 4.0"], "cc-by-sa-4.0"),
        (None, ["GPL-3.0-or-later"], "gpl-3.0"),
        (None, ["each package's own"], "other"),
        (None, ["mit", None], "other"),
        (None, [None, None], None),
        ("Apache 2.0", ["gpl", None], "apache-2.0"),
        ("ours alone", [None], "other"),
    ],
)
def test_the_licence_is_one_that_the_hub_knows_or_other(
    chosen: str | None, notes: list[str | None], expected: str | None
) -> None:
    """Never a guess: several, or a source without one, are `other`; none at all is left out."""
    assert card_licence(chosen, notes) == expected
    assert ("license" in head_of(card_of(licence=expected))) is (expected is not None)


def test_a_licence_that_is_missing_is_said_in_the_text() -> None:
    """A reader of the card must know whom to ask."""
    assert "No source names a licence" in card_of()
    assert "no single licence" in card_of(licence="other")
    assert "chose it: ours \\| x" in card_of(licence="other", chosen_licence="ours | x")
    assert hub_licence("no such thing") is None


def test_the_energy_is_seconds_times_watts_and_says_so() -> None:
    """By hand: 36 s of a core at 10 W, and 100 s of 2 cores, or of 2 GPUs at 500 W."""
    assert spent_on(trained(device="x"))["watt_hours"] == pytest.approx((360 + 2000) / 3600)
    on_gpu = spent_on(trained(device="H100", is_on_gpu=True))
    assert on_gpu["watt_hours"] == pytest.approx((360 + 100_000) / 3600)
    assert on_gpu["bytes"] == 10_000_000
    card = card_of()
    assert "Training: 1 min 40 s on Some CPU, 2 cores." in card
    assert "about 0.66 Wh" in card
    assert "10 W a busy core" in card


def test_few_items_are_a_rough_figure_and_many_are_not() -> None:
    """400 tokens leave 8 points between the interval's ends."""
    card = card_of(scores=SCORES)
    assert '- The score "held-out text, accuracy at \\<mask\\>" is made of 400 tokens' in card
    assert "| held-out text, accuracy at \\<mask\\> | 25.0% | 21.0 to 29.5% | 400 tokens |" in card
    assert card.count("a rough figure") == 2


def test_scores_are_read_from_the_table_of_rows_alone() -> None:
    """With the evaluation's own intervals."""
    held_out = {"accuracy": 0.5, "loss": 1.0, "perplexity": 2.7, "masked_tokens": 12}
    row = {"task": "lama", "measure": "p_at_1", "value": 0.2, "n": 50, "chance": None}
    (told,) = scores_of(
        {"held_out": held_out, "scores": [{**row, "interval": {"low": 0.1, "high": 0.4}}]}
    )
    assert (told.name, told.interval, told.shown_items) == ("lama, p at 1", (0.1, 0.4), "50 items")
    assert told.method == "as evaluated"
    assert scores_of({"held_out": None, "blimp": None, "examples": []}) == []


def test_what_lies_behind_the_scores_is_shown_where_it_is_there() -> None:
    """Frequencies in the order of their numbers; what was contained beside the score without it."""
    part = {"tokens": 5, "loss": 0.7, "perplexity": 2.0, "accuracy": 0.25, "bits_per_byte": 1.5}
    none = {**dict.fromkeys(part), "tokens": 0}
    bands = {"1,000 to 9,999": part, "0": none, "10 to 99": part, "1 to 9": part}
    quarters = {"last quarter": part, "first quarter": part, "third quarter": part}
    at_mask = {"by_frequency": bands, "by_position": quarters}
    tables = detail_tables({"at_mask": at_mask})
    assert [[row["label"] for row in table["rows"]] for table in tables] == [
        ["1 to 9", "10 to 99", "1,000 to 9,999"],
        ["first quarter", "third quarter", "last quarter"],
    ]
    by_source = {"at_mask": {"by_source": [part, none, {**part, "bits_per_byte": 2.25}]}}
    (table,) = detail_tables(by_source, ["books", "empty", "web"])
    told = [(row["label"], row["bits_per_byte"]) for row in table["rows"]]
    assert told == [("books", "1.500"), ("web", "2.250")]
    assert detail_tables({"at_mask": {"by_source": [part]}}, ["one source tells nothing"]) == []
    assert detail_tables({"masked_tokens": 1}) == detail_tables(None) == []
    task = {"items": 2000, "contained": 300, "flagged": True, "with": {"value": 0.9}}
    summary = {"contamination": {"tasks": {"b|c": {**task, "without": {"value": 0.5}}}}}
    rows = contamination_table(summary)
    card = card_of(contamination=rows)
    assert "| b\\|c | 2,000 | 300 (flagged) | 90.0% | 50.0% |" in card
    assert contamination_table({"contamination": None}) == contamination_table({}) == []


def test_an_example_is_a_python_string_whatever_it_says() -> None:
    """Quotes, line ends and what nobody sees."""
    text = 'a "b" \\ \n ``` \u202e <mask> é'
    assert eval(as_python(text)) == text  # as a reader's Python would
    assert as_python(text).isprintable()
    assert "<mask> é" in as_python(text)


SHOWN = "a\\|b\\\\\\|c \\# Head --- license: mit \\<script\\>x\\</script\\>"


@pytest.mark.parametrize(
    "changes",
    [
        {"sources": [{"name": EVIL, "documents": 1, "bytes": 2, "licence": None}]},
        {"sources": [{"name": "a", "documents": 1, "bytes": 2, "licence": EVIL}]},
        {"scores": [Score(EVIL, "accuracy", 0.5, 90_000, "pairs")]},
        {"scores": [Score(EVIL, "accuracy", 0.5, 9, "pairs")]},
        {"scores": SCORES[:1], "methods": [EVIL]},
        {"licence": "other", "chosen_licence": EVIL},
        {"recipe_main": [("pack.format", EVIL)]},
        {
            "contamination": [
                {"name": EVIL, "items": "1", "contained": "0", "flagged": False}
                | {"with": "-", "without": "-"}
            ]
        },
        {
            "ledger": {
                "stages": [{"name": "a", "documents": {"in": 1, "kept": 0, "dropped": {EVIL: 1}}}]
            }
        },
    ],
    ids=lambda changes: "-".join(changes),
)
def test_whatever_a_card_shows_stays_on_its_line(changes: dict[str, Any]) -> None:
    """Names, notes, reasons and values of others: no head, no table and no picture of theirs."""
    body = card_of(**changes).split("---\n", 2)[2]
    assert SHOWN in body
    assert "\n# Head" not in body
    assert "<script" not in body.replace("\\<script", "")
    assert "![p](" not in body


def test_a_score_without_figures_beside_it_has_dashes() -> None:
    """Its row has five cells like any other's."""
    card = card_of(scores=[Score("t", "loss", 2.5, is_share=False)])
    assert "| t, loss | 2.50 | - | - | - |" in card
    known = Score("t", "accuracy", 0.5, 9000, "items", True, (0.4, 0.6), (0.25, "guessing"))
    card = card_of(scores=[known])
    assert "| t, accuracy | 50.0% | 40.0 to 60.0% | 9,000 items | 25.0% guessing |" in card
