"""What each flow does and in which order, held against as much of a run as it asks for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hand_made import hand_made

from flows import coalescing, refresh, upkeep
from flows import pipeline as pipeline_module
from flows.coalescing import is_superseded
from flows.pipeline import pipeline
from flows.refresh import continued
from tasks.config import Config
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError
from tasks.stages import STAGE_NAMES

CONFIG = Config.model_validate(
    {"name": "letters", "corpus": [{"type": "docstrings", "held_out": 0.1}]}
)
FINE = {"name": "mood", "task": "classify", "train": "a.jsonl", "dev": "b.jsonl"}


class Run:
    """As much of a run as is asked: what it did, in order."""

    def __init__(self, key: str = "new") -> None:
        self.config, self.store = CONFIG, None
        self.record: dict[str, Any] = {"run": "r"}
        self.made: dict[str, Any] = {}
        self.key, self.did, self.forced = key, list[str](), list[str]()

    def stages(
        self, names: Any, *, config: Any = None, is_forced: Callable[[str], bool] = lambda _: False
    ) -> Any:
        self.did += names
        self.forced += filter(is_forced, names)
        self.made |= dict.fromkeys(names)
        return SimpleNamespace(key=self.key)

    def publish(self) -> None:
        self.did.append("pointed")

    def fine_tune(self, config: Any = None, is_forced: Any = lambda _: False) -> None:
        self.did.append("taught")
        self.forced += filter(is_forced, ["finetune"])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run that every flow gets, and nothing else is due or told."""
    made = Run()

    @contextmanager
    def recorded(config: Config, until: str | None = None) -> Iterator[Run]:
        made.did.append(f"recorded until {until}")
        yield made

    for module in (refresh, upkeep, pipeline_module):
        monkeypatch.setattr(module, "recorded", recorded)
    for module in (refresh, upkeep):
        monkeypatch.setattr(module, "is_superseded", lambda: False)
    monkeypatch.setattr(refresh, "tell", lambda *told: made.did.append(f"told {told[0]}"))
    return made


def test_the_pipeline_points_to_what_it_published_and_then_teaches_it(run: Run) -> None:
    assert pipeline.fn(CONFIG) is run.record
    assert run.did == ["recorded until None", *STAGE_NAMES, "pointed"]
    assert run.forced == []
    run.did.clear()
    taught = CONFIG.model_copy(update={"downstream": ("something",)})
    pipeline.fn(taught)
    assert run.did == ["recorded until None", *STAGE_NAMES, "pointed", "taught"]


def test_a_pipeline_that_ends_early_publishes_and_teaches_nothing(run: Run) -> None:
    taught = CONFIG.model_copy(update={"downstream": ("something",)})
    pipeline.fn(taught, until="clean")
    assert run.did == ["recorded until clean", "download", "clean"]
    run.did.clear()
    pipeline.fn(taught, until="publish")
    assert run.did[-1] == "pointed"


def test_force_makes_one_stage_again_and_from_that_and_all_after_it(run: Run) -> None:
    pipeline.fn(CONFIG, force="pack")
    assert run.forced == ["pack"]
    run.forced.clear()
    pipeline.fn(CONFIG, from_stage="evaluate")
    assert run.forced == ["evaluate", "publish"]
    run.forced.clear()
    taught = CONFIG.model_copy(update={"downstream": ("something",)})
    pipeline.fn(taught, from_stage="publish", force="clean")
    assert run.forced == ["clean", "publish", "finetune"]
    run.forced.clear()
    pipeline.fn(CONFIG, until="pack", force="pack")
    assert run.forced == ["pack"]


@pytest.mark.parametrize(("word", "name"), [("force", "force"), ("from", "from_stage")])
def test_a_stage_behind_the_last_one_cannot_be_made_again(run: Run, word: str, name: str) -> None:
    given: Any = {name: "pretrain"}
    with pytest.raises(UserError, match=f"{word}: the run ends with pack, before pretrain"):
        pipeline.fn(CONFIG, until="pack", **given)
    assert run.did == [], "nothing has run"


def test_a_refresh_without_a_model_runs_the_whole_pipeline(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "published_artifact", lambda *_: None)
    ended = refresh.refresh.fn(CONFIG)
    assert (ended.name, ended.message) == ("Completed", "published the first model")
    assert run.did == ["recorded until None", *STAGE_NAMES, "pointed", "taught", "told publish"]


