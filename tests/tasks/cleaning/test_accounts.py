"""What is told of a source: shares of its own text, and a sentence where they are not as asked."""

import re

import pytest

from tasks.cleaning.accounts import SourceAccount
from tasks.cleaning.split import HoldingOut


def account(how: HoldingOut, held_out: int = 30) -> SourceAccount:
    train = {"documents": 9, "bytes": 950}
    return SourceAccount("books", train, {"documents": 2, "bytes": held_out}, how)


def test_the_share_is_one_of_the_sources_different_bytes() -> None:
    """Not of what is left to train on, of which duplicates of other sources are no part."""
    found = account(HoldingOut(0.02, 1500, "draws", 0))
    assert found.share == 0.02
    assert found.to_json() == {
        "name": "books",
        "train": {"documents": 9, "bytes": 950},
        "held_out": {
            "asked": 0.02,
            "distinct_bytes": 1500,
            "rule": "draws",
            "refused": 0,
            "got": 0.02,
            "documents": 2,
            "bytes": 30,
        },
    }
    assert account(HoldingOut(0.1, 0, "none", 0), 0).share == 0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (HoldingOut(0.02, 1500, "draws", 0), None),
        (HoldingOut(0, 1500, "none", 0), None),
        (HoldingOut(0.02, 1500, "draws", 3), r"3 drawn .* asks for 2\.000% no more than 5\.000%"),
        (HoldingOut(0.6, 1500, "none", 1), r"1 drawn .* asks for 60\.000% no more than 80\.000%"),
        (HoldingOut(0.001, 1500, "lowest draw", 0), r"small for 0\.100% .* held out, 2\.000% of"),
        (HoldingOut(0.001, 1500, "none", 0), r"nothing is held out, though 0\.100% .* within 5\.0"),
    ],
)
def test_a_sentence_where_the_draws_alone_do_not_do(how: HoldingOut, told: str | None) -> None:
    """None where they do, or where nothing is asked for."""
    remark = account(how).remark()
    if told is None:
        assert remark is None
    else:
        assert remark is not None
        assert re.match(f"books: .*{told}", remark)
