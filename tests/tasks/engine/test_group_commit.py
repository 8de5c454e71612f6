"""Tiny units are committed together: the order of what is written, and records that share a file.

What is said of a unit last counts, whichever file says it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages, write_number

from tasks.config import Config
from tasks.engine import context as context_module
from tasks.engine import executors
from tasks.engine.computing import Place, Work, compute_unit
from tasks.engine.lease import Lease
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stage import StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UNITS, count_units, is_batch, read_recorded, read_units
from tasks.engine.units import Unit, UnitReport, UnitWork
from tasks.inspection import verify

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
MANY = 60


@pytest.fixture(autouse=True)
def _batches_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: units that take long are given and recorded one by one."""
    monkeypatch.setattr(executors, "_BATCH_SECONDS", 30.0)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, place: Any) -> Store:
    return open_store(place(request.param)("store"))


def run(store: Store, numbers: list[int], work: Any = None, **options: Any) -> Outcome:
    first, _ = toy_stages(ToySlice(numbers=numbers))
    if work is not None:
        object.__setattr__(first, "run", work)
    return run_stage(first, CONFIG, store, **options)


def batches(store: Store, folder: str) -> list[str]:
    return [name for name in store.names(f"{folder}/{UNITS}") if is_batch(name)]


def largest(store: Store, folder: str) -> str:
    return max(batches(store, folder), key=lambda name: count_units([name]))


