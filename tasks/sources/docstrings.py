"""Docstrings of installed modules as documents: real technical prose without any network.

One module gives one document: its docstrings in source order, as prose, parted by blank lines.
Modules are parsed and never imported. Which modules are read follows from their names' hashes,
so any cap takes a fair sample of all packages, and a higher one only adds to it.
"""

import ast
import gc
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tasks.config.corpus import DocstringsSource
from tasks.engine.identity import digest_of
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.sources.docstring_prose import prose
from tasks.sources.installed_modules import ModuleFile, installed_modules
from tasks.sources.parts import DocumentParts
from tasks.sources.sink import DocumentSink
from tasks.sources.sizes import Size
from tasks.sources.source import RunUnits, SourceResult, TextSource

GROUP_TEXT_BYTES = 512 << 10
# Prose is about an eighth of the code; a quarter more code than that fills every group.
GROUP_SOURCE_BYTES = 5 << 20


class InstalledDocstrings(TextSource[DocstringsSource]):
    """Docstrings of what is installed, known by the modules' contents."""

    def externals(self) -> dict[str, StoredFile]:
        """All modules that will be read, as one file."""
        modules = [module for group in self._plan()[0] for module in group]
        return {f"{self.prefix} modules": StoredFile("", digest_of(modules), 0)}

    def read(self, run_units: RunUnits) -> SourceResult:
        """One unit for each group of modules."""
        groups, max_bytes = self._plan()
        same = {
            "as_prose": self.config.prose,
            "min_characters": self.config.min_characters,
            "max_bytes": max_bytes,
        }
        units = [
            Unit(self.documents_label(number), same | {"modules": group})
            for number, group in enumerate(groups)
        ]
        return SourceResult(run_units(read_docstrings, units))

    def estimate(self) -> Size:
        """By the size of the code: prose is about an eighth of it."""
        modules = [module for group in self._plan()[0] for module in group]
        code_bytes = sum(module.bytes for module in modules)
        text = min(self.config.max_bytes, code_bytes // (8 if self.config.prose else 6))
        return {"documents": len(modules), "bytes": text}

    def _plan(self) -> tuple[list[list[ModuleFile]], int]:
        return plan_groups(installed_modules(self.config), self.config.max_bytes)


def plan_groups(
    modules: Sequence[ModuleFile], max_bytes: int
) -> tuple[list[list[ModuleFile]], int]:
    """Consecutive groups of modules, and the bytes of text that each may give at most."""
    wanted = -(-max_bytes // GROUP_TEXT_BYTES)
    groups: list[list[ModuleFile]] = []
    waiting = 0
    for module in modules:
        if not groups or waiting >= GROUP_SOURCE_BYTES:
            if len(groups) == wanted:
                break
            groups.append([])
            waiting = 0
        groups[-1].append(module)
        waiting += module.bytes
    return groups, max_bytes // max(1, len(groups))


def read_docstrings(
    work: UnitWork,
    *,
    modules: Sequence[ModuleFile],
    as_prose: bool,
    min_characters: int,
    max_bytes: int,
) -> UnitReport:
    """Write the docstrings of modules, up to `max_bytes` of text, into `<label>.arrow`.

    `min_characters` and `max_bytes` count what is written, which is prose if `as_prose`.
    Each module is one record. Dropped are those that do not parse, that were changed since
    their installation, and all after the first that goes beyond `max_bytes`.
    """
    names: list[list[Any]] = []
    with _quick_parsing(), DocumentParts(work) as writer:
        sink = DocumentSink(writer, "replace")
        for position, module in enumerate(modules):
            text = _document(module, as_prose, min_characters, sink)
            if text is None:
                continue
            if writer.num_bytes + len(text.encode("utf-8", "replace")) > max_bytes:
                _drop(sink, "beyond max_bytes", len(modules) - position)
                break
            if text:
                names.append([sink.num_records, f"{module.distribution}: {module.name}"])
            sink.add(text, module.name)
    return sink.report(parts=[names])


def _document(
    module: ModuleFile, as_prose: bool, min_characters: int, sink: DocumentSink
) -> str | None:
    """A module's document; None, counted as dropped, if it cannot be had."""
    try:
        with open(module.path, "rb") as file:
            code = file.read()
    except OSError:
        code = b""
    if hashlib.sha256(code).hexdigest() != module.sha256:
        _drop(sink, "changed since installation")
        return None
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _drop(sink, "unparsable")
        return None
    found = map(prose, docstrings(tree)) if as_prose else docstrings(tree)
    return "\n\n".join(dict.fromkeys(text for text in found if len(text) >= min_characters))


def _drop(sink: DocumentSink, reason: str, documents: int = 1) -> None:
    """Count modules whose text is not known."""
    sink.num_records += documents
    sink.ledger.take(documents=documents)
    sink.ledger.drop(reason, documents=documents)


def docstrings(node: ast.AST) -> Iterator[str]:
    """The docstrings of a tree's module, classes and functions in source order, dedented."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield text
    for block in ("body", "handlers", "orelse", "finalbody"):
        for child in getattr(node, block, None) or ():
            if isinstance(child, ast.stmt | ast.excepthandler) and hasattr(child, "body"):
                yield from docstrings(child)


@contextmanager
def _quick_parsing() -> Iterator[None]:
    """No warnings about other people's code, and no garbage collection: trees hold no cycles.

    Collecting while trees grow costs half of the time of parsing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if was_enabled:
            gc.enable()