@pytest.mark.parametrize(("key", "goes_on"), [("same", False), ("new", True)])
def test_a_refresh_goes_on_only_where_something_is_new(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, goes_on: bool
) -> None:
    run.key = key
    published = hand_made(open_store(str(tmp_path)), "publish", "p")
    monkeypatch.setattr(refresh, "published_artifact", lambda *_: published)
    before = {"download": SimpleNamespace(key="same"), "pretrain": SimpleNamespace(key="new")}
    monkeypatch.setattr(refresh, "made_from", lambda *_: before)
    given: list[Any] = []

    def compared(*handed: Any) -> str:
        given.extend(handed)
        return "compared"

    monkeypatch.setattr(refresh, "_compared", compared)
    ended = refresh.refresh.fn(CONFIG)
    assert run.did == ["recorded until None", "download"]
    if goes_on:
        assert ended == "compared"
        assert given[:3] == [run, published, before]
        assert given[3] == continued(CONFIG, f"{tmp_path}/7-publish/p/model")
    else:
        assert (ended.message, given) == ("nothing new", [])


@pytest.mark.parametrize(
    ("state", "message"),
    [("cached", "nothing new"), ("done", "no new text; taught: mood accuracy 0.9")],
)
def test_without_new_text_a_refresh_teaches_what_is_new_in_the_labelled_files(
    run: Run, monkeypatch: pytest.MonkeyPatch, state: str, message: str
) -> None:
    """To the encoder that is published, which stays; it once said that there was nothing new."""
    before = {"download": SimpleNamespace(key="new"), "pretrain": SimpleNamespace(key="p")}
    monkeypatch.setattr(refresh, "published_artifact", lambda *_: SimpleNamespace())
    monkeypatch.setattr(refresh, "made_from", lambda *_: before)
    run.config = Config.model_validate({**CONFIG.model_dump(by_alias=True), "downstream": [FINE]})

    def beside(name: str, inputs: Any, config: Config) -> Any:
        run.did.append(name)
        assert (inputs, config) == (before, run.config)
        run.record["stages"] = [{"name": name, "state": state}]
        return SimpleNamespace(manifest={"headline": "mood accuracy 0.9"})

    monkeypatch.setattr(run, "beside", beside, raising=False)
    assert refresh.refresh.fn(run.config).message == message
    assert run.did == ["recorded until None", "download", "finetune"]


def test_what_is_due_again_is_left_to_that_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (refresh, upkeep):
        monkeypatch.setattr(module, "is_superseded", lambda: True)
    for flow in (refresh.refresh, upkeep.verify, upkeep.prune):
        assert flow.fn(CONFIG).name == "Skipped"
    assert run.did == []


def test_a_continued_config_goes_on_from_weights_and_tokenizer() -> None:
    """With its own length unless the refresh has one, in steps or in minutes."""
    found = continued(CONFIG, "/model")
    assert found.model.model_dump(by_alias=True, exclude_unset=True) == {"from": "/model"}
    assert found.tokenizer.source_folder == "/model"
    assert found.pretrain == CONFIG.pretrain
    assert (found.name, found.corpus, found.evaluate) == (
        CONFIG.name,
        CONFIG.corpus,
        CONFIG.evaluate,
    )
    for length in ({"steps": 7}, {"minutes": 1.5}):
        wanted = CONFIG.model_validate(
            {**CONFIG.model_dump(by_alias=True), "operations": {"refresh": length}}
        )
        changed = continued(wanted, "/model").pretrain
        assert (changed.steps, changed.minutes, changed.epochs) == (
            length.get("steps"),
            length.get("minutes"),
            None,
        )


def test_an_evaluation_of_its_own_publishes_nothing(run: Run) -> None:
    assert upkeep.evaluate.fn(CONFIG) is run.record
    assert run.did == ["recorded until evaluate", *STAGE_NAMES[:-1]]


@pytest.fixture
def store_config(tmp_path: Path) -> Config:
    return CONFIG.model_copy(update={"store": str(tmp_path)})


