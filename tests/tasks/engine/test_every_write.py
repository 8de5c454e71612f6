"""The machine goes away at every single write, one after the other; then a run that may finish.

The store is real; around it counts what changes it, and from the n-th on nothing gets through
any more, neither before it (the write is lost) nor after it (only its answer is).
"""

from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import record_book
from tasks.engine.runner import run_stage
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.unit_records import UNITS, count_units, read_recorded

NUMBERS = [3, 1, 2]
CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
CHANGES = ("write", "create", "put", "move_new", "move", "copy", "remove")


class Gone(BaseException):
    """The process ends here: nothing catches it."""


def dying_store(url: str, left: int, after: bool) -> Store:
    """A store that goes away after so many changes."""
    store, gone = open_store(url), False

    def dying(change: Any) -> Any:
        def changed(*arguments: Any, **options: Any) -> Any:
            nonlocal left, gone
            if gone:
                raise Gone
            left -= 1
            if left < 0:
                gone = True
                if after:
                    change(*arguments, **options)
                raise Gone
            return change(*arguments, **options)

        return changed

    for name in CHANGES:
        setattr(store, name, dying(getattr(store, name)))
    return store


def run(store: Store, numbers: list[int], **options: Any) -> str:
    first, second = toy_stages(ToySlice(numbers=numbers))
    one = run_stage(first, CONFIG, store, **options)
    return run_stage(second, CONFIG, store, {"first": one.artifact}).artifact.digest


BEFORE = ("nothing", "a sibling", "damage", "force")
# Over HTTP a run takes seconds: every write there only among the slow tests.
CASES = [
    *((kind, before, 1, 8) for kind in ("local", "memory") for before in BEFORE),
    *(("local", before, 1, 1) for before in BEFORE),
    ("s3", "nothing", 34, 8),
    *(pytest.param("s3", before, 1, 8, marks=pytest.mark.slow) for before in BEFORE),
]


@pytest.mark.parametrize(("kind", "before", "step", "fewest"), CASES)
@pytest.mark.parametrize("after", [False, True], ids=["lost", "answer lost"])
@pytest.mark.timeout(900)
def test_a_run_that_ended_at_any_write_goes_on_to_the_same_bytes(
    tmp_path: Path,
    place: Any,
    before: str,
    after: bool,
    kind: str,
    step: int,
    fewest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was there before: the next run ends with what an undisturbed one has.

    With `fewest: 1` all records lie in batches' files.
    """
    monkeypatch.setattr(record_book, "FEWEST_IN_BATCH", fewest)
    wanted = run(open_store(str(tmp_path / "undisturbed")), NUMBERS)
    changes, urls = (step // 2 if after else 0), place(kind)
    while True:
        url = urls(str(changes))
        options = prepare(open_store(url), before)
        dying = dying_store(url, changes, after)
        try:
            run(dying, NUMBERS, **options)
        except Gone:
            pass
        else:
            break
        forget_owner(open_store(url))
        store = open_store(url)
        assert run(store, NUMBERS) == wanted
        assert_whole(store)
        changes += step
    assert changes >= 5


def prepare(store: Store, before: str) -> dict[str, Any]:
    if before == "a sibling":
        run(store, [1, 2])
    elif before in ("damage", "force"):
        run(store, NUMBERS)
    if before == "damage":
        (folder,) = store.names("1-first")
        store.write(f"1-first/{folder}/numbers/00001.txt", b"x\n")
        store.remove(f"2-second/{store.names('2-second')[0]}/manifest.json")
    return {"force": "again"} if before == "force" else {}


def forget_owner(store: Store) -> None:
    """The lease names this very process, which lives on; the real one would be known dead."""
    for stage in ("1-first", "2-second"):
        for folder in store.names(stage):
            for name in store.names(f"{stage}/{folder}/.lease"):
                path = f"{stage}/{folder}/.lease/{name}"
                dead = (store.read(path) or b"").replace(b'"released": false', b'"released": true')
                store.write(path, dead)


def assert_whole(store: Store) -> None:
    """Served as cached, sound to the last byte, and nothing lies about that nobody names."""
    first, _ = toy_stages(ToySlice(numbers=NUMBERS))
    outcome = run_stage(first, CONFIG, store)
    assert outcome.state == "cached"
    artifact = outcome.artifact
    assert artifact.damaged(anew=True) == {}
    named = {"manifest.json"} | {path for path, _ in artifact.outputs}
    # Each record is in one file, and no other is in any.
    records = store.names(f"{artifact.folder}/{UNITS}")
    assert set(read_recorded(store, artifact.folder)) == {unit.name for unit in artifact.units}
    assert count_units(records) == len(artifact.units)
    named |= {f"{UNITS}/{name}" for name in records}
    found = store.files(artifact.folder, temporary=True)
    left = {path for path in found if not path.startswith(".lease/")} - named
    assert left <= {"replaced.json", "forced.json"}  # what an attempt that was cut off began with
