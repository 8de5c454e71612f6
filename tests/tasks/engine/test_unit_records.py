"""Units' records: their names, what makes two the same, several in one file, forgetting some."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.engine import digests
from tasks.engine.sealing import seal
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import (
    UnitRecord,
    batch_file,
    count_units,
    forget_units,
    is_batch,
    read_batches,
    read_recorded,
    read_unit,
    read_units,
)
from tasks.errors import StageError

LEDGER = {"documents": {"in": 2, "kept": 1, "dropped": {"short": 1}}}


def unit(number: int, **changes: Any) -> UnitRecord:
    made = UnitRecord(
        key=f"key{number}",
        label=f"rows/{number}",
        function="pack",
        output=True,
        files={".txt": {"bytes": 1, "sha256": "abc", "rows": 1}},
        ledger=LEDGER,
        summary={"number": number},
        provenance={"host": "here"},
    )
    return replace(made, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def write_batch(store: Store, *units: UnitRecord) -> str:
    name, content = batch_file(units)
    store.write(f"f/units/{name}", content)
    return name


def write_alone(store: Store, unit: UnitRecord) -> str:
    store.write(f"f/{unit.path}", seal(unit.to_json()))
    return unit.name


def test_a_record_is_found_by_its_key_and_label() -> None:
    made = unit(1, key="0123", label="train/a/b")
    assert made.name == UnitRecord.name_of("0123", "train/a/b") == "0123--train+a+b.json"
    assert made.path == "units/0123--train+a+b.json"


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other"},
        {"label": "rows/2"},
        {"output": False},
        {"files": {".txt": {"bytes": 1, "sha256": "abd", "rows": 1}}},
        {"files": {".txt": {"bytes": 1, "sha256": "abc", "rows": 2}}},
        {"files": {".bin": {"bytes": 1, "sha256": "abc", "rows": 1}}},
        {"ledger": {"documents": {"in": 2, "kept": 2, "dropped": {}}}},
        {"summary": {"number": 2}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_of_these_makes_it_other_work(change: dict[str, Any]) -> None:
    assert not unit(1).same_work(replace(unit(1), **change))
    assert not replace(unit(1), **change).same_work(unit(1))


def test_the_same_result_of_another_time_and_host_is_the_same_work() -> None:
    assert unit(1).same_work(unit(1, provenance={"host": "there"}, function="pack_rows"))


def test_a_record_of_other_fields_is_refused() -> None:
    plain = unit(1).to_json()
    assert UnitRecord.from_json(plain) == unit(1)
    for wrong in ({**plain, "more": 1}, {k: v for k, v in plain.items() if k != "summary"}):
        with pytest.raises(StageError, match="does not have the fields of format 4"):
            UnitRecord.from_json(wrong)


def test_a_units_files_are_known_by_their_bytes_and_rows(store: Store) -> None:
    store.write("f/rows/1.txt", b"a")
    known = unit(1, files={".txt": {"bytes": 1, "sha256": "wrong", "rows": 7}})
    file = known.stored(store, "f", ".txt")
    assert (file.url, file.sha256) == (f"{store.root}/f/rows/1.txt", "wrong")
    assert (file.bytes, file.rows, file.stamp) == (1, 7, None)
    result = known.result(store, "f", reused=True)
    assert (result.label, result.key, result.reused) == ("rows/1", "key1", True)
    assert result.files == {".txt": file}
    assert result.ledger.to_json() == LEDGER
    assert (result.summary, result.provenance) == ({"number": 1}, {"host": "here"})


def test_damage_is_told_of_each_file_by_its_path(store: Store) -> None:
    """A missing one, one of another size, one of other bytes; the sound one is not named."""
    entries = {}
    for suffix in (".a", ".b", ".c", "/d"):
        store.write(f"f/rows/1{suffix}", b"text")
        digest = store.digest(f"f/rows/1{suffix}")
        entries[suffix] = {"bytes": 4, "sha256": digest, "rows": None}
    made = unit(1, files=entries)
    assert made.damaged(store, "f") == []
    store.remove("f/rows/1.a")
    store.write("f/rows/1.b", b"texts")
    store.write("f/rows/1/d", b"tezt")
    for anew in (False, True):
        assert made.damaged(store, "f", anew=anew) == ["rows/1.a", "rows/1.b", "rows/1/d"]


def test_what_is_remembered_of_a_file_counts_unless_it_is_read_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("f/rows/1.txt", b"a")
    monkeypatch.setattr(digests, "_SETTLED_NS", -1 << 62)
    monkeypatch.setattr(digests, "recall", lambda _: "abc")
    assert unit(1).damaged(store, "f") == []
    assert unit(1).damaged(store, "f", anew=True) == ["rows/1.txt"]


def test_units_are_counted_by_the_names_of_their_files() -> None:
    assert count_units([]) == 0
    assert count_units(["k--a.json", "k2--a--3.json", "batch-0123456789abcdef--17.json"]) == 19
    assert is_batch("batch-0123456789abcdef--17.json")
    assert not is_batch("k--batch-1.json")


def test_the_file_of_a_batch_is_named_by_its_records_and_their_number() -> None:
    name, content = batch_file([unit(1), unit(2)])
    assert name == batch_file([unit(1), unit(2, provenance={})])[0]
    assert name != batch_file([unit(2), unit(1)])[0]
    assert name.startswith("batch-")
    assert name.endswith("--2.json")
    assert len(name) == len("batch-0123456789abcdef--2.json")
    assert content.count(b"\n") == 1


def test_units_are_read_in_the_order_they_were_written(store: Store) -> None:
    name = write_batch(store, unit(3), unit(1), unit(2))
    assert read_units(store, "f", name) == [unit(3), unit(1), unit(2)]
    alone = write_alone(store, unit(4))
    assert read_unit(store, "f", alone) == unit(4)
    assert read_units(store, "f", "nothing.json") == []
    assert read_unit(store, "f", "nothing.json") is None


def test_each_record_of_the_batches_is_known_with_its_file(store: Store) -> None:
    one, two = write_batch(store, unit(1), unit(2)), write_batch(store, unit(3))
    write_alone(store, unit(4))
    assert read_batches(store, "f", store.names("f/units")) == {
        unit(1).name: (unit(1), one),
        unit(2).name: (unit(2), one),
        unit(3).name: (unit(3), two),
    }


def test_a_units_own_file_counts_before_its_batch(store: Store) -> None:
    write_batch(store, unit(1), unit(2))
    write_alone(store, unit(1, output=False))
    assert read_recorded(store, "f") == {
        unit(1).name: unit(1, output=False),
        unit(2).name: unit(2),
    }


def test_a_damaged_own_file_is_known_as_one(store: Store) -> None:
    write_batch(store, unit(1), unit(2))
    store.write(f"f/{unit(1).path}", b"{}")
    store.write(f"f/{unit(3).path}", b"")
    recorded = read_recorded(store, "f")
    assert recorded[unit(1).name] is None
    assert recorded[unit(3).name] is None
    assert recorded[unit(2).name] == unit(2)


def test_the_rest_of_a_batch_is_written_before_the_whole_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the fence before each; cut short in between all are recorded."""
    before = write_batch(store, unit(1), unit(2), unit(3))
    after = batch_file([unit(1), unit(3)])[0]
    said: list[str] = []
    write, remove = store.write, store.remove

    def noted_write(path: str, content: bytes, *, flush: bool = True) -> None:
        said.append(f"write {path.rpartition('/')[2]}")
        write(path, content, flush=flush)

    def noted_remove(path: str) -> None:
        said.append(f"remove {path.rpartition('/')[2]}")
        remove(path)

    monkeypatch.setattr(store, "write", noted_write)
    monkeypatch.setattr(store, "remove", noted_remove)
    kept = forget_units(store, "f", before, {unit(2).name}, lambda: said.append("check"))
    assert kept == after
    assert said == ["check", f"write {after}", "check", f"remove {before}"]
    assert read_units(store, "f", after) == [unit(1), unit(3)]


def test_forgetting_none_or_all_of_a_file(store: Store) -> None:
    name = write_batch(store, unit(1), unit(2))
    said: list[str] = []
    assert forget_units(store, "f", name, {unit(7).name}, lambda: said.append("check")) == name
    assert said == []
    assert store.names("f/units") == [name]
    gone = {unit(1).name, unit(2).name}
    assert forget_units(store, "f", name, gone, lambda: said.append("check")) is None
    assert said == ["check"]
    assert store.names("f/units") == []


def test_a_damaged_file_of_records_goes_whatever_is_forgotten(store: Store) -> None:
    """It records nothing, and its name would still count."""
    name = write_batch(store, unit(1))
    store.write(f"f/units/{name}", b"{}")
    assert forget_units(store, "f", name, set()) is None
    assert store.names("f/units") == []
