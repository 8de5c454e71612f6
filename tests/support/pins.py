"""Pins: what every stage makes of a small corpus of our own, `tests/pinned/`, byte for byte.

A key promises that the same key means the same bytes. So where a stage's version, config, inputs
and libraries are those of the pins, its bytes must be too: else somebody changed what the stage
writes and forgot to raise its version. `make pins` writes the pins anew, and refuses where only
a raised version is missing.

Training's floating point differs between processors and BLAS builds, and so do the first word
embeddings (an SVD). Pinned of `pretrain` are therefore names, types, shapes and counts, and its
losses to a tolerance; of `evaluate` names and counts; of `publish` the tokenizer's bytes, and the
card and the report with each number as `#`, without charts and without where and when.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from small_corpus import small_config
from tiny_pipeline import TINY, run_all

from tasks.engine.identity import digest_of, file_digest, flatten, library_versions
from tasks.engine.runner import Outcome
from tasks.inspection.drift import changed_fields
from tasks.publishing.evidence import evidence_of
from tasks.stages import STAGE_NAMES, get_stage

FOLDER = Path(__file__).resolve().parents[1] / "pinned"
PLACE = FOLDER / "pins.json"
EXACT = ("download", "clean", "tokenizer", "pack")
TOLERANCE = 0.2  # of a figure of training, relative and absolute

_NOT_PINNED = (
    r"<svg.*?</svg>",
    r"<!--varies-->.*?<!--/varies-->",
    r"## Hardware and energy\n.*",
)

Pin = dict[str, Any]


def make_pins(store: Path) -> dict[str, Pin]:
    """Run every stage on the pinned corpus; what is pinned of each."""
    texts = FOLDER / "texts"
    source = {
        "type": "files",
        "name": "texts",
        "paths": str(texts),
        "encoding": {"*": "utf-8", "*.latin1.txt": "latin-1"},
        "held_out": 0.15,
    }
    config = small_config(
        store,
        texts,
        name="pins",
        corpus=[source],
        tokenizer={"vocab_size": 420},
        pack={"row_tokens": 48},
        model=TINY["model"],
        pretrain={"batch_rows": 4, "steps": 3, "precision": "fp32", "checkpoint_steps": 2},
        evaluate={"held_out": {"max_rows": 8}},
        engine=TINY["engine"],
    )
    outcomes = run_all(config)
    return {name: _pin(name, outcomes) for name in STAGE_NAMES}


def _pin(name: str, outcomes: Mapping[str, Outcome]) -> Pin:
    artifact = outcomes[name].artifact
    manifest = artifact.manifest
    stage, made = get_stage(name), {need: outcomes[need].artifact for need in EXACT}
    pin = {
        "identity": {
            "version": manifest["version"],
            "config": manifest["config"],
            "files": sorted(manifest["externals"].values()),
            "inputs": {
                need: stage.input_digest(made[need]) for need in stage.needs if need in made
            },
        },
        "libraries": versions_of(name),
        "made": {
            "outputs": {path: _described(path, file.local()) for path, file in artifact.outputs},
            "ledger": manifest["ledger"],
            "summary": evidence_of(manifest)["summary"],
        },
    }
    if name == "evaluate":
        pin["made"] = _figures_aside(pin["made"])
    return dict(json.loads(json.dumps(pin)))


def _figures_aside(value: Any) -> Any:
    """With scores as `a figure`: of three tokens, one more right is a third of the accuracy."""
    if isinstance(value, Mapping):
        return {
            key: "a figure" if key in ("num_correct", "bins") else _figures_aside(part)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [_figures_aside(part) for part in value]
    return "a figure" if isinstance(value, float) else value


def versions_of(stage: str) -> dict[str, str]:
    """The installed versions that a stage's key or that of a stage before it depends on."""
    before = STAGE_NAMES[: STAGE_NAMES.index(stage) + 1]
    return library_versions(sorted({lib for name in before for lib in get_stage(name).libraries}))


def _described(path: str, file: Path) -> Any:
    """An output's digest, or what of it is the same on every machine."""
    if path.endswith(".safetensors"):
        with safe_open(file, framework="numpy") as tensors:
            parts = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            return {name: f"{p.get_dtype()} {list(p.get_shape())}" for name, p in parts.items()}
    if path == "token_vectors.npy":
        vectors = np.load(file)
        return f"{vectors.dtype} {list(vectors.shape)}"
    if path == "losses.jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if path.startswith("held_out/") and path.endswith(".json"):
        return json.loads(file.read_text(encoding="utf-8"))
    if path.endswith((".html", ".md")):
        text = re.sub("|".join(_NOT_PINNED), "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        return digest_of(re.sub(r"\d+(?:[.,]\d+)*", "#", text))
    return file_digest(file)


def problem_with(stage: str, pin: Pin | None, now: Pin) -> str | None:
    """Why the pins and a stage do not agree, and what to do; None where they do."""
    if pin is None or pin["identity"] != now["identity"] or pin["libraries"] != now["libraries"]:
        changes = changed_fields(_basis(pin), _basis(now)) if pin else []
        fields = ", ".join(change["field"] for change in changes) or "nothing yet"
        return f"{stage}: the pins are out of date ({fields}). Run `make pins` and commit them."
    changed = list(_changed(pin["made"], now["made"], exact=stage in EXACT))
    if not changed:
        return None
    return (
        f"{stage}: the same key now means something else: {', '.join(changed)}. If you meant it, "
        f"raise the version of {stage} (now {now['identity']['version']}) in tasks/stages/ and "
        "run `make pins`: who has an older artifact would go on being served it. If not, the "
        "change is a defect."
    )


def only_inputs_changed(pin: Pin, now: Pin) -> bool:
    """Whether a stage cannot be judged because one before it makes other bytes."""
    fields = [change["field"] for change in changed_fields(_basis(pin), _basis(now))]
    return bool(fields) and all(field.startswith("identity.inputs") for field in fields)


def _basis(pin: Pin) -> Pin:
    return {part: pin[part] for part in ("identity", "libraries")}


def _changed(before: Any, after: Any, *, exact: bool) -> Iterator[str]:
    """The dotted paths of what differs, figures of training beyond the tolerance."""
    old, new = flatten(before), flatten(after)
    for path in sorted(old.keys() | new.keys()):
        one, other = old.get(path), new.get(path)
        close = (
            not exact
            and isinstance(one, float)
            and isinstance(other, float)
            and bool(np.isclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))
        )
        if path not in old or path not in new or (one != other and not close):
            yield path


def read_pins() -> dict[str, Pin]:
    """The pins as they were committed."""
    return dict(json.loads(PLACE.read_text(encoding="utf-8"))) if PLACE.exists() else {}


def write_pins() -> int:
    """Write the pins anew; 1, and nothing written, where a version must be raised first."""
    before = read_pins()
    with tempfile.TemporaryDirectory() as store:
        now = make_pins(Path(store))
    for stage, pin in now.items():
        same = stage in before and _basis(before[stage]) == _basis(pin)
        if same and (problem := problem_with(stage, before[stage], pin)):
            sys.stderr.write(f"{problem}\n")
            return 1
    PLACE.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{PLACE.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(write_pins())
