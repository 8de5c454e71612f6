"""The catalog: which record is found, what is taken over from where, what is committed as what."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.engine import catalog as catalog_module
from tasks.engine.attempt import Attempt
from tasks.engine.catalog import Catalog, _check_same
from tasks.engine.computing import ComputedUnit, Place, Work, compute_unit
from tasks.engine.lease import Lease, LeaseLostError
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord, read_recorded
from tasks.engine.units import Unit, UnitReport, UnitWork
from tasks.errors import StageError

STAGE: Stage[Any] = toy_stages(ToySlice(numbers=[]))[0]


def write(work: UnitWork, *, text: str) -> UnitReport:
    work.path(".txt").write_text(text)
    ledger = Ledger()
    ledger.take(documents=2)
    ledger.keep(documents=2 if text else 1)
    return UnitReport(ledger=ledger, rows={".txt": 1}, summary={"text": text})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def begin(store: Store, key: str = "0001") -> Attempt:
    folder = f"{STAGE.folder}/{key}"
    lease = Lease(store, folder, 3600.0)
    assert lease.try_acquire()
    return Attempt(lease, folder)


def catalog_of(attempt: Attempt, *expected: UnitRecord, alone: bool = False) -> Catalog:
    return Catalog(attempt, STAGE, {record.name: record for record in expected}, alone=alone)


def computed(catalog: Catalog, label: str, text: str) -> ComputedUnit:
    place = Place(catalog.store.url(""), catalog.attempt.place)
    return compute_unit(Work(write, label, {"text": text}, place))


def commit(catalog: Catalog, label: str, text: str, *, output: bool = True) -> UnitRecord:
    key = catalog.key(write, Unit(label, {"text": text}))
    done = {key: computed(catalog, label, text)}
    return catalog.commit_all(write, {key: label}, done, output)[key]


def text_of(catalog: Catalog, label: str) -> bytes | None:
    return catalog.store.read(f"{catalog.folder}/{label}.txt")


def test_a_committed_unit_is_recorded_with_what_was_said_of_it(store: Store) -> None:
    catalog = catalog_of(begin(store))
    record = commit(catalog, "rows/1", "a", output=False)
    assert (record.label, record.function, record.output) == ("rows/1", "write", False)
    assert record.summary == {"text": "a"}
    assert record.ledger == {"documents": {"in": 2, "kept": 2, "dropped": {}}}
    assert record.files[".txt"]["rows"] == 1
    assert text_of(catalog, "rows/1") == b"a"
    assert read_recorded(store, catalog.folder) == {record.name: record}
    assert catalog.find(record.key, "rows/1") == record
    assert catalog.find(record.key, "rows/2") is None
    assert catalog.find("other", "rows/1") is None
    again = catalog_of(catalog.attempt)
    assert again.find(record.key, "rows/1") == record
    assert again.find(record.key, "rows/2") is None, "its own are no other artifact's"


def test_a_damaged_unit_is_not_found(store: Store) -> None:
    catalog = catalog_of(begin(store))
    record = commit(catalog, "rows/1", "a")
    store.write(f"{catalog.folder}/rows/1.txt", b"b")
    assert catalog.find(record.key, "rows/1") is None
    assert catalog.find_all([(record.key, "rows/1")]) == [None]


def test_a_unit_of_another_artifact_is_taken_over_under_the_label_wanted(store: Store) -> None:
    """Alone or in a batch there; here it is recorded, and the other keeps its own."""
    other = catalog_of(begin(store, "0001"))
    known = [commit(other, f"rows/{n}", f"text {n}") for n in range(3)]
    mine = catalog_of(begin(store, "0002"))
    found = mine.find(known[1].key, "rows/0")
    assert found == replace(known[1], label="rows/0")
    assert text_of(mine, "rows/0") == b"text 1"
    assert read_recorded(store, mine.folder) == {found.name: found}
    assert len(read_recorded(store, other.folder)) == 3
    assert [text_of(other, f"rows/{n}") for n in range(3)] == [b"text 0", b"text 1", b"text 2"]


def test_units_of_a_batch_elsewhere_are_taken_over_too(store: Store) -> None:
    other = catalog_of(begin(store, "0001"))
    units = {
        other.key(write, Unit("", {"text": str(n)})): computed(other, f"rows/{n}", str(n))
        for n in range(9)
    }
    labels = {key: f"rows/{n}" for n, key in enumerate(units)}
    known = other.commit_all(write, labels, units, output=True)
    assert len(store.names(f"{other.folder}/units")) == 1
    mine = catalog_of(begin(store, "0002"))
    wanted = [(key, f"new/{label}") for key, label in labels.items()]
    found = mine.find_all([*wanted[::-1], ("nothing", "rows/9")])
    assert found[-1] is None
    assert [each.label for each in found[:-1] if each] == [label for _, label in wanted[::-1]]
    assert [each.key for each in found[:-1] if each] == [key for key, _ in wanted[::-1]]
    assert len(read_recorded(store, mine.folder)) == len(known) == 9
    assert text_of(mine, "new/rows/7") == b"7"


def test_a_damaged_unit_of_another_artifact_is_left_there(store: Store) -> None:
    other = catalog_of(begin(store, "0001"))
    record = commit(other, "rows/1", "a")
    store.write(f"{other.folder}/rows/1.txt", b"b")
    mine = catalog_of(begin(store, "0002"))
    assert mine.find(record.key, "rows/1") is None
    assert text_of(mine, "rows/1") is None
    assert read_recorded(store, mine.folder) == {}


def test_who_works_alone_takes_nothing_over(store: Store) -> None:
    record = commit(catalog_of(begin(store, "0001")), "rows/1", "a")
    assert catalog_of(begin(store, "0002"), alone=True).find(record.key, "rows/1") is None


def test_what_is_recorded_here_is_not_recorded_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = catalog_of(begin(store))
    record = commit(catalog, "rows/1", "a")
    written: list[str] = []
    monkeypatch.setattr(catalog.attempt, "write", lambda name, _: written.append(name))
    assert catalog.find(record.key, "rows/1") == record
    assert catalog.find_all([(record.key, "rows/1")]) == [record]
    catalog.result(record, "rows/1", output=True, reused=True)
    assert written == []


def test_many_that_are_taken_over_are_recorded_some_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = catalog_of(begin(store, "0001"))
    units = {
        other.key(write, Unit("", {"text": str(n)})): computed(other, f"rows/{n}", str(n))
        for n in range(25)
    }
    labels = {key: f"rows/{n}" for n, key in enumerate(units)}
    other.commit_all(write, labels, units, output=True)
    mine = catalog_of(begin(store, "0002"))
    together: list[int] = []
    record = mine._book.record

    def noted(records: Any) -> None:
        together.append(len(records))
        record(records)

    monkeypatch.setattr(catalog_module, "_MOST_TOGETHER", 10)
    monkeypatch.setattr(mine._book, "record", noted)
    assert all(mine.find_all(list(labels.items())))
    assert together == [10, 10, 5]
    assert {each.label for each in read_recorded(store, mine.folder).values() if each} == {
        *labels.values()
    }


def test_a_damaged_record_of_another_artifact_is_none(store: Store) -> None:
    other = catalog_of(begin(store, "0001"))
    record = commit(other, "rows/1", "a")
    store.write(f"{other.folder}/{record.path}", b"cut")
    assert catalog_of(begin(store, "0002")).find(record.key, "rows/1") is None


def test_nothing_is_taken_over_without_the_lease(store: Store) -> None:
    record = commit(catalog_of(begin(store, "0001")), "rows/1", "a")
    mine = catalog_of(begin(store, "0002"))
    mine.attempt.lease.token = "another's"
    with pytest.raises(LeaseLostError):
        mine.find(record.key, "rows/1")
    assert text_of(mine, "rows/1") is None


def test_what_is_expected_and_sound_counts_and_is_recorded(store: Store) -> None:
    """Its own record is damaged, the manifest's copy of it is not."""
    attempt = begin(store)
    record = commit(catalog_of(attempt), "rows/1", "a")
    store.remove(f"{attempt.folder}/{record.path}")
    assert catalog_of(attempt).find(record.key, "rows/1") is None
    assert catalog_of(attempt, record).find(record.key, "rows/1") == record
    assert read_recorded(store, attempt.folder) == {record.name: record}


