"""Running one stage: when it is served, when it is made, and what a run that goes on keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages

from tasks.config import Config
from tasks.engine import runner
from tasks.engine.ledger import Ledger
from tasks.engine.runner import Outcome, run_stage
from tasks.engine.stage import StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.errors import StageError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
FIRST, SECOND = toy_stages(ToySlice(numbers=[1, 2]))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def run(store: Store, **options: Any) -> Outcome:
    return run_stage(FIRST, CONFIG, store, **options)


def cut_short(context: StageContext[Any]) -> StageReport:
    FIRST.run(context)
    raise KeyboardInterrupt


def test_a_sound_artifact_is_served_without_the_right_to_write(store: Store) -> None:
    """A store that may only be read is enough."""
    made = run(store)
    served = run(store)
    assert (made.state, served.state) == ("done", "cached")
    assert served.artifact == made.artifact
    assert 0 <= served.seconds < 1000
    assert 0 <= made.seconds < 1000
    assert store.names(f"{made.artifact.folder}/.lease") == ["00000001.json"]


def test_what_another_run_made_while_this_one_waited_is_served(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(store)
    looks: list[Any] = []
    look = runner.sound_artifact

    def late(where: Store, folder: str) -> Any:
        looks.append(folder)
        return look(where, folder) if len(looks) > 1 else None

    monkeypatch.setattr(runner, "sound_artifact", late)
    served = run(store)
    assert (served.state, served.artifact) == ("cached", made.artifact)
    assert len(looks) == 2


def test_a_sound_artifact_is_made_anew_once_for_each_word(
    store: Store, computed: Callable[[], list[str]]
) -> None:
    states = [(run(store, force=w).state, len(computed())) for w in (None, "a", "a", "b", None)]
    assert states == [("done", 2), ("done", 2), ("cached", 0), ("done", 2), ("cached", 0)]


def test_a_forced_run_that_was_cut_short_goes_on_with_what_it_made(
    store: Store, computed: Callable[[], list[str]]
) -> None:
    run(store)
    computed()
    stage = replace(FIRST, run=cut_short)
    for word, units in (("a", 2), ("a", 0), ("b", 2)):
        with pytest.raises(KeyboardInterrupt):
            run_stage(stage, CONFIG, store, force=word)
        assert len(computed()) == units
    assert run(store, force="b").state == "done"
    assert computed() == []


def test_a_run_that_was_cut_short_gives_the_lease_back_and_keeps_its_units(
    store: Store, computed: Callable[[], list[str]]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_stage(replace(FIRST, run=cut_short), CONFIG, store)
    (key,) = store.names("1-first")
    assert not store.exists(f"1-first/{key}/.work")
    assert len(computed()) == 2
    assert run(store).state == "done"
    assert computed() == []


def test_a_manifest_keeps_the_headline_and_the_figures_in_their_order(store: Store) -> None:
    def says(context: StageContext[Any]) -> StageReport:
        report = FIRST.run(context)
        figures = {"words": "1,000", "bytes": "5 kB"}
        return replace(report, headline="two numbers", figures=figures)

    manifest = run_stage(replace(FIRST, run=says), CONFIG, store).artifact.manifest
    assert manifest["headline"] == "two numbers"
    assert manifest["figures"] == [["words", "1,000"], ["bytes", "5 kB"]]
    assert manifest["provenance"]["hosts"]
    assert [record["label"] for record in manifest["units"]] == ["numbers/00000", "numbers/00001"]


def test_the_workers_of_the_run_are_used_and_kept(store: Store) -> None:
    with Workforce(CONFIG.engine) as workforce:
        run(store, workforce=workforce)
        assert list(workforce._workers) == [1]


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (OSError(5, "Input/output error"), r"^first: OSError: \[Errno 5\] Input/output error$"),
        (OSError(30, "Read-only file system"), "^first: the place cannot be written"),
    ],
)
def test_an_error_of_the_disk_is_told_with_its_stage(
    store: Store, problem: Exception, told: str
) -> None:
    def fails(_: StageContext[Any]) -> StageReport:
        raise problem

    with pytest.raises(StageError, match=told):
        run_stage(replace(FIRST, run=fails), CONFIG, store)


def test_a_stage_that_loses_text_publishes_nothing(store: Store) -> None:
    def loses(context: StageContext[Any]) -> StageReport:
        FIRST.run(context)
        ledger = Ledger()
        ledger.take(documents=1)
        return StageReport(ledger)

    with pytest.raises(StageError, match="first: the ledger does not balance"):
        run_stage(replace(FIRST, run=loses), CONFIG, store)
    (key,) = store.names("1-first")
    assert not store.exists(f"1-first/{key}/manifest.json")


def test_what_stood_is_not_made_again_from_other_inputs_after_a_cut_either(store: Store) -> None:
    """Its manifest is set aside by then."""
    stage = replace(SECOND, stands=lambda _: True)
    first = run(store).artifact
    other = run_stage(
        replace(FIRST, config=lambda _: ToySlice(numbers=[5])), CONFIG, store
    ).artifact
    second = run_stage(stage, CONFIG, store, {"first": first}).artifact
    store.write(f"{second.folder}/sum.txt", b"0\n")

    def cut(_: StageContext[Any]) -> StageReport:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(replace(stage, run=cut), CONFIG, store, {"first": first})
    with pytest.raises(StageError, match="what they were made from has changed since"):
        run_stage(stage, CONFIG, store, {"first": other})
    assert run_stage(stage, CONFIG, store, {"first": first}).artifact.manifest == second.manifest