def test_files_are_moved_and_flushed_then_recorded_and_the_fence_is_before_each(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every batch: check, its files, their folders, check, its records; last the manifest."""
    said: list[tuple[str, Any]] = []

    def noted(name: str, told: Callable[..., Any]) -> None:
        action = getattr(store, name)

        def note(*arguments: Any, **options: Any) -> Any:
            done = action(*arguments, **options)
            said.append((name, told(*arguments)))
            return done

        monkeypatch.setattr(store, name, note)

    noted("move_new", lambda _, target: target)
    noted("flush_names", list)
    noted("write", lambda path, _: path)
    check = Lease.check

    def noted_check(lease: Lease) -> None:
        said.append(("check", ""))
        check(lease)

    monkeypatch.setattr(Lease, "check", noted_check)
    artifact = run(store, list(range(MANY))).artifact

    placed: set[str] = set()
    flushed: set[str] = set()
    recorded: set[str] = set()
    for place, (name, told) in enumerate(said):
        if name == "move_new":
            placed.add(told)
            assert any(said[at][0] == "check" for at in range(max(0, place - 32), place))
        elif name == "flush_names":
            flushed |= placed.intersection(told)
        elif name == "write" and f"/{UNITS}/" in told:
            # Of few records each has a file, and they are written side by side.
            start = max(at for at in range(place) if said[at][0] == "flush_names")
            names = [name for name, _ in said[start : place + 1]]
            assert names.count("check") >= names.count("write")
            for unit in read_units(store, artifact.folder, told.rsplit("/", 1)[1]):
                recorded.add(unit.label)
                assert f"{artifact.folder}/{unit.label}.txt" in flushed
    assert len(recorded) == len(placed) == MANY
    written = [told for name, told in said if name == "write" and "/.lease/" not in told]
    assert written[-1] == f"{artifact.folder}/manifest.json"
    flushes = sum(name == "flush_names" for name, _ in said)
    assert flushes < MANY / 2
    assert len(store.names(f"{artifact.folder}/{UNITS}")) < MANY / 2


def test_a_damaged_file_of_records_is_written_anew_from_the_manifest(
    store: Store, computed: Any
) -> None:
    """Nothing is computed, and all units count again."""
    outcome = run(store, list(range(MANY)))
    folder = outcome.artifact.folder
    name = largest(store, folder)
    path = f"{folder}/{UNITS}/{name}"
    sound = store.read(path) or b""
    store.write(path, sound.replace(b'"rows"', b'"rowz"', 1))
    assert len(outcome.artifact.damaged()) == count_units([name])
    computed()
    again = run(store, list(range(MANY)))
    assert (again.state, computed()) == ("done", [])
    assert again.artifact.manifest == outcome.artifact.manifest
    assert again.artifact.damaged() == {}
    assert store.read(path) == sound


def test_units_of_a_batch_are_taken_over_by_the_next_artifact(store: Store, computed: Any) -> None:
    """Found by their keys in the files of other artifacts; recorded together there too."""
    run(store, list(range(MANY)))
    computed()
    more = run(store, [1000, *range(MANY)])
    assert computed() == ["numbers/00000"]
    assert count_units(store.names(f"{more.artifact.folder}/{UNITS}")) == MANY + 1
    assert len(store.names(f"{more.artifact.folder}/{UNITS}")) <= 3


def test_one_unit_of_a_batch_can_be_forgotten_and_made_again(store: Store, computed: Any) -> None:
    """`labels` and `committed` know of it no more; its neighbours stay."""
    units = [Unit(f"numbers/{n:05d}", {"number": n, "value": 1}) for n in range(MANY)]
    seen: list[Any] = []

    def forgets(context: StageContext[ToySlice]) -> StageReport:
        results = context.map(write_number, units)
        gone = results[-1]
        context.discard(gone)
        seen.append(context.labels("numbers/"))
        seen.append(context.committed(write_number, units[-1]))
        seen.append(context.committed(write_number, units[-2]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, list(range(MANY)), forgets)
    labels, gone, kept = seen
    assert labels == [unit.label for unit in units[:-1]]
    assert gone is None
    assert kept is not None
    computed()
    assert run(store, list(range(MANY))).state == "done"
    assert computed() == [units[-1].label]


def test_what_is_said_of_a_unit_later_counts_before_its_batch(store: Store) -> None:
    """A unit that becomes an output after all has a record of its own; the batch's is let go."""
    units = [Unit(f"numbers/{n:05d}", {"number": n, "value": 1}) for n in range(MANY)]

    def decides_late(context: StageContext[ToySlice]) -> StageReport:
        context.map(write_number, units, outputs=False)
        context.map(write_number, units[-1:], outputs=True)
        return StageReport()

    artifact = run(store, [0], decides_late).artifact
    assert [path for path, _ in artifact.outputs] == [f"{units[-1].label}.txt"]
    assert artifact.damaged() == {}
    recorded = read_recorded(store, artifact.folder)
    assert [unit.label for unit in recorded.values() if unit and unit.output] == [units[-1].label]
    assert count_units(store.names(f"{artifact.folder}/{UNITS}")) == MANY


def test_one_that_does_not_add_up_costs_none_of_its_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbours are recorded before the stage fails."""
    compute = compute_unit

    def miscounts(work: Any) -> Any:
        done = compute(work)
        if work.payload["number"] == MANY - 2:
            done.report.ledger.take(documents=1)
        return done

    monkeypatch.setattr(context_module, "compute_unit", miscounts)
    with pytest.raises(Exception, match=rf"unit numbers/{MANY - 2:05}: the ledger does not"):
        run(store, list(range(MANY)))
    (key,) = store.names("1-first")
    recorded = read_recorded(store, f"1-first/{key}")
    assert len(recorded) == MANY - 1


def test_repair_of_a_partial_artifact_forgets_the_damaged_of_a_batch(
    store: Store, computed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verify names the unit; the rest of its batch still counts."""
    folder = run(store, list(range(MANY))).artifact.folder
    store.remove(f"{folder}/manifest.json")
    (damaged, *_) = read_units(store, folder, largest(store, folder))
    store.write(f"{folder}/{damaged.label}.txt", b"x")
    assert [(label, path) for label, path in verify._damaged_in(store, folder)] == [
        (damaged.label, f"{damaged.label}.txt")
    ]
    assert verify._repair_partial(store, folder) == "repaired"
    assert list(verify._damaged_in(store, folder)) == []
    assert count_units(store.names(f"{folder}/{UNITS}")) == MANY - 1
    computed()
    assert run(store, list(range(MANY))).state == "done"
    assert computed() == [damaged.label]


def test_a_file_of_records_says_its_format_and_its_digest(store: Store) -> None:
    """One line of JSON, sealed like any record."""
    folder = run(store, list(range(MANY))).artifact.folder
    name = largest(store, folder)
    record = json.loads(store.read(f"{folder}/{UNITS}/{name}") or b"")
    assert list(record) == ["format", "units", "digest"]
    assert len(record["units"]) == count_units([name])


def test_a_unit_finds_nothing_of_the_one_before_it(tmp_path: Path) -> None:
    """Not even of one that failed in the middle: a worker's folder is its own, and empty."""
    found: list[list[str]] = []

    def looks(work: UnitWork, *, fails: bool) -> UnitReport:
        found.append([path.name for path in work.folder.rglob("*") if path.is_file()])
        work.path("/a/b.txt").write_text("x")
        if fails:
            raise RuntimeError("in the middle")
        return UnitReport()

    place = Place(str(tmp_path), "attempt")
    done = [compute_unit(Work(looks, "one", {"fails": False}, place))]
    with pytest.raises(RuntimeError, match="in the middle"):
        compute_unit(Work(looks, "two", {"fails": True}, place))
    done += [compute_unit(Work(looks, label, {"fails": False}, place)) for label in ("two", "six")]
    assert found == [[], [], [], []]
    sources = [tmp_path / source for unit in done for source in unit.sources.values()]
    assert [path.read_text() for path in sources] == ["x", "x", "x"]
    assert len(set(sources)) == 3