def test_what_is_recorded_counts_before_what_is_expected(store: Store) -> None:
    attempt = begin(store)
    record = commit(catalog_of(attempt), "rows/1", "a", output=False)
    found = catalog_of(attempt, replace(record, output=True)).find(record.key, "rows/1")
    assert found == record


def test_a_unit_made_again_as_it_was_gets_its_old_record(store: Store) -> None:
    attempt = begin(store)
    record = commit(catalog_of(attempt), "rows/1", "a")
    before = replace(record, provenance={"host": "of before"})
    catalog = catalog_of(attempt, before)
    catalog._book.forget([record.name])
    assert commit(catalog, "rows/1", "a") == before
    assert read_recorded(store, attempt.folder) == {record.name: before}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"files": {".txt": {"bytes": 1, "sha256": "0", "rows": 1}}}, r"was \w{16}, is \w{16} now"),
        ({"summary": {}}, "its ledger or summary differs"),
        ({"output": False}, "its ledger or summary differs"),
    ],
)
def test_a_unit_made_again_otherwise_is_refused(
    store: Store, change: dict[str, Any], told: str
) -> None:
    now = commit(catalog_of(begin(store)), "rows/1", "a")
    _check_same(now, replace(now, provenance={}))
    with pytest.raises(StageError, match=f"unit rows/1 was damaged, and made again .*: {told}"):
        _check_same(replace(now, **change), now)


