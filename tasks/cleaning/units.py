"""Units of the clean stage: a cleaned file, near duplicates in some bands, every split."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from tasks.cleaning.cleaned import ARRAYS, CleanedArrays, Cleaner, joined, open_array
from tasks.cleaning.minhash import band_keys
from tasks.cleaning.near_pairs import near_edges
from tasks.cleaning.parting import RejectWriter
from tasks.cleaning.split import REASONS, CleanedDocuments, decide
from tasks.config.clean import FilterConfig, UnicodeConfig
from tasks.documents import DocumentWriter, read_documents
from tasks.engine.ledger import Ledger
from tasks.engine.units import StoredFile, UnitReport, UnitWork, shown_as


@shown_as("clean documents")
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
        RejectWriter(work.path(".rejects.arrow")) if keep_rejects else nullcontext() as rejects,
    ):
        for document in read_documents(documents.local()):
            before = len(document.text.encode())
            ledger.take(documents=1, bytes=before)
            judged = cleaner.judge(document.text)
            if judged.reason is not None:
                ledger.drop(judged.reason, documents=1, bytes=before)
                if rejects is not None:
                    rejects.add(document, judged.reason)
                continue
            for span, signature in judged.spans:
                size = writer.add(document.record, span)
                arrays.add(span, signature)
                ledger.keep(documents=1, bytes=size)
                before -= size
            ledger.drop("cut_into_spans", documents=1 - len(judged.spans))
            ledger.drop("rewritten", bytes=before)
    arrays.save({name: work.path(f".{name}.npy") for name in ARRAYS})
    rows = {".arrow": writer.num_documents}
    return UnitReport(ledger, rows, {"documents": writer.num_documents})


@shown_as("compare similar documents")
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


@shown_as("drop repeats, hold out")
def decide_splits(
    work: UnitWork,
    *,
    ids: Sequence[StoredFile],
    sizes: Sequence[StoredFile],
    sources: Sequence[int],
    edges: Sequence[StoredFile],
    exact: bool,
    near: bool,
    shares: Sequence[float],
    seed: int,
) -> UnitReport:
    """Decide for all documents, numbered over all files; a file of splits for each cleaned one."""
    counts = [len(open_array(file)) for file in sizes]
    no_edges = np.zeros((0, 2), dtype=np.int64)
    documents = CleanedDocuments(
        ids=joined(ids),
        sizes=joined(sizes),
        sources=np.repeat(np.array(sources, dtype=np.int64), counts),
        edges=np.unique(joined(edges), axis=0) if edges else no_edges,
    )
    splits, holding_out = decide(documents, shares, seed, exact=exact, near=near)
    ends = np.cumsum(counts)
    for number, (end, count) in enumerate(zip(ends, counts, strict=True)):
        np.save(work.path(f".{number:05}.npy"), splits[end - count : end], allow_pickle=False)
    duplicates = {
        reason: {
            "documents": int((splits == split).sum()),
            "bytes": int(documents.sizes[splits == split].sum()),
        }
        for split, reason in REASONS.items()
    }
    return UnitReport(
        summary={"duplicates": duplicates, "sources": [vars(each) for each in holding_out]}
    )