def test_damage_fails_a_verification_unless_it_is_mended(
    run: Run, monkeypatch: pytest.MonkeyPatch, store_config: Config
) -> None:
    assert "every byte of" in upkeep.verify.fn(store_config).message
    damage = [{"path": f"4-pack/k/{n}"} for n in range(7)]
    monkeypatch.setattr(upkeep, "find_damage", lambda _: damage)
    mended: list[Any] = []

    def repair(store: Any, found: Any, config: Config, _: Any) -> list[str]:
        mended.append((store.url(""), found, config))
        return ["pack"]

    monkeypatch.setattr(upkeep, "repair", repair)
    names = ", ".join(f"4-pack/k/{n}" for n in range(5))
    with pytest.raises(StageError, match=f"7 files are not as .*: {names} and 2 more"):
        upkeep.verify.fn(store_config)
    assert mended == []
    ended = upkeep.verify.fn(store_config, mend=True)
    assert ended.message == f"mended 1 artifacts: {names} and 2 more"
    assert mended == [(store_config.store, damage, store_config)]


def test_a_prune_by_the_clock_keeps_what_the_config_says(
    run: Run, monkeypatch: pytest.MonkeyPatch, store_config: Config
) -> None:
    asked: list[Any] = []

    def prune(store: Any, *given: Any, **more: Any) -> Any:
        asked.append((store.url(""), given, more))
        return SimpleNamespace(removed=[], freed_bytes=2_500_000)

    monkeypatch.setattr(upkeep, "prune_store", prune)
    wanted = {"keep": 5, "partial_days": 3}
    config = CONFIG.model_validate(
        {**store_config.model_dump(by_alias=True), "operations": {"prune": wanted}}
    )
    assert upkeep.prune.fn(config).message == "freed 2.5 MB: 0 artifacts removed"
    assert asked == [(config.store, (5,), {"partial_days": 3})]


@pytest.mark.parametrize("flow", [upkeep.verify, upkeep.prune])
def test_a_deployed_upkeep_touches_only_the_roots(
    run: Run, monkeypatch: pytest.MonkeyPatch, store_config: Config, flow: Any
) -> None:
    monkeypatch.setenv("ROBERTA_ROOTS", "/elsewhere")
    with pytest.raises(UserError, match="lies outside"):
        flow.fn(store_config)


@pytest.mark.parametrize(("later", "superseded"), [([], False), (["one"], True)])
def test_a_run_is_superseded_by_a_later_one_of_its_deployment_that_waits(
    monkeypatch: pytest.MonkeyPatch, later: list[str], superseded: bool
) -> None:
    own, deployment = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
    due = datetime(2026, 1, 1, tzinfo=UTC)
    asked: list[Any] = []

    class Client:
        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *problem: object) -> None:
            return None

        def read_flow_runs(self, flow_run_filter: Any, limit: int) -> list[str]:
            asked.append((flow_run_filter, limit))
            return later

    flow_run = SimpleNamespace(id=own, scheduled_start_time=due)
    monkeypatch.setattr(coalescing, "runtime", SimpleNamespace(flow_run=flow_run))
    monkeypatch.setattr(coalescing, "get_client", lambda sync_client: Client())
    monkeypatch.setattr(coalescing, "deployment_id", lambda: None)
    assert (is_superseded(), asked) == (False, []), "nobody has scheduled it"
    monkeypatch.setattr(coalescing, "deployment_id", lambda: deployment)
    assert is_superseded() is superseded
    ((wanted, limit),) = asked
    assert limit == 1
    assert [str(each) for each in wanted.id.not_any_] == [own]
    assert [str(each) for each in wanted.deployment_id.any_] == [deployment]
    assert [each.value for each in wanted.state.type.any_] == ["SCHEDULED"]
    assert wanted.expected_start_time.after_ == due
    assert abs((datetime.now(UTC) - wanted.expected_start_time.before_).total_seconds()) < 60


def test_a_server_that_cannot_be_asked_supersedes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(sync_client: bool) -> None:
        raise OSError("gone")

    flow_run = SimpleNamespace(id=None, scheduled_start_time=datetime.now(UTC))
    monkeypatch.setattr(coalescing, "runtime", SimpleNamespace(flow_run=flow_run))
    monkeypatch.setattr(coalescing, "deployment_id", lambda: "22222222-2222-2222-2222-222222222222")
    monkeypatch.setattr(coalescing, "FlowRunFilterId", lambda not_any_: None)
    monkeypatch.setattr(coalescing, "get_client", gone)
    assert is_superseded() is False