def test_a_unit_that_is_not_what_is_expected_is_neither_moved_nor_recorded(store: Store) -> None:
    attempt = begin(store)
    record = commit(catalog_of(attempt), "rows/1", "a")
    catalog = catalog_of(attempt, replace(record, summary={}))
    catalog.discard(catalog.result(record, "rows/1", output=True, reused=False))
    with pytest.raises(StageError, match="unit rows/1 was damaged, and made again"):
        commit(catalog, "rows/1", "a")
    assert text_of(catalog, "rows/1") is None
    assert read_recorded(store, attempt.folder) == {}


def test_of_several_that_do_not_add_up_the_first_is_told_and_the_others_count(
    store: Store,
) -> None:
    catalog = catalog_of(begin(store))
    texts = {"k0": "", "k1": "a", "k2": ""}
    units = {key: computed(catalog, f"rows/{key}", text) for key, text in texts.items()}
    with pytest.raises(StageError, match="unit rows/k0: the ledger"):
        catalog.commit_all(write, {key: f"rows/{key}" for key in texts}, units, output=True)
    assert catalog.labels("") == ["rows/k1"]
    assert [text_of(catalog, f"rows/{key}") for key in texts] == [None, b"a", None]


def test_a_unit_that_does_not_add_up_is_named_and_not_recorded(store: Store) -> None:
    catalog = catalog_of(begin(store))
    with pytest.raises(StageError, match="first, unit rows/1: the ledger does not balance"):
        commit(catalog, "rows/1", "")
    assert text_of(catalog, "rows/1") is None
    assert read_recorded(store, catalog.folder) == {}


def test_the_artifact_is_made_of_what_was_asked_for_in_its_last_order(store: Store) -> None:
    catalog = catalog_of(begin(store))
    one, two, three = (commit(catalog, f"rows/{n}", str(n)) for n in (1, 2, 3))
    for record in (two, one, two):
        catalog.use(record)
    assert catalog.used == [one, two]
    result = catalog.result(three, "rows/3", output=True, reused=False)
    assert catalog.used == [one, two, three]
    assert (result.label, result.reused) == ("rows/3", False)
    assert catalog.result(one, "rows/1", output=True, reused=True).reused


def test_a_unit_asked_for_under_another_label_or_as_no_output_is_recorded_so(store: Store) -> None:
    catalog = catalog_of(begin(store))
    one = commit(catalog, "rows/1", "a")
    result = catalog.result(one, "rows/2", output=True, reused=False)
    assert result.label == "rows/2"
    assert text_of(catalog, "rows/2") == b"a"
    catalog.result(one, "rows/1", output=False, reused=False)
    assert [(each.label, each.output) for each in catalog.used] == [
        ("rows/2", True),
        ("rows/1", False),
    ]
    found = read_recorded(store, catalog.folder).values()
    assert sorted((each.label, each.output) for each in found if each) == [
        ("rows/1", False),
        ("rows/2", True),
    ]


def test_a_discarded_unit_is_used_recorded_and_there_no_more(store: Store) -> None:
    catalog = catalog_of(begin(store))
    one, two = (commit(catalog, f"rows/{n}", str(n)) for n in (1, 2))
    results = [catalog.result(each, each.label, output=True, reused=False) for each in (one, two)]
    catalog.discard(results[0])
    assert catalog.used == [two]
    assert catalog.labels("rows/") == ["rows/2"]
    assert (text_of(catalog, "rows/1"), text_of(catalog, "rows/2")) == (None, b"2")
    assert catalog.find(one.key, "rows/1") is None
    catalog.discard(results[0])


def test_labels_are_those_that_begin_so_sound_or_not(store: Store) -> None:
    catalog = catalog_of(begin(store))
    for label in ("steps/2", "steps/10", "step", "rows/steps/1", "a--b/c"):
        commit(catalog, label, label)
    store.remove(f"{catalog.folder}/steps/2.txt")
    for known in (catalog, catalog_of(catalog.attempt)):
        assert known.labels("steps/") == ["steps/10", "steps/2"]
        assert known.labels("step") == ["step", "steps/10", "steps/2"]
        assert known.labels("a--b/") == ["a--b/c"]
        assert known.labels("") == ["a--b/c", "rows/steps/1", "step", "steps/10", "steps/2"]


def test_files_are_flushed_by_their_names_before_their_record_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are taken over, and those that get another label."""
    record = commit(catalog_of(begin(store, "0001")), "rows/1", "a")
    mine = catalog_of(begin(store, "0002"))
    said: list[str] = []
    flush, put = store.flush_names, mine.attempt.write

    def noted_flush(paths: Any) -> None:
        said.extend(f"flush {path.removeprefix(mine.folder)}" for path in paths)
        flush(paths)

    def noted_write(name: str, content: bytes) -> None:
        said.append(f"write {name.partition('--')[2]}")
        put(name, content)

    monkeypatch.setattr(store, "flush_names", noted_flush)
    monkeypatch.setattr(mine.attempt, "write", noted_write)
    found = mine.find(record.key, "rows/2")
    assert found is not None
    mine.result(found, "rows/3", output=True, reused=True)
    assert said == [
        *("flush /rows/2.txt", "write rows+2.json"),
        *("flush /rows/3.txt", "write rows+3.json"),
    ]
