"""The figures that the report and the model card are made of, all from the stages' evidence.

They are a pure function of what publish's key knows, so a figure can never be out of date.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roberta_model.recipe import MaskingRecipe
from tasks.config import PublishConfig
from tasks.engine.ledger import balance_of
from tasks.publishing.licences import card_licence
from tasks.publishing.recipe import main_fields, recipe_of, recipe_values
from tasks.publishing.score_tables import contamination_table, detail_tables
from tasks.publishing.scores import scores_of

_EXAMPLE = "The capital of France is <mask>."
_READ = {
    "mask": "<mask>",
    "random": "another, random token",
    "kept": "the token itself",
    "all": "all chosen tokens",
}


def collect_figures(
    name: str,
    publish: PublishConfig,
    licences: Sequence[str | None],
    evidence: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What the templates show of the result, by the names they use.

    `evidence` has `evidence_of` each stage's manifest, in the stages' order.
    """
    evaluation = evidence["evaluate"]["summary"]
    sources = _sources(evidence["download"], licences)
    training, packed = evidence["pretrain"]["summary"], evidence["pack"]
    configs = {stage: part["config"] for stage, part in evidence.items()}
    record = recipe_record(evidence)
    return {
        "name": name,
        "licence": card_licence(publish.licence, licences),
        "chosen_licence": publish.licence,
        "languages": (publish.language or "").replace(",", " ").split(),
        "summary": publish.summary,
        "goes_on": not configs["pretrain"]["model"],
        "parameters": training["parameters"],
        "training": training,
        "masks_alike": _masks_alike(configs["pretrain"]["pretrain"]["masking"]),
        "row_tokens": packed["summary"]["row_tokens"],
        "longest_input": _longest_input(configs["pretrain"], packed["summary"]["row_tokens"]),
        "packed": packed["summary"],
        "cleaned": evidence["clean"]["summary"],
        "keeps_rejects": configs["clean"]["clean"]["keep_rejects"],
        "tokenizer": evidence["tokenizer"]["summary"],
        "special_tokens": packed["config"]["special_tokens"],
        "scores": (scores := scores_of(evaluation)),
        "methods": list(dict.fromkeys(score.method for score in scores if score.interval)),
        "details": detail_tables(evaluation.get("held_out"), [each["name"] for each in sources]),
        "contamination": contamination_table(evaluation),
        "held_out": evaluation.get("held_out"),
        "held_out_table": _held_out_table(evaluation.get("held_out")),
        "blimp": evaluation.get("blimp"),
        "examples": evaluation.get("examples", []),
        "example_text": _example_text(evaluation),
        "ledger": _ledger(evidence),
        "sources": sources,
        "recipe": recipe_of(configs),
        "recipe_main": main_fields(record["fields"], record["resolved"]),
        "keys": record["keys"],
    }


def recipe_record(evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `recipe.json` says: every field, what was worked out, and the stages' keys."""
    training = evidence["pretrain"]["summary"]
    return {
        "fields": recipe_values({name: part["config"] for name, part in evidence.items()}),
        "resolved": {f"pretrain.{field}": training[field] for field in ("steps", "precision")},
        "keys": {stage: part["key"] for stage, part in evidence.items()},
    }


def _masks_alike(masking: Mapping[str, Any]) -> bool:
    """Whether a training hid its tokens as held-out rows have theirs hidden."""
    return MaskingRecipe(**masking).identity() == MaskingRecipe().identity()


def _longest_input(config: Mapping[str, Any], row_tokens: int) -> int:
    """Tokens that the model reads at most, special ones included."""
    return int(config["model"].get("max_row_tokens") or row_tokens)


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
    """A text with one mask, in RoBERTa's spelling."""
    texts = [
        str(each["text"]).replace("[MASK]", "<mask>") for each in evaluation.get("examples", [])
    ]
    return next((text for text in texts if text.count("<mask>") == 1), _EXAMPLE)


def _ledger(evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return balance_of({name: (m["key"], m["ledger"]) for name, m in evidence.items()})


def _sources(download: Mapping[str, Any], licences: Sequence[str | None]) -> list[dict[str, Any]]:
    """Sources as they were read, in the config's order, with their licence notes."""
    sources = download["summary"]["sources"]
    return [
        {**source, "licence": licence} for source, licence in zip(sources, licences, strict=True)
    ]


def read_steps(path: Path) -> list[dict[str, Any]]:
    """The lines of a training's `losses.jsonl`, one a step."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def held_out_curve(losses: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The held-out loss at the steps at which it was measured."""
    measured = ((float(n["step"]), n.get("held_out_loss")) for n in losses)
    return [(step, loss) for step, loss in measured if loss is not None]
