"""How much text a corpus holds, from a small sample: what `plan` bases its estimates on.

A few files of a source are read until they have given a few megabytes; what was read of them,
in stored bytes, says how the rest will inflate. Nothing is fetched: of remote sources only
what the config says of their size is known.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tasks.config.corpus import DocstringsSource, FilesSource, HttpSource, HubSource
from tasks.formats.members import MemberReader
from tasks.sources.docstrings import plan_groups
from tasks.sources.installed_modules import installed_modules
from tasks.sources.local_files import describe_local
from tasks.sources.source_files import SourceFile

_MOST_FILES = 4
_SAMPLE_BYTES = 2 << 20
# Where no text is looked at: bytes of text for each stored byte, and for each document.
_INFLATION = 2.5
_DOCUMENT_BYTES = 2000

Size = dict[str, int]  # documents, bytes


def probe_corpus(
    corpus: Sequence[FilesSource | HttpSource | HubSource | DocstringsSource],
) -> Size:
    """Estimated documents and UTF-8 bytes of text of all sources together.

    Remote sources of unknown size count as nothing.

    Raises:
        UserError: a local file is missing or cannot be read as configured.
    """
    total = {"documents": 0, "bytes": 0}
    for index, source in enumerate(corpus):
        for measure, amount in _probe(source, f"corpus.{index}").items():
            total[measure] += amount
    return total


def _probe(source: FilesSource | HttpSource | HubSource | DocstringsSource, where: str) -> Size:
    if isinstance(source, FilesSource):
        return _scale(describe_local(source, where))
    if isinstance(source, DocstringsSource):
        groups, _ = plan_groups(installed_modules(source), source.max_bytes)
        modules = [module for group in groups for module in group]
        code_bytes = sum(module.bytes for module in modules)
        text = min(source.max_bytes, code_bytes // (8 if source.prose else 6))
        return {"documents": len(modules), "bytes": text}
    if isinstance(source, HttpSource):
        return _guess(sum(file.bytes or 0 for file in source.urls))
    folder = Path(source.dataset).expanduser()
    if source.max_bytes is None and folder.is_dir():
        return _guess(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    return _guess(int((source.max_bytes or 0) / _INFLATION))


def _guess(stored_bytes: int) -> Size:
    text = int(stored_bytes * _INFLATION)
    return {"documents": -(-text // _DOCUMENT_BYTES), "bytes": text}


def _scale(files: Sequence[SourceFile]) -> Size:
    """A sample of some files, multiplied up to all of them."""
    stride = max(1, len(files) // _MOST_FILES)
    sampled = [_sample(file) for file in files[::stride][:_MOST_FILES]]
    stored = sum(part for part, _, _ in sampled)
    factor = sum(file.file.bytes for file in files) / max(1.0, stored)
    return {
        "documents": round(sum(count for _, count, _ in sampled) * factor),
        "bytes": round(sum(size for _, _, size in sampled) * factor),
    }


def _sample(file: SourceFile) -> tuple[float, int, int]:
    """Of one file: the stored bytes read, and the documents and bytes of text they gave."""
    documents = size = 0
    with tempfile.TemporaryDirectory() as scratch:
        reader = MemberReader(file, Path(scratch), Counter())
        for _, _, records in reader.members():
            for text in records:
                documents += 1
                size += len((text or "").encode("utf-8", "replace"))
                if size >= _SAMPLE_BYTES:
                    return max(1.0, reader.read_share * file.file.bytes), documents, size
    return float(file.file.bytes), documents, size
