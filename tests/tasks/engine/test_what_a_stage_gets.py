"""What a stage gets from its context: units in order, committed ones, and told failures."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_stage import ToySlice, toy_stages, write_number

from tasks.config import Config
from tasks.engine.computing import compute_unit
from tasks.engine.context import Context
from tasks.engine.executors import Call, Ended
from tasks.engine.pools import WorkerDiedError
from tasks.engine.progress import Progress, Sink
from tasks.engine.runner import run_stage
from tasks.engine.stage import StageContext, StageReport
from tasks.engine.store import Store
from tasks.engine.stores import open_store
from tasks.engine.units import Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import StageError, TransientError, UserError

CONFIG = Config.model_validate({"corpus": [{"type": "docs"}], "engine": {"workers": 1}})
FIRST, _ = toy_stages(ToySlice(numbers=[]))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def unit(number: int, label: str = "") -> Unit:
    return Unit(label or f"n/{number}", {"number": number, "value": 1})


def inside(store: Store, act: Callable[[Any], Any], **options: Any) -> Any:
    """What something gives that is done in a running stage, which has no end."""
    given: list[Any] = []

    def run(context: StageContext[Any]) -> StageReport:
        given.append(act(context))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(replace(FIRST, run=run), CONFIG, store, **options)
    return given[0]


def text(result: UnitResult) -> str:
    return result.files[".txt"].local().read_text()


def test_results_are_in_the_order_of_the_units_found_or_computed(store: Store) -> None:
    inside(store, lambda context: context.map(write_number, [unit(3), unit(1)]))
    numbers = [5, 3, 2, 1, 4]
    results = inside(store, lambda c: c.map(write_number, [unit(n) for n in numbers]))
    assert [result.label for result in results] == [f"n/{number}" for number in numbers]
    assert [text(result) for result in results] == [f"{number}\n" for number in numbers]
    assert [result.reused for result in results] == [False, True, False, True, False]
    assert [result.summary for result in results] == [{"number": number} for number in numbers]


def test_two_units_of_the_same_work_are_computed_once_and_have_both_labels(
    store: Store, computed: Any
) -> None:
    units = [unit(3, "a"), unit(4, "b"), unit(3, "c")]
    results = inside(store, lambda context: context.map(write_number, units))
    assert [result.label for result in results] == ["a", "b", "c"]
    assert [text(result) for result in results] == ["3\n", "4\n", "3\n"]
    assert results[0].key == results[2].key != results[1].key
    assert len(computed()) == 2


def test_labels_must_differ(store: Store) -> None:
    def act(context: Context) -> None:
        with pytest.raises(AssertionError, match="labels must differ"):
            context.map(write_number, [unit(1, "a"), unit(2, "a")])

    inside(store, act)


class Counted(Sink):
    """Notes the count from its beginning to its end."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def begin(self, count: Any) -> None:
        self.told += [count.total, count.done]

    def update(self, count: Any) -> None:
        self.told.append(count.done)


def test_units_that_are_found_count_as_done_from_the_beginning(store: Store) -> None:
    inside(store, lambda context: context.map(write_number, [unit(1), unit(2)]))
    sink = Counted()
    units = [unit(number) for number in range(1, 6)]
    inside(store, lambda context: context.map(write_number, units), progress=Progress(sink))
    assert sink.told[:2] == [5, 2]
    assert sink.told[-1] == 5


def test_units_that_are_no_outputs_are_kept_and_not_handed_on(store: Store) -> None:
    def run(context: StageContext[Any]) -> StageReport:
        context.map(write_number, [unit(1)], outputs=False)
        context.map(write_number, [unit(2)])
        return StageReport()

    artifact = run_stage(replace(FIRST, run=run), CONFIG, store).artifact
    assert [path for path, _ in artifact.outputs] == ["n/2.txt"]
    assert [record.label for record in artifact.units] == ["n/1", "n/2"]
    assert store.exists(f"{artifact.folder}/n/1.txt")


def commit(context: Context, number: int, **options: Any) -> UnitResult:
    work = UnitWork("steps/1", context.scratch())
    report = write_number(work, number=number, value=1)
    return context.commit(write_number, unit(number, "steps/1"), work, report, **options)


def test_a_unit_that_was_computed_elsewhere_is_committed_with_what_was_measured(
    store: Store,
) -> None:
    def act(context: Context) -> tuple[UnitResult, UnitResult | None, list[str]]:
        measured = {"started": "2020-01-01T00:00:00.000+00:00", "seconds": 12.5, "device": "gpu"}
        made = commit(context, 7, outputs=False, measured=measured)
        left = [path.name for path in context.attempt.work.glob("scratch-*")]
        return made, context.committed(write_number, unit(7, "steps/1")), left

    made, found, left = inside(store, act)
    assert (made.label, made.reused, text(made)) == ("steps/1", False, "7\n")
    assert found is not None
    assert (found.label, found.reused, found.key) == ("steps/1", True, made.key)
    assert made.provenance["started"] == "2020-01-01T00:00:00.000+00:00"
    assert made.provenance["seconds"] == 12.5
    assert made.provenance["device"] == "gpu"
    assert left == [], "what it wrote is moved, and its folder gone"


