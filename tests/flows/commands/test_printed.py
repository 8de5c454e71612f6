"""What commands print of what they found: every figure in its column, and the right exit code."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hand_made import GONE, hand_made, hand_made_run

from flows.cli import LazyGroup, roberta
from flows.commands import inspect, operate, use
from flows.commands.options import check_stages, open_config
from flows.commands.run import with_hint
from flows.summary import resume_hint
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.errors import StageError, UserError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is as wide as its lines."""
    monkeypatch.delenv("COLUMNS", raising=False)


def invoke(name: str, *arguments: Any) -> Result:
    command = roberta.get_command(click.Context(roberta), name)
    assert command is not None
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def lines(result: Result) -> list[list[str]]:
    """The printed lines as their cells, parted by two spaces."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in result.stdout.splitlines()
    ]


def test_status_lists_runs_with_what_is_worth_knowing_and_artifacts_with_sizes(
    store: Store,
) -> None:
    stages = [{"name": "pack", "state": "failed", "problem": "x" * 141 + "\nmore"}]
    hand_made_run(store, "a", started="2026-01-01T01:02:03", config={"n": 0, "q": 7}, seconds=1.5)
    changed = {name: 1 for name in "noprs"} | {"q": None}
    hand_made_run(
        store, "b", started="2026-01-02T01:02:03", state="failed", stages=stages, config=changed
    )
    hand_made_run(store, "c", started="2026-01-03T01:02:03", stages=stages, config=changed)
    hand_made(store, "clean", "k", ended="2026-01-04T05:06:07")
    store.write("4-pack/p/rows", b"0" * 2_500_000)
    found = lines(invoke("status", "--store", store.url("")))
    assert found[2] == ["c", "letters", "done", "2026-01-03 01:02", "None"]
    failed = ["b", "letters", "failed", "2026-01-02 01:02", "None"]
    assert found[3] == [*failed, "x" * 140 + "..."]
    assert found[4] == ["changed: n=1, o=1, p=1, q=null and 2 more"]
    assert found[5] == ["a", "letters", "done", "2026-01-01 01:02", "1.5"]
    assert found[-2][:5] == ["clean", "k", "done", "0", "0.0"]
    assert found[-2][5] == "2026-01-04 05:06"
    assert found[-1] == ["pack", "p", "partial", "0", "2.5"]
    empty = invoke("status", "--store", store.url("none"))
    assert "nothing has run here yet" in empty.stdout


def test_a_running_stage_is_told_and_its_problems_are_not() -> None:
    run = {
        "state": "running",
        "progress": {"stage": "pack", "text": "5 of 9"},
        "stages": [{"problem": "of an earlier try"}],
        "changed": {},
    }
    assert inspect._remarks(run) == ["pack: 5 of 9"]
    assert inspect._remarks({**run, "state": "failed"}) == ["pack: 5 of 9", "of an earlier try"]


def test_verify_ends_with_one_where_damage_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_made(store, "clean", "k")
    damage = [{"stage": "clean", "key": "k", "unit": "u", "path": "2-clean/k/u.arrow"}]
    mended = [{"stage": "clean", "key": "k", "state": "repaired", "units": ["u", "v"]}]
    asked: list[Any] = []

    def repair(*given: Any) -> Any:
        asked.append(given[1:3])
        return mended

    monkeypatch.setattr("tasks.inspection.verify.repair", repair)
    place = ["--store", store.url("")]
    sound = invoke("verify", *place, "--repair", "--json")
    empty = {"damaged": [], "repaired": [], "in_work": [], "sound": True}
    assert (sound.exit_code, json.loads(sound.stdout), asked) == (0, empty, [])
    assert "every stored byte of" in invoke("verify", *place).stdout
    monkeypatch.setattr("tasks.inspection.verify.find_damage", lambda *_: damage)
    found = invoke("verify", *place)
    assert found.exit_code == 1
    assert f"damaged: {store.url('2-clean/k/u.arrow')} (unit u)" in found.stdout
    told = invoke("verify", *place, "--json")
    assert (told.exit_code, json.loads(told.stdout)["sound"], asked) == (1, False, [])
    done = invoke("verify", *place, "--repair")
    assert (done.exit_code, asked) == (0, [(damage, None)])
    assert "repaired: clean k: u, v" in done.stdout
    with pytest.raises(UserError, match="there is no store"):
        invoke("verify", "--store", store.url("none"))


def test_prune_removes_unless_it_is_a_dry_run(store: Store) -> None:
    hand_made(store, "clean", "k")
    hand_made_run(store, "r", {"clean": "k"}, started="2")
    hand_made_run(store, "old", {"clean": "o"}, started="1")
    hand_made(store, "clean", "o")
    place = ["--store", store.url("")]
    found = invoke("prune", *place, "--dry-run")
    assert lines(found)[1][:3] == ["clean", "o", "would go"]
    assert "MB would be freed in" in found.stdout
    assert json.loads(invoke("prune", *place, "--dry-run", "--json").stdout)["dry_run"] is True
    assert invoke("prune", *place, "--keep", 2, "--json").exit_code == 0
    assert store.exists("2-clean/o/manifest.json")
    done = invoke("prune", *place)
    assert lines(done)[1][:3] == ["clean", "o", "removed"]
    assert lines(done)[2] == ["clean", "k", "kept", "run r of letters (done)"]
    assert not store.exists("2-clean/o/manifest.json")
    assert invoke("prune", *place, "--keep", 0).exit_code == 0
    assert not store.exists("2-clean/k/manifest.json")


def test_doctor_ends_with_one_where_somebody_is_needed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "_client", lambda _: None)
    monkeypatch.setattr("flows.serving.diagnosis._FEW_BYTES", 0)
    hand_made_run(store, "r")
    good = invoke("doctor", "--store", store.url(""))
    assert (good.exit_code, "nothing needs you" in good.stdout) == (0, True)
    hand_made_run(store, "r", state="failed")
    bad = invoke("doctor", "--store", store.url(""))
    assert bad.exit_code == 1
    assert "! letters: its last run r is failed" in bad.stdout

    def away(_: Any) -> None:
        raise StageError("the server is away")

    monkeypatch.setattr(operate, "_client", away)
    told = json.loads(invoke("doctor", "--store", store.url(""), "--json").stdout)
    assert told["concerns"][0] == "the server is away"


def test_runs_are_listed_in_a_line_each(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "_client", lambda _: None)
    problem = "no\nrow " + "x" * 200
    stages = [{"name": "pack", "problem": problem}]
    hand_made_run(store, "r", state="failed", stages=stages, seconds=1234.4)
    hand_made_run(store, "s", started="2026-02-01T00:00:00", state="running", process=GONE)
    found = lines(invoke("runs", "--store", store.url("")))
    assert found[1] == ["s", "letters", "killed", "2026-02-01 00:00"]
    assert found[2][:5] == ["r", "letters", "failed", "2026-01-01 00:00", "1,234"]
    assert operate._shortened(problem) == "no row " + "x" * 92 + "…"
    assert operate._shortened("x" * 100) == "x" * 100
    assert len(operate._shortened("x" * 101)) == 100


def test_a_run_of_the_store_goes_on_in_that_store_to_where_it_was_to_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def run_here(config: Any, **more: Any) -> None:
        given.append((config.store, more))

    monkeypatch.setattr(operate, "_client", lambda _: None)
    monkeypatch.setattr("flows.commands.run.run_here", run_here)
    config = {"name": "letters", "store": "elsewhere", "corpus": [{"type": "docs"}]}
    hand_made_run(store, "abc", state="failed", config=config, until="pack")
    invoke("retry", "--store", store.url(""), "--json")
    more = {"as_json": True, "hint": "To go on: roberta retry abc", "until": "pack"}
    assert given == [(store.url(""), more)]


def test_a_hint_can_be_pasted_with_all_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.summary.command_name", lambda: "roberta")
    bare = "What is finished is kept. To go on: roberta run a.yaml"
    assert resume_hint("a.yaml", [], None) == bare
    assert resume_hint("a.yaml", ["x=1 2", "y=3"], "s", "pack") == (
        f"{bare} --set 'x=1 2' --set y=3 --store s --until pack"
    )
    failed = with_hint(StageError("no"), "go on")
    assert (type(failed), str(failed)) == (StageError, "no\ngo on")
    mistake = UserError("no")
    assert with_hint(mistake, "go on") is mistake


def test_a_stage_that_does_not_exist_is_refused_with_the_nearest() -> None:
    check_stages(until=None, force="finetune")
    with pytest.raises(UserError, match=r"force: there is no stage 'pck'\. Did you mean 'pack'\?"):
        check_stages(until="clean", force="pck")
    with pytest.raises(UserError, match=r"no stage 'suite'\. Stages:"):
        check_stages(until="suite")


def test_a_store_on_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config, store = open_config("quickstart", ("name=x",), "mine")
    assert (config.name, config.store, Path(store.url("")).name) == ("x", "mine", "mine")
    config, _ = open_config("quickstart", (), None)
    assert config.store != "mine"


def test_a_file_of_results_and_json_are_not_both_asked_for() -> None:
    use._refuse_both(True, None)
    use._refuse_both(False, Path("x"))
    with pytest.raises(UserError, match="take one of them"):
        use._refuse_both(True, Path("x"))
    model = "none"
    for arguments in (
        [model],
        [model, "text", "--file", __file__],
        [model, "text", "--out", "x.jsonl"],
        [model, "text", "--column", "x"],
        [model, "--file", __file__, "--json"],
    ):
        with pytest.raises(UserError):
            invoke("fill-mask", *arguments)


def test_a_command_that_is_mistyped_is_answered_with_the_nearest() -> None:
    assert isinstance(roberta, LazyGroup)
    result = CliRunner().invoke(roberta, ["stauts"])
    assert result.exit_code == 2
    assert "there is no command 'stauts'; did you mean 'status'?" in result.output
    assert CliRunner().invoke(roberta, ["xyzzy"]).exit_code == 2


def test_lineage_of_a_file_tells_its_models_or_that_there_are_none(
    store: Store, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear reader")
    told = invoke("lineage", text, "--store", store.url(""))
    assert "no published model of" in told.stdout.replace("\n", " ")
    assert json.loads(invoke("lineage", text, "--store", store.url(""), "--json").stdout) == {
        "file": str(text),
        "models": [],
    }
