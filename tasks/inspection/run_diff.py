"""Two runs side by side: config, what became of the text, losses at equal steps, scores.

runs/<id>.json of both ──▶ config fields that differ, with the keys a user types
their artifacts        ──▶ ledger, losses, scores with intervals
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.engine.records import Artifact, read_manifest
from tasks.engine.store import Store
from tasks.errors import UserError
from tasks.inspection.drift import changed_files, changed_settings, file_names
from tasks.inspection.runs import read_runs, state_of
from tasks.publishing.figures import held_out_curve, read_steps
from tasks.publishing.scores import Score, lie_apart, scores_of
from tasks.stages import FINE_TUNING, KNOWN_STAGES, STAGE_NAMES, stage_folder

Run = Mapping[str, Any]

LATEST = "latest"
_STEPS_SHOWN = 8
_BEFORE = re.compile(r"(.+?)~(\d+)")


def find_run(runs: Sequence[Run], wanted: str) -> Run:
    """The run that a word stands for; `runs` are newest first.

    `latest` is the newest that finished; a pipeline's name the newest of it that did; either with
    `~1` the one before; anything else the beginning of a run's id.

    Raises:
        UserError: there is no such run, or several begin so.
    """
    match = _BEFORE.fullmatch(wanted)
    name, back = (match[1], int(match[2])) if match else (wanted, 0)
    finished = [run for run in runs if state_of(run) == "done"]
    named = finished if name == LATEST else [run for run in finished if run["name"] == name]
    if len(named) > back:
        return named[back]
    if named:
        raise UserError(
            f"{wanted}: there are only {len(named)} finished runs of {name!r}, so "
            f"~{len(named) - 1} is the oldest. `roberta status` lists them."
        )
    fitting = [run for run in runs if str(run["run"]).startswith(wanted)]
    if len(fitting) != 1:
        found = "no run is called or begins" if not fitting else f"{len(fitting)} runs begin"
        raise UserError(
            f"{wanted}: {found} so. Give more of an id, a pipeline's name, or latest; "
            "`roberta status` lists the runs of a store."
        )
    return fitting[0]


def diff_runs(store: Store, first: str, second: str) -> dict[str, Any]:
    """Plain JSON: `a`, `b`, `config`, `stages`, `ledger`, `losses`, `scores`; see docs/commands.md.

    Raises:
        UserError: one of the two is no run of the store.
    """
    runs = read_runs(store)
    pair = find_run(runs, first), find_run(runs, second)
    made = [_artifacts(store, run) for run in pair]
    told = ("run", "name", "started")
    a, b = ({**{name: run[name] for name in told}, "state": state_of(run)} for run in pair)
    return {
        "a": a,
        "b": b,
        "config": changed_settings(*(run.get("config") or {} for run in pair)),
        "stages": list(_stages(*pair, *made)),
        "ledger": list(_ledgers(*made)),
        "losses": _losses(*made),
        "scores": list(_scores(*made)),
    }


def _keys(run: Run) -> dict[str, str]:
    return {entry["name"]: entry["key"] for entry in run["stages"] if entry.get("key")}


def _artifacts(store: Store, run: Run) -> dict[str, Artifact]:
    """A run's artifacts that are still there."""
    found = {}
    for stage, key in _keys(run).items():
        if stage in KNOWN_STAGES:
            artifact = read_manifest(store, f"{stage_folder(stage)}/{key}")
            if artifact is not None:
                found[stage] = artifact
    return found


def _stages(
    a: Run, b: Run, made_a: Mapping[str, Artifact], made_b: Mapping[str, Artifact]
) -> Iterator[dict[str, Any]]:
    keys = _keys(a), _keys(b)
    for name in KNOWN_STAGES:
        before, after = (each.get(name) for each in keys)
        if before or after:
            files = _files(made_a.get(name), made_b.get(name))
            yield {"name": name, "a": before, "b": after, "same": before == after, "files": files}


def _files(a: Artifact | None, b: Artifact | None) -> dict[str, list[str]]:
    """Which of the outside files that both were made from are others."""
    if a is None or b is None:
        return {}
    before, now = a.manifest["externals"], b.manifest["externals"]
    return changed_files(before, now, file_names(a), file_names(b))


def _ledgers(a: Mapping[str, Artifact], b: Mapping[str, Artifact]) -> Iterator[dict[str, Any]]:
    """Each measure of each stage that counts it, in both runs; None where a run has none."""
    for name in STAGE_NAMES:
        before, after = (each[name].ledger.to_json() if name in each else {} for each in (a, b))
        for measure in ("documents", "bytes", "tokens"):
            if measure in before or measure in after:
                sides = {"a": before.get(measure), "b": after.get(measure)}
                yield {"stage": name, "measure": measure, **sides}


def _losses(a: Mapping[str, Artifact], b: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """Mean losses up to equal steps, over the same number of steps in both; and held-out ones."""
    if "pretrain" not in a or "pretrain" not in b:
        return []
    told = {
        side: read_steps(made["pretrain"].file("losses.jsonl").local())
        for side, made in (("a", a), ("b", b))
    }
    curves = {side: [line["loss"] for line in lines] for side, lines in told.items()}
    held_out = {f"{side}_held_out": held_out_curve(lines) for side, lines in told.items()}
    last = min(map(len, curves.values()))
    size = max(1, last // (2 * _STEPS_SHOWN))
    steps = sorted({max(1, last * part // _STEPS_SHOWN) for part in range(1, _STEPS_SHOWN + 1)})
    return [
        {
            "step": step,
            **{side: _mean(losses, step, size) for side, losses in curves.items()},
            **{name: _newest(measured, step) for name, measured in held_out.items()},
        }
        for step in steps
        if last
    ]


def _mean(losses: Sequence[float], step: int, size: int) -> float:
    """The mean of the losses of the `size` steps that end with a step."""
    part = losses[max(0, step - size) : step]
    return round(sum(part) / len(part), 6)


def _newest(measured: Sequence[tuple[float, float]], step: int) -> float | None:
    """The loss last measured up to a step; None where it had not been yet."""
    return next((loss for at, loss in reversed(measured) if at <= step), None)


def _scores(a: Mapping[str, Artifact], b: Mapping[str, Artifact]) -> Iterator[dict[str, Any]]:
    before, after = ({score.name: score for score in _every_score(made)} for made in (a, b))
    for name in dict.fromkeys((*before, *after)):
        yield {"name": name, **_compared(before.get(name), after.get(name))}


def _every_score(made: Mapping[str, Artifact]) -> Iterator[Score]:
    """Those of the evaluation, then those of what the encoder was taught."""
    for stage in ("evaluate", FINE_TUNING):
        if stage in made:
            yield from scores_of(made[stage].summary)


def _compared(a: Score | None, b: Score | None) -> dict[str, Any]:
    """Both figures with their intervals, the change, and whether the intervals lie apart."""
    one = a or b
    assert one is not None
    return {
        "a": a and a.value,
        "b": b and b.value,
        "a_interval": a and a.interval and list(a.interval),
        "b_interval": b and b.interval and list(b.interval),
        "change": b.value - a.value if a is not None and b is not None else None,
        "higher_is_better": one.higher_is_better,
        "is_share": one.is_share,
        "intervals_apart": lie_apart(a, b),
    }
