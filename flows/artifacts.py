"""What the Prefect UI shows of a run, as Markdown: from manifests and the run's record.

Plain functions: who shows it, when and under which key is in `flows.watching`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.loss_picture import loss_picture
from flows.plain_markdown import plain, table
from tasks.engine.ledger import amount_dropped
from tasks.engine.records import Artifact
from tasks.evaluation.told import is_share
from tasks.inference.shown import shown_token
from tasks.inspection.ledger_path import ledger_of
from tasks.publishing.figures import held_out_curve, read_steps
from tasks.publishing.svg import Point
from tasks.publishing.taught import best_baseline, told_unbeaten
from tasks.stages import FINE_TUNING

Made = Mapping[str, Artifact]

_MEASURES = ("documents", "bytes", "tokens")
_MOST_ROWS = 200


def ledger_page(made: Made) -> str:
    """The text's way through the stages so far, and whether it adds up."""
    ledger = ledger_of(dict(made))
    rows = []
    for stage in ledger["stages"]:
        for measure in _MEASURES:
            if entry := stage.get(measure):
                dropped = [f"{plain(why)} {amount_dropped(n)}" for why, n in _most(entry)]
                row = (f"{entry['in']:,}", f"{entry['kept']:,}", ", ".join(dropped) or "–")
                rows.append((plain(stage["name"]), measure, *row))
    told = "Everything adds up." if ledger["balanced"] else "**This does not add up.**"
    head = ("stage", "of", "in", "kept", "dropped, by reason")
    return f"## The text's way through the stages\n\n{table(head, rows, (2, 3))}\n{told}\n"


def _most(entry: Mapping[str, Any]) -> list[tuple[str, int]]:
    return sorted(entry["dropped"].items(), key=lambda reason: -abs(reason[1]))


def corpus_page(made: Made) -> str:
    """The sources as they were read and, once that is done, how they were cleaned and split."""
    sources = made["download"].summary["sources"]
    rows = [
        (plain(s["name"]), plain(s["type"]), f"{s['documents']:,}", f"{s['bytes']:,}")
        for s in sources[:_MOST_ROWS]
    ]
    parts = [
        "## Sources as they were read\n",
        table(("source", "type", "documents", "bytes"), rows, (2, 3)),
        _left_out(sources),
    ]
    if "clean" in made:
        clean = made["clean"].summary
        parted = [
            (name, f"{clean[split]['documents']:,}", f"{clean[split]['bytes']:,}")
            for split, name in (("train", "to train on"), ("held_out", "held out"))
        ]
        parts += ["## After cleaning\n", table(("part", "documents", "bytes"), parted, (1, 2))]
    return "\n".join(parts)


def _left_out(rows: Sequence[Any]) -> str:
    return f"… and {len(rows) - _MOST_ROWS:,} more.\n" if len(rows) > _MOST_ROWS else ""


def tokenizer_page(artifact: Artifact) -> str:
    """How large it is and how well it fits the corpus."""
    summary, check = artifact.summary, artifact.summary["check"]
    per_word = summary["tokens_per_word"]
    rows = [
        ("tokens in the vocabulary", f"{summary['vocab_size']:,}"),
        ("of them used in the sample", f"{check['vocabulary_used']:.1%}"),
        ("tokens a word", "–" if per_word is None else f"{per_word:.2f}"),
        ("bytes a token", f"{check['bytes_per_token']:.2f}"),
        ("sample", f"{check['documents']:,} documents, {check['tokens']:,} tokens"),
    ]
    return "## Tokenizer\n\n" + table(("", "measured on a sample"), rows, (1,))


def live_loss_page(
    points: Sequence[Point], held_out: Sequence[Point], last_step: float, told: str
) -> str:
    """The loss while it is trained: a picture, and how far it is."""
    picture = loss_picture(points, last_step, held_out)
    return f"## Training loss\n\n{plain(told)}\n\n{picture}\n\nThe training goes on.\n"


def loss_page(artifact: Artifact) -> str:
    """The loss of the whole training."""
    lines = read_steps(Path(artifact.file("losses.jsonl").local()))
    points = [(float(line["step"]), line["loss"]) for line in lines]
    summary = artifact.summary
    rows = [
        ("steps", f"{summary['steps']:,}"),
        ("loss at the end", f"{summary['final_loss']:.3f}"),
        ("passes over the rows", f"{summary['epochs']:,.2f}"),
        ("parameters", f"{summary['parameters']:,}"),
        ("precision", plain(summary["precision"])),
    ]
    if summary["held_out_loss"] is not None:
        rows.insert(2, ("loss on held-out rows at the end", f"{summary['held_out_loss']:.3f}"))
    picture = loss_picture(points, len(points), held_out_curve(lines))
    return f"## Training loss\n\n{picture}\n\n{table(('', 'at the end'), rows, (1,))}"


