"""`make mutants`: plant one fault at a time in a copy of the code; the tests must catch each.

    python tests/mutants/mutants.py                 all of them
    python tests/mutants/mutants.py --only ties     those whose name or file holds the word

A fault is one line put wrong where it would do silent harm, with the tests that are there to
notice. One that no test notices is a hole in the tests. Ends with exit code 1 if one survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import broken_trust
import let_pass
import wrong_lessons
import wrong_results
from planting import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("flows", "tasks", "roberta_model", "tests", "deployments", "docs")
FILES = ("pyproject.toml", "README.md", "Makefile")
_SECONDS = 600


MUTANTS = (
    *wrong_results.MUTANTS,
    *wrong_lessons.MUTANTS,
    *broken_trust.MUTANTS,
    *let_pass.MUTANTS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--only", default="", metavar="WORD", help="Those whose name or file holds it."
    )
    wanted = parser.parse_args(arguments).only
    survived = []
    chosen = [mutant for mutant in MUTANTS if wanted in f"{mutant.name} {mutant.file}"]
    if not chosen:
        parser.error(f"no planted fault has {wanted!r} in its name or file")
    sound: set[tuple[str, ...]] = set()
    with tempfile.TemporaryDirectory(prefix="roberta-mutants-") as folder:
        for mutant in chosen:
            root = _copied(Path(folder) / "code")
            if (selection := (*mutant.tests, mutant.words)) not in sound:
                if not _passes(mutant, root):
                    raise SystemExit(f"{selection}: these tests fail without any fault planted")
                sound.add(selection)
            plant(mutant, root)
            caught = not _passes(mutant, root)
            print(f"{'caught  ' if caught else 'SURVIVED'}  {mutant.name}", flush=True)
            survived += [] if caught else [mutant.name]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} planted faults were caught")
    return 1 if survived else 0


def plant(mutant: Mutant, root: Path) -> None:
    """Put the fault into a copy of the code.

    Raises:
        ValueError: the text that it would change is not there, or more than once.
    """
    path = root / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        raise ValueError(
            f"{mutant.name}: {mutant.right!r} stands {text.count(mutant.right)} times in "
            f"{mutant.file}"
        )
    path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")


def _copied(root: Path) -> Path:
    """A fresh copy of the code, the real corpora beside it."""
    shutil.rmtree(root, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copyfile(ROOT / name, root / name)
    if (ROOT.parent / "shared").is_dir() and not (root.parent / "shared").exists():
        (root.parent / "shared").symlink_to(ROOT.parent / "shared")
    return root


def _passes(mutant: Mutant, root: Path) -> bool:
    """Whether the tests that are there to notice find nothing; one that hangs has noticed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests]
    words = ["-k", mutant.words] if mutant.words else []
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *words], cwd=root, env=environment, capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):  # 5: no test was there
        raise RuntimeError(f"{mutant.name}: pytest ended with {done.returncode}: {done.stdout!r}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
