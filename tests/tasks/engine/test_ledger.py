"""The ledger: every measure adds up on its own, reasons are counted, stages follow on."""

from typing import Any

import pytest

from tasks.engine.ledger import Balance, Ledger, amount_dropped, balance_of
from tasks.errors import StageError


def ledger(taken: int, kept: int, measure: str = "documents", **dropped: int) -> Ledger:
    made = Ledger()
    made.take(**{measure: taken})
    made.keep(**{measure: kept})
    for reason, amount in dropped.items():
        made.drop(reason, **{measure: amount})
    return made


def test_what_is_missing_is_what_was_neither_kept_nor_dropped() -> None:
    assert Balance(10, 4, {"short": 3, "long": 1}).missing() == 2
    assert Balance(10, 6, {"short": 3, "long": 1}).missing() == 0
    assert Balance(10, 9, {"short": 3, "grew": -1}).missing() == -1


def test_a_document_that_grew_drops_a_negative_number_of_bytes() -> None:
    ledger(10, 12, "bytes", repaired=-2).check("clean")


def test_every_measure_is_counted_on_its_own() -> None:
    made = Ledger()
    made.take(documents=1, bytes=120)
    made.take(documents=2, bytes=80)
    made.keep(documents=1, bytes=118)
    made.keep(bytes=30)
    made.drop("space", bytes=2)
    made.drop("space", bytes=3, documents=2)
    assert made.to_json() == {
        "bytes": {"in": 200, "kept": 148, "dropped": {"space": 5}},
        "documents": {"in": 3, "kept": 1, "dropped": {"space": 2}},
    }


def test_measures_and_reasons_are_written_in_the_order_of_their_names() -> None:
    """The same counts are the same bytes, in whatever order they came."""
    made = ledger(3, 0, "tokens", short=1, long=2)
    made.take(bytes=1)
    assert list(made.to_json()) == ["bytes", "tokens"]
    assert list(made.to_json()["tokens"]["dropped"]) == ["long", "short"]


def test_a_reason_that_dropped_nothing_is_not_written() -> None:
    assert ledger(1, 1, short=0).to_json()["documents"]["dropped"] == {}


def test_a_negative_count_is_written_too() -> None:
    assert ledger(1, 2, "bytes", nfc=-1).to_json()["bytes"]["dropped"] == {"nfc": -1}


def test_the_second_measure_is_checked_too() -> None:
    made = ledger(2, 2)
    made.take(bytes=1200)
    made.keep(bytes=100)
    made.drop("short", bytes=99)
    with pytest.raises(StageError) as told:
        made.check("pack, unit a")
    assert str(told.value).startswith(
        "pack, unit a: the ledger does not balance: 1,200 bytes came in, 100 were kept and 99 "
        "dropped, so 1,001 are unaccounted for."
    )


def test_what_was_written_is_read_as_it_was() -> None:
    plain = {"documents": {"in": 5, "kept": 3, "dropped": {"long": 2}}}
    read = Ledger.from_json(plain)
    assert read["documents"] == Balance(5, 3, {"long": 2})
    read.drop("long", documents=1)
    assert plain["documents"]["dropped"] == {"long": 2}, "the record itself stays as it is"


def test_a_total_adds_measures_and_reasons() -> None:
    parts = [ledger(5, 3, short=2), ledger(7, 4, short=1, long=2), ledger(9, 9, "bytes")]
    assert Ledger.total(parts).to_json() == {
        "bytes": {"in": 9, "kept": 9, "dropped": {}},
        "documents": {"in": 12, "kept": 7, "dropped": {"long": 2, "short": 3}},
    }
    assert parts[0].to_json()["documents"] == {"in": 5, "kept": 3, "dropped": {"short": 2}}
    assert Ledger.total([]).to_json() == {}


CLEAN = {"documents": {"in": 10, "kept": 8, "dropped": {"short": 2}}}
PACK = {"documents": {"in": 8, "kept": 8, "dropped": {}}}


@pytest.mark.parametrize(
    ("stages", "balanced"),
    [
        ([CLEAN, PACK], True),
        ([CLEAN, {}, PACK], True),
        ([PACK, CLEAN], False),  # 8 were kept, 10 came in
        ([CLEAN, {"bytes": {"in": 3, "kept": 3, "dropped": {}}}, PACK], True),
        ([CLEAN, CLEAN], False),
        ([{"documents": {"in": 10, "kept": 8, "dropped": {"short": 1}}}, PACK], False),
        ([{"documents": {"in": 10, "kept": 8, "dropped": {"short": 3}}}, PACK], False),
        ([{"documents": {"in": 9, "kept": 8, "dropped": {}}}, PACK, PACK], False),
    ],
)
def test_stages_balance_when_each_begins_where_the_last_one_ended(
    stages: list[dict[str, Any]], balanced: bool
) -> None:
    found = balance_of({str(n): (f"key{n}", stage) for n, stage in enumerate(stages)})
    assert found["balanced"] is balanced


def test_the_balance_names_stages_and_keys_and_leaves_out_those_that_count_nothing() -> None:
    found = balance_of({"clean": ("k1", CLEAN), "tokenizer": ("k2", {}), "pack": ("k3", PACK)})
    assert found["stages"] == [
        {"name": "clean", "key": "k1", **CLEAN},
        {"name": "pack", "key": "k3", **PACK},
    ]


def test_what_a_cut_added_has_a_plus_before_it() -> None:
    assert [amount_dropped(n) for n in (0, 1, 12_345, -1, -12_345)] == [
        *("0", "1", "12,345", "+1", "+12,345")
    ]
