"""Pin what each extra adds to requirements.lock: `make lock`, where the extras are installed.

One file an extra, so that the default set-up stays as small as it is. An extra that is not
installed here keeps the file it has.
"""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
EXTRAS = ("dask", "s3", "dev-s3")


def plain(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: Path) -> dict[str, str]:
    """The versions in a lock file, by name."""
    lines = (line.partition("==") for line in lock.read_text().splitlines() if "==" in line)
    return {plain(name): version.strip() for name, _, version in lines}


def needed(requirements: list[str]) -> dict[str, str]:
    """The installed versions of some packages and of all that they need.

    Raises:
        PackageNotFoundError: one is not installed.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(text) for text in requirements]
    seen = set()
    while waiting:
        one = waiting.pop()
        if (key := (plain(one.name), frozenset(one.extras))) in seen:
            continue
        seen.add(key)
        package = metadata.distribution(one.name)
        found[plain(one.name)] = package.version
        for text in package.requires or []:
            further = Requirement(text)
            extras = one.extras or {""}
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in extras
            ):
                waiting.append(further)
    return found


def main() -> int:
    """Write the files; 1 if an extra does not go with requirements.lock."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    locked = pins(HERE / "requirements.lock")
    for extra in EXTRAS:
        try:
            found = needed(project["project"]["optional-dependencies"][extra])
        except metadata.PackageNotFoundError as missing:
            print(f"{extra}: {missing} is not installed; its lock file stays", file=sys.stderr)
            continue
        clash = [name for name in found if locked.get(name, found[name]) != found[name]]
        if clash:
            print(f"{extra}: other versions than in requirements.lock: {clash}", file=sys.stderr)
            return 1
        own = {name: version for name, version in found.items() if name not in locked}
        lines = [f"# What `make setup EXTRAS={extra}` adds. Made by `make lock`."]
        lines += [f"{name}=={own[name]}" for name in sorted(own)]
        (HERE / f"requirements-{extra}.lock").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
