"""clean: documents as they came become documents fit for training, each drop with its reason.

    documents/00-00000 ──▶ put right, filter ──▶ cleaned/00-00000 ─┐   (a unit a file)
                                                                   ▼
                          bands/00 ... ──▶ edges between near repeats  (a unit a few bands)
                                                                   ▼
                          fates: train, held out or repeat            (one unit, no text)
                                                                   ▼
                          train/00-00000, held_out/00-00000           (a unit a file)

Repeats are found over the whole corpus before anything is held out, so nothing held out has a
near copy among the training documents. Only the two last kinds of units are handed on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.cleaning.cleaned import (
    ARRAYS,
    CleanedArrays,
    Cleaner,
    joined,
    open_array,
)
from tasks.cleaning.minhash import band_keys, band_shape
from tasks.cleaning.near_pairs import near_edges
from tasks.cleaning.parting import RejectWriter, write_fated, write_rejects
from tasks.cleaning.split import (
    HELD_OUT,
    REASONS,
    TRAIN,
    hold_out,
    mark_exact,
    mark_near,
)
from tasks.config import CleanConfig, Config, Section
from tasks.config.clean import FilterConfig, UnicodeConfig
from tasks.documents import DocumentWriter, read_documents
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.sources.summaries import DocumentsFile, documents_files

SPLITS = {"train": TRAIN, "held_out": HELD_OUT}
_BANDS_A_UNIT = 4


class CleanSlice(Section):
    """What of the config concerns this stage; `held_out` has one share for each source."""

    clean: CleanConfig
    held_out: tuple[float, ...]


Context = StageContext[CleanSlice]


def clean_slice(config: Config) -> CleanSlice:
    """The section of its own, and what each source wants held out."""
    shares = tuple(source.held_out for source in config.corpus)
    return CleanSlice(clean=config.clean, held_out=shares)


def clean(context: Context) -> StageReport:
    """Clean every file, find repeats over all of them, and part train from held-out.

    Raises:
        UserError: nothing is left to train on.
    """
    download = context.input("download")
    files = documents_files(download.summary["sources"], dict(download.outputs))
    cleaned = _clean_files(context, files)
    fates = _decide(context, cleaned)
    ledger = Ledger.total(file.unit.ledger for file in cleaned)
    _count_repeats(ledger, fates.summary)
    summary: dict[str, Any] = {}
    for split in SPLITS:
        results = _write_split(context, split, cleaned, fates)
        kept = {name: sum(r.summary[name] for r in results) for name in ("documents", "bytes")}
        ledger.keep(**kept)
        summary[split] = kept
    if context.config.clean.keep_rejects:
        _write_rejects(context, cleaned, fates)
    if not summary["train"]["documents"]:
        raise UserError(_nothing_left(ledger))
    return StageReport(ledger, summary)


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


def clean_file(
    work: UnitWork,
    *,
    documents: StoredFile,
    unicode: UnicodeConfig,
    filters: FilterConfig,
    num_hashes: int | None,
    keep_rejects: bool,
) -> UnitReport:
    """Put one file's documents right, drop what the filters refuse, sign what is left."""
    cleaner, arrays, ledger = (
        Cleaner(unicode, filters, num_hashes),
        CleanedArrays(num_hashes),
        Ledger(),
    )
    ledger.take(documents=0, bytes=0)
    with (
        DocumentWriter(work.path(".arrow")) as writer,
        RejectWriter(work.path(".rejects.arrow")) as rejects,
    ):
        for document in read_documents(documents.local()):
            before = len(document.text.encode())
            ledger.take(documents=1, bytes=before)
            judged = cleaner.judge(document.text)
            if judged.reason is not None:
                ledger.drop(judged.reason, documents=1, bytes=before)
                if keep_rejects:
                    rejects.add(document, judged.reason)
                continue
            size = writer.add(document.record, judged.text)
            arrays.add(judged.text, judged.signature)
            ledger.keep(documents=1, bytes=size)
            ledger.drop("rewritten", bytes=before - size)
    if not keep_rejects:
        work.path(".rejects.arrow").unlink()
    arrays.save({name: work.path(f".{name}.npy") for name in ARRAYS})
    rows = {".arrow": writer.num_documents}
    return UnitReport(ledger, rows, {"documents": writer.num_documents})


