"""clean: documents as they came become documents fit for training, each drop with its reason.

    documents/00-00000 ──▶ put right, filter ──▶ cleaned/00-00000 ─┐   (a unit a file)
                                                                   ▼
                          bands/00 ... ──▶ edges between near duplicates  (a unit a few bands)
                                                                   ▼
                          splits: train, held out or duplicate            (one unit, no text)
                                                                   ▼
                          train/00-00000, held_out/00-00000           (a unit a file)

Duplicates are found over the whole corpus before anything is held out, so nothing held out has a
near copy among the training documents; tasks.cleaning.split states by which rule it is held out.
Only the two last kinds of units are handed on.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.artifacts import Downloaded
from tasks.cleaning.accounts import SourceAccount
from tasks.cleaning.minhash import band_shape
from tasks.cleaning.parting import write_rejects, write_split
from tasks.cleaning.split import HELD_OUT, TRAIN, HoldingOut
from tasks.cleaning.units import clean_file, decide_splits, find_edges
from tasks.config import CleanConfig, Config, Section
from tasks.costs import CorpusSize, Estimate, cost_of_text
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitResult
from tasks.errors import UserError
from tasks.sources.summaries import DocumentsFile

log = logging.getLogger(__name__)

SPLITS = {"train": TRAIN, "held_out": HELD_OUT}
_BANDS_A_UNIT = 4


class CleanSlice(Section):
    """What of the config concerns this stage; one share and given name for each source."""

    clean: CleanConfig
    held_out: tuple[float, ...]
    names: tuple[str | None, ...]


Context = StageContext[CleanSlice]


def clean_slice(config: Config) -> CleanSlice:
    """The section of its own, what each source wants held out, and what it is called."""
    shares = tuple(source.held_out for source in config.corpus)
    names = tuple(source.name for source in config.corpus)
    return CleanSlice(clean=config.clean, held_out=shares, names=names)


def clean(context: Context) -> StageReport:
    """Clean every file, find duplicates over all of them, and part train from held-out.

    Raises:
        UserError: nothing is left to train on.
    """
    downloaded = Downloaded.of(context)
    cleaned = _clean_files(context, downloaded.files)
    splits = _decide(context, cleaned)
    ledger = Ledger.total(file.unit.ledger for file in cleaned)
    _count_duplicates(ledger, splits.summary["duplicates"])
    written = {split: _write_split(context, split, cleaned, splits) for split in SPLITS}
    summary: dict[str, Any] = {split: _amounts(units) for split, units in written.items()}
    for amounts in summary.values():
        ledger.keep(**amounts)
    accounts = [
        _account(source.name, number, cleaned, written, splits)
        for number, source in enumerate(downloaded.sources)
    ]
    summary["sources"] = [account.to_json() for account in accounts]
    for remark in filter(None, (account.remark() for account in accounts)):
        log.warning("clean: %s", remark)
    if context.config.clean.keep_rejects:
        _write_rejects(context, cleaned, splits)
    if not summary["train"]["documents"]:
        raise UserError(_nothing_left(ledger))
    train, held_out = (f"{summary[split]['documents']:,}" for split in ("train", "held_out"))
    return StageReport(
        ledger,
        summary,
        headline=f"{train} to train on, {held_out} held out",
        figures={"training documents": train},
    )


def estimate(config: Config, size: CorpusSize) -> Estimate:
    """Cleaned documents are written twice: before and after duplicates are found."""
    return cost_of_text(size, config, mb_per_second=3.0, disk_share=1.0)


def _amounts(units: Iterable[UnitResult]) -> dict[str, int]:
    """What was written by some units."""
    found = [unit.summary for unit in units]
    return {name: sum(each[name] for each in found) for name in ("documents", "bytes")}


def _account(
    name: str,
    source: int,
    cleaned: Sequence["CleanedFile"],
    written: Mapping[str, Sequence[UnitResult]],
    splits: UnitResult,
) -> SourceAccount:
    """What was written of one source, and how its held-out documents were chosen."""
    train, held_out = (
        _amounts(unit for file, unit in zip(cleaned, units, strict=True) if file.source == source)
        for units in (written["train"], written["held_out"])
    )
    return SourceAccount(name, train, held_out, HoldingOut(**splits.summary["sources"][source]))


@dataclass(frozen=True)
class CleanedFile:
    """A documents file after cleaning: the unit that holds what is left of it."""

    name: str
    source: int
    unit: UnitResult


def _clean_files(context: Context, files: Sequence[DocumentsFile]) -> list[CleanedFile]:
    config = context.config.clean
    near = config.dedup.near
    shared = {
        "unicode": config.unicode,
        "filters": config.filters,
        "num_hashes": None if near is None else near.num_hashes,
        "keep_rejects": config.keep_rejects,
    }
    units = [Unit(f"cleaned/{file.name}", {"documents": file.stored, **shared}) for file in files]
    results = context.map(clean_file, units, outputs=False)
    return [
        CleanedFile(file.name, file.source, unit) for file, unit in zip(files, results, strict=True)
    ]


def _arrays(cleaned: Sequence[CleanedFile], name: str) -> list[StoredFile]:
    return [file.unit.files[f".{name}.npy"] for file in cleaned]


def _decide(context: Context, cleaned: Sequence[CleanedFile]) -> UnitResult:
    """The split of every document; one small file for each cleaned file."""
    config = context.config.clean
    payload = {
        "ids": _arrays(cleaned, "ids"),
        "sizes": _arrays(cleaned, "sizes"),
        "sources": [file.source for file in cleaned],
        "edges": _find_near(context, cleaned),
        "exact": config.dedup.exact,
        "near": config.dedup.near is not None,
        "shares": context.config.held_out,
        "seed": config.seed,
    }
    (splits,) = context.map(decide_splits, [Unit("splits", payload)], outputs=False)
    return splits


def _find_near(context: Context, cleaned: Sequence[CleanedFile]) -> list[StoredFile]:
    near = context.config.clean.dedup.near
    if near is None:
        return []
    num_bands, width = band_shape(near.threshold, near.num_hashes)
    shared = {
        "signatures": _arrays(cleaned, "signatures"),
        "width": width,
        "threshold": near.threshold,
    }
    units = [
        Unit(
            f"bands/{first:03}",
            {**shared, "bands": list(range(first, min(first + _BANDS_A_UNIT, num_bands)))},
        )
        for first in range(0, num_bands, _BANDS_A_UNIT)
    ]
    results = context.map(find_edges, units, outputs=False)
    return [result.files[".npy"] for result in results]


def _count_duplicates(ledger: Ledger, duplicates: Mapping[str, Mapping[str, int]]) -> None:
    """Book duplicates; what is kept is counted anew from the files that are written."""
    for reason, amounts in duplicates.items():
        ledger.drop(reason, **amounts)
    for measure in ("documents", "bytes"):
        ledger[measure].kept = 0


def _payloads(
    cleaned: Sequence[CleanedFile], splits: UnitResult
) -> Iterator[tuple[CleanedFile, dict[str, Any]]]:
    """Each cleaned file, and the payload of a unit that parts its documents."""
    for number, file in enumerate(cleaned):
        payload = {
            "documents": file.unit.files[".arrow"],
            "ids": file.unit.files[".ids.npy"],
            "splits": splits.files[f".{number:05}.npy"],
        }
        yield file, payload


def _write_split(
    context: Context, split: str, cleaned: Sequence[CleanedFile], splits: UnitResult
) -> list[UnitResult]:
    units = [
        Unit(f"{split}/{file.name}", {**payload, "split": SPLITS[split]})
        for file, payload in _payloads(cleaned, splits)
    ]
    return context.map(write_split, units)


def _write_rejects(context: Context, cleaned: Sequence[CleanedFile], splits: UnitResult) -> None:
    """All dropped documents with their reasons, beside the others; no later stage reads them."""
    units = [
        Unit(f"rejects/{file.name}", {**payload, "filtered": file.unit.files[".rejects.arrow"]})
        for file, payload in _payloads(cleaned, splits)
    ]
    context.map(write_rejects, units, outputs=False)


def _nothing_left(ledger: Ledger) -> str:
    balance = ledger["documents"]
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(balance.dropped.items()) if n)
    return (
        f"of {balance.taken:,} documents none is left to train on (dropped: {reasons or 'none'}; "
        f"held out: {balance.kept:,}). Loosen `clean.filters`, lower the sources' `held_out`, or "
        "add text."
    )


CLEAN = Stage(
    name="clean",
    number=2,
    version=5,
    needs=("download",),
    config=clean_slice,
    run=clean,
    estimate=estimate,
    libraries=("ftfy", "regex", "unicode", "pyarrow"),
)
