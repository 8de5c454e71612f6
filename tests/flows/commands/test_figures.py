"""The figures and texts that commands print: each as a person reads it, and steering nothing."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.commands import compare, evaluate, finetune, use
from flows.commands.tables import new_table, show_all
from flows.terminal import one_line, printable, printable_json


@pytest.mark.parametrize(
    ("value", "interval", "is_share", "told"),
    [
        (0.5, [0.4, 0.6], True, "50.0% (40.0 to 60.0%)"),
        (1234.5, [1.0, 2.0], False, "1,234.500 (1.000 to 2.000)"),
        (0.5, None, True, "50.0%"),
        (None, None, True, "-"),
    ],
)
def test_a_score_is_told_with_its_interval(
    value: Any, interval: Any, is_share: bool, told: str
) -> None:
    assert compare._with_interval(value, interval, is_share) == told


def test_a_diff_tells_ledgers_that_differ_and_whether_a_change_means_something() -> None:
    balance = {"in": 1000, "kept": 998, "dropped": {"short": 3, "marks": -1}}
    assert compare._way(balance) == "998 of 1,000 (short 3, marks +1)"
    assert compare._way({"in": 1, "kept": 1, "dropped": {}}) == "1 of 1"
    assert compare._way(None) == "-"
    entries = [
        {"stage": "clean", "measure": "bytes", "a": balance, "b": balance},
        {"stage": "pack", "measure": "tokens", "a": balance, "b": None},
    ]
    rows = list(compare._ledger({"ledger": entries}))
    assert rows == [("pack, tokens", compare._way(balance), "-")]
    score = {"name": "s", "a": 0.5, "b": 0.6, "a_interval": None, "b_interval": None}
    for change, is_share, apart, told in (
        (0.1, True, True, "+10.0 points"),
        (-0.1, True, False, "-10.0 points, intervals overlap"),
        (1.5, False, None, "+1.500"),
        (None, True, None, "-"),
        (0.0, True, False, "+0.0 points, intervals overlap"),
    ):
        found = {**score, "change": change, "is_share": is_share, "intervals_apart": apart}
        ((*_, shown),) = compare._scores({"scores": [found]})
        assert shown == told


def test_a_suites_scores_are_told_with_intervals_chance_and_each_tasks_cost_once() -> None:
    score = {"task": "a", "measure": "accuracy", "value": 0.5, "n": 1234, "chance": 0.25}
    score |= {"interval": {"low": 0.4, "high": 0.6}, "better": "higher"}
    other = {**score, "measure": "f1", "interval": None, "chance": None}
    table = evaluate._table({"scores": [score, other], "costs": {"a": {"seconds": 1234.56}}})
    first, second = zip(*(column._cells for column in table.columns), strict=True)
    assert first[:2] == ("a", "accuracy")
    assert [cell.replace("%", "") for cell in first[3].split(" to ")] == ["40.0", "60.0"]
    assert (first[4], first[6]) == ("1,234", "1,234.6")
    assert (second[3], second[5], second[6]) == ("-", "-", "")


def test_what_the_training_text_held_is_told_of_all_that_could_be_looked_for() -> None:
    counts = {"contained": 2, "items": 1010, "too_short": 10}
    taught = {"scores": {"dev": {"contamination": {**counts, "too_short": 0}}, "test": {}}}
    found = {"contamination": {"tasks": {"pairs": counts}}, "tasks": {"mood": taught, "x": None}}
    assert evaluate._told_contained(found) == (
        "In the text that it was trained on: pairs 2 of 1,000 (10 more too short to be looked "
        "for), mood (dev) 2 of 1,010."
    )
    nothing: dict[str, Any] = {"contamination": None, "tasks": {"x": {"scores": {}}}}
    assert evaluate._told_contained(nothing).endswith("is not known.")


def test_what_a_fine_tuning_found_is_told_with_what_decided(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = [
        {"learning_rate": rate, "batch_size": 16, "seed": 3, "epoch": 2}
        | {"embedding_learning_rate": 10 * rate, "head_learning_rate": 5 * rate}
        | {"dropout": 0.0}
        for rate in (1e-5, 3e-5)
    ]
    metric = {"value": 0.75, "low": 0.5, "high": 0.9}
    scored = {"n": 1234, "metrics": {"accuracy": metric, "f1": metric}}
    finetune._tell(
        {
            "metric": "f1",
            "columns": "text, label",
            "rows": {"train": 5000},
            "task": "classify",
            "max_tokens": 128,
            "cut": 7,
            "repeated": {"dev": 0},
            "tried": tried,
            "chosen": 1,
            "scores": {"dev": scored},
            "baselines_on": {"dev": {"majority": {"f1": 0.25}, "mean": {"f1": 0.75}}},
        },
        Path("out"),
    )
    told = capsys.readouterr().out
    assert "5,000 examples" in told
    assert "of them longer than the 128 tokens of a row, so their ends were left out: 7" in told
    assert (
        "best of 2: learning rate 3e-05 (embeddings 0.0003, head 0.00015), dropout 0, batch 16"
        in told
    )
    assert "batch 16, seed 3, epoch 2" in told
    assert "* dev   f1             0.7500   0.5000 to 0.9000 (95 % of 1,234)" in told
    assert "  dev   accuracy " in told
    assert "  dev   f1             0.2500   baseline: majority" in told
    assert "caution: No better than the mean, which needs no encoder: f1 on dev is 0.750" in told


@pytest.mark.parametrize(
    ("out", "name"),
    [
        ("a b/my task", "my-task"),
        ("мир", "finetuned"),
        (".x.", "x"),
        ("y" * 70, "y" * 60),
        ("ä1", "1"),
    ],
)
def test_a_fine_tuned_folder_is_called_as_a_task_may_be(out: str, name: str) -> None:
    assert finetune._name_of(Path(out)) == name


def test_guesses_are_numbered_where_there_are_several_masks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    guess = {"token": " a", "score": 0.12345}
    use._show_guesses([[guess]])
    assert capsys.readouterr().out == "  0.1235  a\n"
    use._show_guesses([[guess], [guess]])
    assert capsys.readouterr().out.splitlines()[::2] == ["mask 1", "mask 2"]
    use._show_filled(7, {"text": "x\ny\x1b", "masks": [[guess, guess], [guess]]})
    assert capsys.readouterr().out == (
        "     7  x\\x0ay\\x1b  ->  a 0.12, a 0.12\n     7  x\\x0ay\\x1b  ->  a 0.12\n"
    )


def test_an_account_is_told_with_its_speed(capsys: pytest.CaptureFixture[str]) -> None:
    account: Any = SimpleNamespace(texts=1000, empty=0, seconds=2.0)
    use._tell(account, "what", Path("f"))
    account.empty = 3
    use._tell(account, "what", Path("f"))
    assert capsys.readouterr().out.splitlines() == [
        "f: 1,000 texts, what, 500 texts/s",
        "f: 1,000 texts (3 of them empty), what, 500 texts/s",
    ]


def test_every_sign_that_could_steer_a_terminal_is_an_escape() -> None:
    unsafe = [*range(0x00, 0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F]
    unsafe += [*range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xE0000, 0xE007F]
    for code in unsafe:
        character = chr(code)
        shown = printable(f"a{character}b")
        assert shown.isascii()
        assert shown[:2] == "a\\"
        told = printable_json(json.dumps(character, ensure_ascii=False))
        assert told.isascii()
        assert json.loads(told) == character
    for safe in "\t\n a~\xa0\u200d\u2027\u202f\u2065\u206a":
        assert printable(safe) == safe
    assert printable("\x07\x9f\u2028\U000e0041") == "\\x07\\x9f\\u2028\\U000e0041"
    assert one_line("a\tb\nc\r") == "a\\x09b\\x0ac\\x0d"


def test_what_is_piped_is_not_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of it can be searched; markup in it is text."""
    monkeypatch.delenv("COLUMNS", raising=False)
    table = new_table("a", "b")
    table.add_row("x" * 100, "[b]y[/b] " + "z" * 100)
    show_all(table, "[i]told[/i]\x1b")
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3
    assert "[b]y[/b]" in out[1]
    assert out[2] == "[i]told[/i]\\x1b"


@pytest.mark.parametrize(
    ("better", "low", "high", "said"),
    [
        ("higher", 0.51, 0.6, False),
        ("higher", 0.5, 0.6, True),
        ("lower", 0.3, 0.49, False),
        ("lower", 0.3, 0.5, True),
    ],
)
def test_a_score_whose_worse_end_is_no_better_than_guessing_may_be_chance(
    better: str, low: float, high: float, said: bool
) -> None:
    score = {"better": better, "interval": {"low": low, "high": high}}
    assert evaluate._may_be_chance(score, 0.5) is said
