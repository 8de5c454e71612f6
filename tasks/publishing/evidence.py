"""Evidence: what the report and the card may show of a stage, and so what publish depends on.

Two artifacts can hold the same bytes and yet have come about differently: another filter
dropped the same documents for another reason. A stage that only computes on the bytes should
sleep through that; publish, which tells how they came about, should not.

Left out are times, hosts and package versions, the names of source files, and the keys of
inputs: they differ between two histories of the same result.
"""

from collections.abc import Mapping
from typing import Any

from tasks.engine.identity import digest_of

_PARTS = ("stage", "key", "config", "output_digest", "ledger", "figures")
_FIGURES_OF_FILES = ("files",)


def evidence_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a manifest that may be shown: a function of what was computed from what."""
    summary = manifest["summary"]
    shown = {name: value for name, value in summary.items() if name not in _FIGURES_OF_FILES}
    return {**{part: manifest[part] for part in _PARTS}, "summary": shown}


def evidence_digest(manifest: Mapping[str, Any]) -> str:
    """What a key knows of an input that is shown; the outputs' digest is a part of it."""
    return digest_of(evidence_of(manifest))