def _arrays(cleaned: Sequence[CleanedFile], name: str) -> list[StoredFile]:
    return [file.unit.files[f".{name}.npy"] for file in cleaned]


def _decide(context: Context, cleaned: Sequence[CleanedFile]) -> UnitResult:
    """The fate of every document; one small file of fates for each cleaned file."""
    config = context.config.clean
    payload = {
        "ids": _arrays(cleaned, "ids"),
        "exact": config.dedup.exact,
        "sizes": _arrays(cleaned, "sizes"),
        "edges": _find_near(context, cleaned),
        "shares": [context.config.held_out[file.source] for file in cleaned],
        "seed": config.seed,
    }
    (fates,) = context.map(decide_fates, [Unit("fates", payload)], outputs=False)
    return fates


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


def find_edges(
    work: UnitWork,
    *,
    signatures: Sequence[StoredFile],
    width: int,
    threshold: float,
    bands: Sequence[int],
) -> UnitReport:
    """Pairs of documents that meet in one of some bands and whose signatures agree enough."""
    mapped = [open_array(file) for file in signatures]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for band in bands:
        keys = np.concatenate([band_keys(part, band, width) for part in mapped])
        found.append(near_edges(keys, mapped, threshold))
    edges = np.unique(np.concatenate(found), axis=0)
    np.save(work.path(".npy"), edges, allow_pickle=False)
    return UnitReport(rows={".npy": len(edges)})


def decide_fates(
    work: UnitWork,
    *,
    ids: Sequence[StoredFile],
    exact: bool,
    sizes: Sequence[StoredFile],
    edges: Sequence[StoredFile],
    shares: Sequence[float],
    seed: int,
) -> UnitReport:
    """Mark repeats, hold out a share of the rest; documents are numbered over all files."""
    size_of = joined(sizes)
    counts = [len(open_array(file)) for file in sizes]
    fates = np.full(len(size_of), TRAIN, dtype=np.uint8)
    originals = np.arange(len(fates))
    if exact:
        originals = mark_exact(fates, joined(ids))
    if edges:
        mark_near(fates, np.unique(joined(edges), axis=0), originals)
    hold_out(fates, joined(ids), np.repeat(np.array(shares, dtype=np.float64), counts), seed)
    ends = np.cumsum(counts)
    for number, (end, count) in enumerate(zip(ends, counts, strict=True)):
        np.save(work.path(f".{number:05}.npy"), fates[end - count : end], allow_pickle=False)
    summary = {
        reason: {
            "documents": int((fates == fate).sum()),
            "bytes": int(size_of[fates == fate].sum()),
        }
        for fate, reason in REASONS.items()
    }
    return UnitReport(summary=summary)


def _count_repeats(ledger: Ledger, repeats: Mapping[str, Mapping[str, int]]) -> None:
    """Book repeats; what is kept is counted anew from the files that are written."""
    for reason, amounts in repeats.items():
        ledger.drop(reason, **amounts)
    for measure in ("documents", "bytes"):
        ledger[measure].kept = 0


def _fated(
    cleaned: Sequence[CleanedFile], fates: UnitResult
) -> Iterator[tuple[CleanedFile, dict[str, Any]]]:
    """Each cleaned file, and the payload of a unit that parts its documents."""
    for number, file in enumerate(cleaned):
        payload = {
            "documents": file.unit.files[".arrow"],
            "ids": file.unit.files[".ids.npy"],
            "fates": fates.files[f".{number:05}.npy"],
        }
        yield file, payload


def _write_split(
    context: Context, split: str, cleaned: Sequence[CleanedFile], fates: UnitResult
) -> list[UnitResult]:
    units = [
        Unit(f"{split}/{file.name}", {**payload, "fate": SPLITS[split]})
        for file, payload in _fated(cleaned, fates)
    ]
    return context.map(write_fated, units)


def _write_rejects(context: Context, cleaned: Sequence[CleanedFile], fates: UnitResult) -> None:
    """All dropped documents with their reasons, beside the others; no later stage reads them."""
    units = [
        Unit(f"rejects/{file.name}", {**payload, "filtered": file.unit.files[".rejects.arrow"]})
        for file, payload in _fated(cleaned, fates)
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
    version=3,
    needs=("download",),
    config=clean_slice,
    run=clean,
)
