"""The figures that the report and the model card are made of, read from the manifests.

Both are pure functions of the manifests: rendering them again gives the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.config import PublishConfig
from tasks.engine.records import unseal
from tasks.errors import StageError
from tasks.inspection.drift import flatten

_RECIPE_STAGES = ("clean", "tokenizer", "pack", "pretrain")
_READ = {
    "mask": "<mask>",
    "random": "another, random token",
    "kept": "the token itself",
    "all": "all chosen tokens",
}


def read_manifests(paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """The manifests of the stages before, by stage name.

    Raises:
        StageError: one of them is damaged.
    """
    manifests = {}
    for name, path in paths.items():
        manifest = unseal(path.read_bytes())
        if manifest is None:
            raise StageError(f"{path}: this manifest is damaged. Run `roberta verify --repair`.")
        manifests[name] = manifest
    return manifests


def collect_figures(
    name: str,
    publish: PublishConfig,
    licences: Sequence[str | None],
    manifests: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Everything the templates show, by the names they use."""
    evaluation = manifests["evaluate"]["summary"]
    training = manifests["pretrain"]
    last = manifests["evaluate"]["provenance"] or training["provenance"]
    return {
        "name": name,
        "licence": publish.licence,
        "language": publish.language,
        "summary": publish.summary,
        "parameters": training["summary"]["parameters"],
        "special_tokens": manifests["pack"]["config"].get("special_tokens"),
        "finished": f"{last['ended'][:16].replace('T', ' ')} UTC",
        "hosts": ", ".join(training["provenance"]["hosts"]),
        "environment": training["provenance"],
        "held_out": evaluation.get("held_out"),
        "held_out_table": _held_out_table(evaluation.get("held_out")),
        "blimp": evaluation.get("blimp"),
        "examples": evaluation.get("examples", []),
        "example_text": _example_text(evaluation),
        "cards": _cards(manifests),
        "ledger": _ledger(manifests),
        "sources": _sources(manifests["download"], licences),
        "stages": [_stage(name, manifest) for name, manifest in manifests.items()],
        "recipe": _recipe(manifests),
    }


def _held_out_table(held_out: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The held-out score by what stood in the input, as text: a row a kind, then all of them."""
    if not held_out:
        return []
    everything = {**held_out, "tokens": held_out["masked_tokens"]}
    parts = {**held_out["by_kind"], "all": everything}
    return [
        {
            "read": read,
            "tokens": f"{parts[kind]['tokens']:,}",
            **_shown_scores(parts[kind]),
            **{f"unigram_{k}": v for k, v in _shown_scores(held_out["unigram"].get(kind)).items()},
        }
        for kind, read in _READ.items()
    ]


def _shown_scores(scores: Mapping[str, float | None] | None) -> dict[str, str]:
    """Perplexity and accuracy as text; a dash for what was not measured."""
    if scores is None or scores["loss"] is None:
        return {"perplexity": "–", "accuracy": "–"}
    return {
        "perplexity": f"{scores['perplexity']:,.1f}",
        "accuracy": f"{scores['accuracy']:.1%}",
    }


def _example_text(evaluation: Mapping[str, Any]) -> str:
    examples = evaluation.get("examples") or [{"text": "The capital of France is <mask>."}]
    return str(examples[0]["text"])


def _cards(manifests: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    evaluation = manifests["evaluate"]["summary"]
    training = manifests["pretrain"]["summary"]
    cards = [
        ("training documents", f"{manifests['clean']['ledger']['documents']['kept']:,}"),
        ("tokens in a pass", f"{manifests['pack']['ledger']['tokens']['kept']:,}"),
        ("steps", f"{training['steps']:,}"),
        ("last training loss", f"{training['final_loss']:.3f}"),
    ]
    if evaluation.get("held_out"):
        cards.append(("held-out perplexity", f"{evaluation['held_out']['perplexity']:.1f}"))
        at_masks = _shown_scores(evaluation["held_out"]["by_kind"]["mask"])["accuracy"]
        cards.append(("held-out accuracy at <mask>", at_masks))
    if evaluation.get("blimp"):
        cards.append(("BLiMP", f"{evaluation['blimp']['accuracy']:.1%}"))
    return [{"label": label, "value": value} for label, value in cards]


def _ledger(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    from tasks.inspection.ledger_path import balance_of

    return balance_of({name: (m["key"], m["ledger"]) for name, m in manifests.items()})


def _sources(download: Mapping[str, Any], licences: Sequence[str | None]) -> list[dict[str, Any]]:
    """Sources as they were read, in the config's order, with their licence notes."""
    sources = download["summary"]["sources"]
    return [
        {**source, "licence": licence} for source, licence in zip(sources, licences, strict=True)
    ]


def _stage(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    provenance = manifest["provenance"]
    return {
        "name": name,
        "key": manifest["key"],
        "units": len(manifest["units"]),
        "seconds": _seconds(manifest),
        "peak_memory_bytes": provenance.get("peak_memory_bytes", 0),
        "ended": provenance.get("ended", "")[:19].replace("T", " "),
        "hosts": ", ".join(provenance.get("hosts", [])),
    }


def _seconds(manifest: Mapping[str, Any]) -> float:
    """All processes' own time; of a training, of all its checkpoints, kept or not."""
    rest = [unit["provenance"] for unit in manifest["units"]]
    trained = [unit for unit in rest if "intervals" in unit]
    intervals = max(trained, key=lambda unit: int(unit["step"]))["intervals"] if trained else []
    rest = [unit for unit in rest if "intervals" not in unit]
    return float(sum(part.get("seconds", 0.0) for part in (*rest, *intervals)))


def _recipe(manifests: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [
        (field, str(value))
        for name in _RECIPE_STAGES
        for field, value in flatten(manifests[name]["config"], name).items()
    ]


def read_losses(path: Path) -> tuple[list[int], list[float]]:
    """Steps and losses of a run's `losses.jsonl`."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line["step"] for line in lines], [line["loss"] for line in lines]


def read_throughput(units: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    """Steps and tokens a second of the checkpoint intervals that were measured."""
    checkpoints = [unit["provenance"] for unit in units if "intervals" in unit["provenance"]]
    if not checkpoints:
        return [], []
    intervals = max(checkpoints, key=lambda unit: int(unit["step"]))["intervals"]
    found = [(part["step"], part["tokens_per_second"]) for part in intervals if len(part) > 1]
    return [step for step, _ in found], [rate for _, rate in found]