def scores_page(summary: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """The scores beside those of the model published before, where there is one."""
    now, then = _scores(summary), _scores(before or {})
    rows = [(plain(name), *_compared(value, then.get(name))) for name, value in now.items()]
    if not rows:
        return "## Scores\n\nNothing was held out and no benchmark is configured.\n"
    if before is None:
        told = "No model of this name was published before."
    elif before == summary:
        told = "The model published before has the very same scores."
    else:
        told = "Beside them those of the model of this name published before."
    head = ("score", "this model", "published before", "change")
    return f"## Scores\n\n{table(head, rows, (1, 2, 3))}\n{told}\n"


def _scores(summary: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Scores by name, each with how it is written."""
    found: dict[str, tuple[float, str]] = {}
    if held_out := summary.get("held_out"):
        kinds = (("", held_out), (" at <mask>", held_out["by_kind"]["mask"]))
        for where, part in kinds:
            if part["loss"] is not None:
                found[f"held-out perplexity{where}"] = part["perplexity"], "{:,.2f}"
                found[f"held-out accuracy{where}"] = part["accuracy"], "{:.1%}"
    if blimp := summary.get("blimp"):
        found["BLiMP"] = blimp["accuracy"], "{:.1%}"
        found |= {f"BLiMP: {name}": (value, "{:.1%}") for name, value in blimp["files"].items()}
    for score in summary.get("scores", ()):
        if score["task"] in summary.get("tasks", ()):
            form = "{:.1%}" if is_share(score) else "{:,.3f}"
            found[f"{score['task']}, {score['measure']}"] = score["value"], form
    return found


def _compared(now: tuple[float, str], then: tuple[float, str] | None) -> tuple[str, str, str]:
    value, form = now
    if then is None:
        return form.format(value), "–", "–"
    change = value - then[0]
    told = f"{change * 100:+.1f} points" if "%" in form else f"{change:+,.2f}"
    return form.format(value), form.format(then[0]), told


def fills_page(summary: Mapping[str, Any]) -> str:
    """The examples' texts with the model's guesses for each mask."""
    rows = [
        (plain(example["text"]), ", ".join(_guess(guess) for guess in example["top"][:5]))
        for example in summary["examples"]
    ]
    if not rows:
        return "## Filled masks\n\nThe config has no examples (`evaluate.examples`).\n"
    return "## Filled masks\n\n" + table(("text", "guesses, best first"), rows)


def _guess(guess: Mapping[str, Any]) -> str:
    return f"{plain(shown_token(guess['token']), 40)} {guess['score']:.2f}"


def tasks_page(summary: Mapping[str, Any]) -> str:
    """How well each task was learnt, beside the best of what needs no encoder on the same rows."""
    rows = []
    for name, found in summary["tasks"].items():
        metric = found["metric"]
        part = "test" if "test" in found["scores"] else "dev"
        score = found["scores"][part]["metrics"][metric]
        best = best_baseline(found, part)
        beside = "–" if best is None else f"{best[1]:.3f}, {plain(best[0])}"
        interval = f"{score['low']:.3f} to {score['high']:.3f}"
        told = (f"{score['value']:.3f}", interval, beside, _contained(found["scores"][part]))
        rows.append((plain(name), metric, part, *told))
    head = ("task", "metric", "on", "score", "95 %", "best baseline", "in the training text")
    told_of = ((name, told_unbeaten(found)) for name, found in summary["tasks"].items())
    cautions = [f"\n{plain(name)}: {plain(told)}.\n" for name, its in told_of for told in its]
    return f"## Tasks\n\n{table(head, rows, (3,))}{''.join(cautions)}"


def _contained(scored: Mapping[str, Any]) -> str:
    """How many items of labelled data the pretraining text holds, as far as that is known."""
    told = scored.get("contamination")
    return "not known" if told is None else f"{told['contained']:,} of {told['items']:,}"


def leaderboard_page(found: Mapping[str, Any]) -> str:
    """All published models of the store by score, with published scores of known models."""
    parts = ["## Leaderboard\n"]
    for board in found["boards"]:
        form = "{:.1%}" if board["is_share"] else "{:,.2f}"
        rows = [_place(row, form) for row in board["rows"][:_MOST_ROWS]]
        parts.append(table((plain(board["score"]), "value", "made of", "what it is"), rows, (1, 2)))
    parts.append("A star marks what models/NAME points to.\n")
    return "\n".join(parts)


def _place(row: Mapping[str, Any], form: str) -> tuple[str, str, str, str]:
    value = form.format(row["value"])
    if row["kind"] == "published":
        return plain(row["name"]), value, "–", plain(f"published: {row['set']}")
    name = plain(f"{row['name']} *" if row["is_latest"] else row["name"])
    made_of = f"{row['items']:,} {plain(row['unit'])}" if row["items"] else "–"
    return name, value, made_of, plain(f"{row['key']}, {row['finished']}")


def run_page(record: Mapping[str, Any], made: Made, report_page: str | None) -> str:
    """How the run ended: every stage, then where model and report are.

    `report_page` is where the report is served, if it is.
    """
    rows = [
        (
            plain(entry["name"]),
            plain(entry["state"]),
            f"{entry['seconds']:,.1f}",
            _result(entry, made.get(entry["name"])),
        )
        for entry in record["stages"]
    ]
    head = f"## {plain(record['name'])}: {plain(record['state'])}, {record['seconds']:,.0f} s\n"
    parts = [head, table(("stage", "state", "seconds", "result"), rows, (2,))]
    if record["report"] and report_page is not None:
        parts.append(f"[Open the report]({report_page})\n")
        if FINE_TUNING in made:
            parts.append(f"[Open the page on what it was taught]({report_page}/taught)\n")
    places = [("model", record["model"]), ("report", record["report"])]
    places += [(entry["name"], entry["path"]) for entry in record["stages"]]
    shown = [(plain(name), plain(place)) for name, place in places if place]
    parts.append(table(("what", "where"), shown))
    return "\n".join(parts)


def _result(entry: Mapping[str, Any], artifact: Artifact | None) -> str:
    if artifact is None:
        return plain(entry.get("problem", ""), 1000)
    return plain(artifact.manifest["headline"])
