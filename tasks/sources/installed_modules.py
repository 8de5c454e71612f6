"""The Python modules at hand, each known by its content: packages' and Python's own.

A package's RECORD lists its files with their digests, so nothing has to be read to know what
is there; only the standard library is hashed. Folders of tests are left out.
"""

import base64
import csv
import difflib
import hashlib
import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tasks.config.corpus import DocstringsSource
from tasks.errors import UserError

OWN_DISTRIBUTION = "roberta-pipeline"
_LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "__pycache__", "..", ""}


@dataclass(frozen=True)
class ModuleFile:
    """One source file of an installed distribution (`python` for the standard library).

    `name` is its path inside the distribution; where it is installed is no identity.
    """

    distribution: str
    name: str
    sha256: str
    bytes: int
    path: str

    def identity(self) -> list[str]:
        """What it is called and what is in it."""
        return [self.distribution, self.name, self.sha256]

    @property
    def rank(self) -> str:
        """A fixed place among all modules, by name alone and as good as random."""
        return hashlib.sha256(f"{self.distribution}/{self.name}".encode()).hexdigest()


def installed_modules(source: DocstringsSource) -> list[ModuleFile]:
    """Every module a source may read, in order of rank.

    Raises:
        UserError: a distribution that the source names is not installed.
    """
    found = list(_standard_library()) if source.standard_library else []
    distributions = _distributions()
    for name in _chosen(source, list(distributions)):
        found += _modules_of(name, distributions[name])
    return sorted(found, key=lambda module: (module.rank, module.name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions() -> dict[str, metadata.Distribution]:
    """Installed distributions by normalised name; of several, the one that is imported."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and _normal(name) != OWN_DISTRIBUTION:
            found.setdefault(_normal(name), distribution)
    return found


def _chosen(source: DocstringsSource, installed: list[str]) -> list[str]:
    if source.packages is None:
        return installed
    chosen = [_normal(name) for name in source.packages]
    for name in chosen:
        if name not in installed:
            close = difflib.get_close_matches(name, installed, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UserError(
                f"corpus: the package {name!r} of a `docstrings` source is not installed.{hint} "
                "Install it, or correct the source's `packages`."
            )
    return chosen


def _modules_of(name: str, distribution: metadata.Distribution) -> Iterator[ModuleFile]:
    root = distribution.locate_file("")
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        file, digest, size = (row + ["", ""])[:3]
        kind, _, encoded = digest.partition("=")
        if not _is_module(file) or kind != "sha256":
            continue
        sha256 = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
        yield ModuleFile(name, file, sha256, int(size or 0), f"{root}/{file}")


def _is_module(file: str) -> bool:
    return file.endswith(".py") and _LEFT_OUT.isdisjoint(file.split("/"))


def _standard_library() -> Iterator[ModuleFile]:
    root = Path(sysconfig.get_path("stdlib"))
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix == ".py":
                content = path.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                name = path.relative_to(root).as_posix()
                yield ModuleFile("python", name, digest, len(content), str(path))