def test_what_is_committed_so_is_found_by_the_next_map(store: Store, computed: Any) -> None:
    inside(store, lambda context: commit(context, 7))
    computed()
    (result,) = inside(store, lambda c: c.map(write_number, [unit(7, "steps/1")]))
    assert result.reused
    assert computed() == []


def test_a_unit_that_was_computed_elsewhere_is_an_output_unless_it_is_said(store: Store) -> None:
    def act(context: Context) -> list[bool]:
        commit(context, 7)
        commit(context, 8, outputs=False)
        assert context.catalog.used[0].provenance["seconds"] == 0.0
        return [record.output for record in context.catalog.used]

    assert inside(store, act) == [True, False]


def test_a_unit_that_fails_is_told_and_those_before_it_are_kept(store: Store) -> None:
    def act(context: Context) -> list[str]:
        with pytest.raises(
            StageError, match="^unit n/666: RuntimeError: this number always"
        ) as told:
            context.map(write_number, [unit(1), unit(666), unit(3)])
        assert isinstance(told.value.__cause__, RuntimeError)
        return context.labels("")

    assert inside(store, act) == ["n/1"]


class TwoFail:
    """Workers of which two fail, one after the other."""

    def workers(self, *_: Any) -> "TwoFail":
        return self

    def run(self, calls: Iterable[Call]) -> Iterator[list[Ended[Any]]]:
        first, second, third = calls
        yield [Ended(first, problem=KeyError("first"))]
        yield [Ended(second, compute_unit(*second.arguments))]
        yield [Ended(third, problem=KeyError("third"))]


def test_of_two_failures_the_first_is_told_and_what_still_ends_is_kept(store: Store) -> None:
    def act(context: Context) -> list[str]:
        context.workforce = TwoFail()  # type: ignore[assignment]
        with pytest.raises(StageError, match="unit n/1: KeyError: 'first'"):
            context.map(write_number, [unit(1), unit(2), unit(3)])
        return context.labels("")

    assert inside(store, act) == ["n/2"]


def test_a_unit_is_committed_only_when_it_is_done_and_sound(store: Store) -> None:
    def act(context: Context) -> None:
        assert context.committed(write_number, unit(7, "steps/1")) is None
        made = commit(context, 7)
        assert context.committed(write_number, unit(8, "steps/1")) is None
        assert context.committed(write_number, unit(7, "steps/2")) is None
        Path(made.files[".txt"].url).write_text("8\n")
        assert context.committed(write_number, unit(7, "steps/1")) is None

    inside(store, act)


def reports_more(work: UnitWork, **_: Any) -> UnitReport:
    work.path(".jsonl").write_text("{}\n")
    return UnitReport(rows={".jsonl": 2})


def test_what_was_computed_elsewhere_is_checked_too(store: Store) -> None:
    def act(context: Context) -> None:
        work = UnitWork("steps/1", context.scratch())
        report = reports_more(work)
        with pytest.raises(StageError, match="holds 1 rows, but 2 were reported"):
            context.commit(write_number, unit(1, "steps/1"), work, report)
        assert context.labels("") == []

    inside(store, act)


@pytest.mark.parametrize(
    ("problem", "kind", "told"),
    [
        (UserError("as it is"), UserError, "^as it is$"),
        (TransientError("as it is"), TransientError, "^as it is$"),
        (KeyError("x"), StageError, r"^unit u: KeyError: 'x'\. Finished units are kept\.$"),
        (ValueError("odd."), StageError, r"^unit u: ValueError: odd\. Finished units are kept\.$"),
        (OSError(28, "full"), StageError, "^unit u: there is no space left.* Finished units"),
        (WorkerDiedError(), TransientError, "^unit u: a worker process was killed.*engine.workers"),
    ],
    ids=repr,
)
def test_a_units_failure_is_told_with_its_label(
    store: Store, problem: Exception, kind: type[Exception], told: str
) -> None:
    error = inside(store, lambda context: context._explain(problem, "u"))
    assert type(error) is kind
    with pytest.raises(kind, match=told):
        raise error


def test_a_failure_after_the_lease_was_lost_is_the_loss(store: Store) -> None:
    def act(context: Context) -> BaseException:
        context.attempt.lease.token, mine = "another's", context.attempt.lease.token
        found = context._explain(FileNotFoundError("swept"), "u")
        context.attempt.lease.token = mine
        return found

    assert type(inside(store, act)).__name__ == "LeaseLostError"
