"""One stage from its key to its manifest: what the key knows, what is refused, what is cleared."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, add_numbers, toy_stages, write_number

from tasks.config import Config
from tasks.engine.attempt import Attempt
from tasks.engine.catalog import Catalog
from tasks.engine.forcing import FORCED, begin_anew, is_forced
from tasks.engine.identity import key_of
from tasks.engine.lease import Lease, LeaseLostError
from tasks.engine.ledger import Ledger
from tasks.engine.records import Artifact, read_manifest
from tasks.engine.runner import (
    _check_ledger,
    _named,
    identify,
    run_stage,
    set_aside,
)
from tasks.engine.sealing import seal, unseal
from tasks.engine.stage import StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UnitRecord
from tasks.engine.units import StoredFile, Unit
from tasks.errors import StageError, TransientError, UserError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
FIRST, SECOND = toy_stages(ToySlice(numbers=[1, 2], value=3))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def artifact(store: Store, **fields: Any) -> Artifact:
    known = {"key": "k", "output_digest": "d", "ledger": {}, "summary": {"n": 1}}
    return Artifact(store, "1-first/k", {**known, **fields})


def outside(digest: str, place: str = "/a") -> StoredFile:
    return StoredFile(place, digest, 3)


def test_a_stages_key_is_made_of_all_that_decides_its_bytes(store: Store) -> None:
    stage = replace(SECOND, externals=lambda _: {"model": outside("abc")})
    found = identify(stage, CONFIG, {"first": artifact(store)})
    assert found.key == key_of(
        {
            **{"stage": "second", "version": 1, "libraries": {}, "config": None},
            **{"externals": {"model": "abc"}, "inputs": {"first": "d"}},
        }
    )
    assert found.externals == {"model": outside("abc")}
    assert list(found.inputs) == ["first"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"version": 2},
        {"libraries": ("unicode",)},
        {"config": lambda _: ToySlice(numbers=[1])},
        {"externals": lambda _: {"model": outside("abc")}},
        {"externals": lambda _: {"tokenizer": outside("abc")}},
        {"input_digest": lambda artifact: artifact.key},
        {"needs": ()},
        {"stands": lambda _: True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_of_these_makes_another_key(store: Store, change: dict[str, Any]) -> None:
    inputs = {"first": artifact(store)}
    base = identify(SECOND, CONFIG, inputs).key
    keys = {base, identify(replace(SECOND, **change), CONFIG, inputs).key}
    assert len(keys) == 2


def test_neither_an_inputs_key_nor_a_files_place_is_part_of_a_key(store: Store) -> None:
    def key(place: str, **fields: Any) -> str:
        stage = replace(SECOND, externals=lambda _: {"model": outside("abc", place)})
        return identify(stage, CONFIG, {"first": artifact(store, **fields)}).key

    assert key("/a") == key("/b", key="other", summary={})
    assert key("/a") != key("/a", output_digest="other")


def test_an_artifact_that_stands_knows_nothing_of_its_inputs(store: Store) -> None:
    stage = replace(SECOND, stands=lambda _: True)
    one, other = artifact(store), artifact(store, output_digest="other")
    found = identify(stage, CONFIG, {"first": one})
    assert found.key == identify(stage, CONFIG, {"first": other}).key
    assert found.key == identify(stage, CONFIG, {}).key
    manifest = {"inputs": {"first": {"digest": "d"}}}
    assert not found.inputs_differ(stage, manifest)
    assert identify(stage, CONFIG, {"first": other}).inputs_differ(stage, manifest)
    assert not identify(stage, CONFIG, {}).inputs_differ(stage, manifest)
    assert not identify(SECOND, CONFIG, {"first": other}).inputs_differ(SECOND, manifest)
    with pytest.raises(KeyError):
        identify(SECOND, CONFIG, {})


def kept(store: Store, **amounts: int) -> dict[str, Artifact]:
    ledger = {name: {"in": n, "kept": n, "dropped": {}} for name, n in amounts.items()}
    return {"first": artifact(store, ledger=ledger)}


def report(**amounts: int) -> StageReport:
    ledger = Ledger()
    ledger.take(**amounts)
    ledger.keep(**amounts)
    return StageReport(ledger)


def test_each_measure_arrives_as_it_was_kept(store: Store) -> None:
    before = kept(store, documents=2, bytes=1000)
    _check_ledger(SECOND, report(documents=2, bytes=1000), before)
    _check_ledger(SECOND, report(documents=2, tokens=5), before)
    _check_ledger(SECOND, report(), before)
    _check_ledger(replace(SECOND, needs=()), report(documents=9), {})
    for amounts in ({"documents": 2, "bytes": 999}, {"bytes": 1001}, {"bytes": 0}):
        with pytest.raises(StageError, match=r"first kept 1,000 bytes but [\d,]+ arrived"):
            _check_ledger(SECOND, report(**amounts), before)


def test_a_stage_whose_own_ledger_is_wrong_is_refused(store: Store) -> None:
    ledger = Ledger()
    ledger.take(documents=3)
    with pytest.raises(StageError, match="second: the ledger does not balance"):
        _check_ledger(SECOND, StageReport(ledger), kept(store))


def test_a_message_begins_with_its_stage_once() -> None:
    assert _named(FIRST, "no text") == "first: no text"
    assert _named(FIRST, "first: no text") == "first: no text"
    assert _named(FIRST, "first of all") == "first: first of all"


@pytest.mark.parametrize("kind", [UserError, StageError, TransientError, LeaseLostError])
def test_a_stages_error_keeps_its_kind(store: Store, kind: type[Exception]) -> None:
    def fails(_: StageContext[Any]) -> StageReport:
        raise kind("no text")

    with pytest.raises(kind, match="^first: no text$") as told:
        run_stage(replace(FIRST, run=fails), CONFIG, store)
    assert type(told.value) is kind


def test_an_error_of_the_disk_is_told_as_the_stages(store: Store) -> None:
    def fails(_: StageContext[Any]) -> StageReport:
        raise OSError(28, "No space left on device")

    with pytest.raises(StageError, match="^first: there is no space left on the disk"):
        run_stage(replace(FIRST, run=fails), CONFIG, store)


def made(store: Store, **changes: Any) -> Artifact:
    return run_stage(replace(FIRST, **changes), CONFIG, store).artifact


def test_a_manifest_says_what_the_artifact_was_made_of(store: Store) -> None:
    first = made(store, version=7, externals=lambda _: {"model": outside("abc")})
    second = run_stage(SECOND, CONFIG, store, {"first": first}).artifact
    manifest = first.manifest
    assert (manifest["stage"], manifest["version"], manifest["libraries"]) == ("first", 7, {})
    assert manifest["config"] == {"numbers": [1, 2], "value": 3}
    assert manifest["externals"] == {"model": "abc"}
    assert manifest["summary"] == {"numbers": [1, 2]}
    assert manifest["ledger"]["documents"] == {
        **{"in": 4, "kept": 2},
        "dropped": {"even": 1, "odd": 1},
    }
    assert first.folder == f"1-first/{first.key}"
    assert second.manifest["inputs"] == {"first": {"key": first.key, "digest": first.digest}}
    assert second.manifest["summary"] == {"total": 9}
    assert read_manifest(store, first.folder) == first


def test_the_manifest_is_written_when_nothing_else_is_left(store: Store) -> None:
    """What it does not name is gone before, and so is the scratch that lasts."""

    def litters(context: StageContext[Any]) -> StageReport:
        (context.lasting_scratch() / "checkpoint").write_text("x")
        (context.scratch() / "notes").write_text("x")
        context.map(write_number, [Unit("numbers/7", {"number": 7, "value": 1})])
        return FIRST.run(context)

    folder = made(store, run=litters).folder
    store.remove(f"{folder}/manifest.json")
    for path in ("numbers/left.txt", "numbers/.x.tmp", "replaced.json.bak", "units/left.json"):
        store.write(f"{folder}/{path}", b"{}")
    store.write(f"{folder}/{FORCED}", seal({"by": "somebody"}))
    manifest = made(store).manifest
    found = [path for path in store.files(folder, temporary=True) if path[:7] != ".lease/"]
    assert sorted(path for path in found if not path.startswith("units/")) == [
        *("forced.json", "manifest.json", "numbers/00000.txt", "numbers/00001.txt"),
    ]
    names = {UnitRecord.from_json(record).name for record in manifest["units"]}
    assert {path.removeprefix("units/") for path in found if path.startswith("units/")} == names
    assert not store.exists(f"{folder}/.work")
    assert not store.exists(f"{folder}/.lasting")


def begin(store: Store, folder: str) -> Attempt:
    lease = Lease(store, folder, 3600.0)
    assert lease.try_acquire()
    return Attempt(lease, folder)


def test_a_manifest_that_is_set_aside_stays_until_the_new_one_is_written(store: Store) -> None:
    first = made(store)
    attempt, identity = begin(store, first.folder), identify(FIRST, CONFIG, {})
    old = store.read(f"{first.folder}/manifest.json")
    expected = set_aside(attempt, FIRST, identity)
    assert expected == {unit.name: unit for unit in first.units}
    assert read_manifest(store, first.folder) is None
    assert store.read(f"{first.folder}/replaced.json") == old
    assert set_aside(attempt, FIRST, identity) == expected, "and once more after a kill"
    store.write(f"{first.folder}/manifest.json", b"cut")
    assert set_aside(attempt, FIRST, identity) == expected
    assert store.read(f"{first.folder}/replaced.json") == old, "a damaged one replaces nothing"
    assert not store.exists(f"{first.folder}/manifest.json")


def test_the_old_manifest_goes_when_the_new_one_is_written(store: Store) -> None:
    folder = made(store).folder
    store.write(f"{folder}/numbers/00001.txt", b"7\n")
    again = made(store)
    assert not store.exists(f"{folder}/replaced.json")
    assert again.damaged() == {}


def test_nothing_is_set_aside_without_the_lease(store: Store) -> None:
    first = made(store)
    attempt = begin(store, first.folder)
    attempt.lease.token = "another's"
    with pytest.raises(LeaseLostError):
        set_aside(attempt, FIRST, identify(FIRST, CONFIG, {}))
    assert not store.exists(f"{first.folder}/replaced.json")
    assert read_manifest(store, first.folder) == first


def test_what_stood_while_its_inputs_changed_is_not_made_again(store: Store) -> None:
    stage = replace(SECOND, stands=lambda _: True)
    first, other = made(store), made(store, config=lambda _: ToySlice(numbers=[5]))
    second = run_stage(stage, CONFIG, store, {"first": first}).artifact
    assert run_stage(stage, CONFIG, store, {"first": other}).state == "cached"
    store.write(f"{second.folder}/sum.txt", b"0\n")
    for _ in range(2):
        with pytest.raises(StageError, match="what they were made from has changed since"):
            run_stage(stage, CONFIG, store, {"first": other})
    assert run_stage(stage, CONFIG, store, {"first": first}).artifact.digest == second.digest
    store.write(f"{second.folder}/sum.txt", b"0\n")
    forced = run_stage(stage, CONFIG, store, {"first": other}, force="me")
    assert forced.artifact.file("sum.txt").local().read_text() == "5\n"


def test_what_is_forced_is_decided_by_the_word_beside_the_artifact(store: Store) -> None:
    assert not is_forced(store, "f", None)
    assert is_forced(store, "f", "me")
    store.write(f"f/{FORCED}", seal({"by": "me"}))
    assert not is_forced(store, "f", "me")
    assert is_forced(store, "f", "you")
    store.write(f"f/{FORCED}", b"cut")
    assert is_forced(store, "f", "me")


def test_to_begin_anew_forgets_all_and_says_so_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin(store, "f")
    for path in ("manifest.json", "replaced.json", "units/a.json", "rows/0.txt"):
        store.write(f"f/{path}", b"{}")
    (attempt.lasting_scratch() / "checkpoint").write_text("x")
    left: list[list[str]] = []
    write = attempt.write

    def noted(name: str, content: bytes) -> None:
        left.append([path for path in store.files("f") if not path.startswith(".lease/")])
        write(name, content)

    monkeypatch.setattr(attempt, "write", noted)
    begin_anew(attempt, "me")
    assert left == [["rows/0.txt"]]
    assert unseal(store.read(f"f/{FORCED}")) == {"by": "me"}


def test_a_forced_stage_takes_nothing_over_from_its_neighbours(store: Store, computed: Any) -> None:
    made(store)
    computed()
    more = replace(FIRST, config=lambda _: ToySlice(numbers=[1, 2, 5], value=3))
    run_stage(more, CONFIG, store, force="me")
    assert len(computed()) == 3


def test_only_inputs_that_are_declared_are_given(store: Store) -> None:
    seen: list[Mapping[str, Any]] = []

    def looks(context: StageContext[Any]) -> StageReport:
        seen.append(context.input("first").manifest)
        with pytest.raises(AssertionError, match="second does not declare 'other'"):
            context.input("other")
        return StageReport()

    first = made(store)
    run_stage(replace(SECOND, run=looks), CONFIG, store, {"first": first, "other": first})
    assert seen == [first.manifest]


def test_a_units_key_is_made_of_stage_version_libraries_function_and_payload(store: Store) -> None:
    attempt = begin(store, "1-first/k")

    def key(stage: Any = FIRST, function: Any = write_number, **payload: Any) -> str:
        return Catalog(attempt, stage, {}, alone=True).key(function, Unit("rows/1", payload))

    assert key(text="a") == key_of(
        {
            **{"stage": "first", "version": 1, "libraries": {}},
            **{"function": "write_number", "payload": {"text": "a"}},
        }
    )
    changes: list[dict[str, Any]] = [{"name": "x"}, {"version": 2}, {"libraries": ("unicode",)}]
    others = {key(replace(FIRST, **change), text="a") for change in changes}
    others |= {key(function=add_numbers, text="a"), key(text="b"), key(texts="a")}
    assert len(others | {key(text="a")}) == 7
