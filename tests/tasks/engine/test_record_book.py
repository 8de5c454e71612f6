"""The record book: which units share a file, which file counts, and what is left of a batch."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.engine.attempt import Attempt
from tasks.engine.lease import Lease, LeaseLostError
from tasks.engine.record_book import RecordBook
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord, count_units, is_batch, read_recorded, read_units

FOLDER = "1-first/0123"


def unit(number: int, *, output: bool = True) -> UnitRecord:
    return UnitRecord(f"key{number:02}", f"u{number:02}", "f", output, {}, {}, {}, {})


def units(*numbers: int) -> list[UnitRecord]:
    return [unit(number) for number in numbers]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture
def attempt(store: Store) -> Attempt:
    lease = Lease(store, FOLDER, 3600.0)
    assert lease.try_acquire()
    return Attempt(lease, FOLDER)


def names(store: Store) -> list[str]:
    return store.names(f"{FOLDER}/units")


def recorded(store: Store) -> list[UnitRecord | None]:
    found = read_recorded(store, FOLDER)
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize(("count", "files"), [(1, 1), (7, 7), (8, 1), (300, 1)])
def test_eight_units_share_a_file_and_fewer_have_their_own(
    store: Store, attempt: Attempt, count: int, files: int
) -> None:
    book = RecordBook(attempt)
    book.record(units(*range(count)))
    assert len(names(store)) == files
    assert count_units(names(store)) == count
    assert recorded(store) == sorted(units(*range(count)), key=lambda each: each.name)
    for known in (book, RecordBook(attempt)):
        assert known.names() == {each.name for each in units(*range(count))}
        assert known.read(unit(count - 1).name) == unit(count - 1)
        assert known.read(unit(count).name) is None


def test_only_units_without_a_record_are_counted_for_a_shared_file(
    store: Store, attempt: Attempt
) -> None:
    """What is said of a unit later has a file of its own: it counts before the batch's."""
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    book.record([unit(0, output=False), *units(*range(8, 15))])
    assert sum(map(is_batch, names(store))) == 1
    assert count_units(names(store)) == 16
    book.record([unit(1, output=False), *units(*range(20, 28))])
    assert sum(map(is_batch, names(store))) == 2
    for known in (book, RecordBook(attempt)):
        read = [known.read(unit(number).name) for number in (0, 1, 2, 8, 27)]
        assert read == [unit(0, output=False), unit(1, output=False), *units(2, 8, 27)]


def test_a_unit_with_a_file_of_its_own_keeps_to_it(store: Store, attempt: Attempt) -> None:
    """In a batch nobody would see what is said of it last."""
    book = RecordBook(attempt)
    book.record([unit(30)])
    book.record([unit(30, output=False), *units(*range(8))])
    assert book.read(unit(30).name) == unit(30, output=False)
    assert RecordBook(attempt).read(unit(30).name) == unit(30, output=False)
    assert count_units(names(store)) == 9


def test_forgetting_a_unit_of_one_batch_leaves_the_other_batch(
    store: Store, attempt: Attempt
) -> None:
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    book.record(units(*range(8, 16)))
    second = [name for name in names(store) if unit(8) in read_units(store, FOLDER, name)]
    book.forget([unit(0).name])
    assert second[0] in names(store)
    assert sorted(book.names()) == [each.name for each in units(*range(1, 16))]
    book.forget([unit(8).name, unit(1).name])
    assert recorded(store) == units(*range(2, 8), *range(9, 16))
    assert book.keep([each.name for each in units(2, 9)]) == {
        f"units/{name}" for name in names(store)
    }
    assert recorded(store) == units(2, 9)


def test_a_damaged_record_of_a_units_own_is_none_though_its_batch_has_one(
    store: Store, attempt: Attempt
) -> None:
    RecordBook(attempt).record(units(*range(8)))
    store.write(f"{FOLDER}/{unit(3).path}", b"cut")
    book = RecordBook(attempt)
    assert book.read(unit(3).name) is None
    assert unit(3).name in book.names()


def test_a_forgotten_unit_is_recorded_nowhere_and_its_neighbours_are(
    store: Store, attempt: Attempt
) -> None:
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    book.record([unit(2, output=False), unit(9)])
    book.forget([unit(2).name, unit(5).name])
    rest = units(0, 1, 3, 4, 6, 7, 9)
    assert recorded(store) == rest
    for known in (book, RecordBook(attempt)):
        assert known.names() == {each.name for each in rest}
        assert known.read(unit(2).name) is None
        assert known.read(unit(7).name) == unit(7)
    book.forget([unit(0).name])
    assert recorded(store) == rest[1:]


def test_a_forgotten_unit_may_be_recorded_in_a_shared_file_again(
    store: Store, attempt: Attempt
) -> None:
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    book.forget([each.name for each in units(*range(8))])
    assert names(store) == []
    book.record(units(*range(8)))
    assert [is_batch(name) for name in names(store)] == [True]


def test_what_is_kept_is_recorded_once_and_its_files_are_told(
    store: Store, attempt: Attempt
) -> None:
    """The unit with a file of its own leaves its batch; what is not used leaves it as well."""
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    book.record([unit(2, output=False), unit(9), unit(10)])
    kept = book.keep([each.name for each in units(0, 1, 2, 9)])
    batches = [name for name in names(store) if is_batch(name)]
    assert kept == {f"units/{name}" for name in (*batches, unit(2).name, unit(9).name)}
    assert [count_units([name]) for name in batches] == [2]
    assert unit(10).name in names(store), "its file is left to who clears away"
    assert book.keep([each.name for each in units(0, 1, 2, 9)]) == kept


def test_nothing_is_recorded_without_the_lease(store: Store, attempt: Attempt) -> None:
    book = RecordBook(attempt)
    book.record(units(*range(8)))
    before = names(store)
    attempt.lease.token = "another's"
    with pytest.raises(LeaseLostError):
        book.record([unit(9)])
    with pytest.raises(LeaseLostError):
        book.record(units(*range(20, 30)))
    with pytest.raises(LeaseLostError):
        book.forget([unit(0).name])
    assert names(store) == before


def test_a_record_of_one_unit_may_be_said_anew(store: Store, attempt: Attempt) -> None:
    book = RecordBook(attempt)
    book.record([unit(1)])
    book.record([replace(unit(1), summary={"n": 1})])
    assert book.read(unit(1).name) == replace(unit(1), summary={"n": 1})
    assert len(names(store)) == 1
