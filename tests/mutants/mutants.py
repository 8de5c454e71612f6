"""`make mutants`: plant one fault at a time in a copy of the code; the tests must catch each.

    python tests/mutants/mutants.py                 all of them
    python tests/mutants/mutants.py --only ties     those whose name holds the word

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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("flows", "tasks", "roberta_model", "tests", "deployments", "docs")
FILES = ("pyproject.toml", "README.md", "Makefile")
_SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """One planted fault.

    Attributes:
        name: What goes wrong.
        file: Where.
        right: The text as it is; it must stand there once.
        wrong: What stands in its place.
        tests: Files or tests that are there to notice.
        words: A pytest expression that picks among them.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    words: str = ""


MUTANTS = (
    Mutant(
        "the report escapes nothing",
        "tasks/publishing/render.py",
        'autoescape=name.endswith(".html.j2")',
        "autoescape=False",
        ("tests/tasks/publishing/test_report.py",),
    ),
    Mutant(
        "any difference from stock is published",
        "tasks/publishing/stock_check.py",
        "TOLERANCE = 1e-4",
        "TOLERANCE = 1e9",
        ("tests/tasks/publishing/test_stock_check.py",),
    ),
    Mutant(
        "shards in the reverse order",
        "tasks/artifacts.py",
        '"""The shards of a split, in the order of their rows."""\n        return self',
        '"""The shards."""\n        return self.artifact.files(f"{split}/")[::-1] or self',
        ("tests/test_pins.py",),
    ),
    Mutant(
        "outputs in the reverse order",
        "tasks/engine/records.py",
        'return sorted(entries, key=lambda entry: str(entry["path"]))',
        'return sorted(entries, key=lambda entry: str(entry["path"]), reverse=True)',
        ("tests/tasks/engine/test_engine.py", "tests/tasks/engine/test_checked.py"),
    ),
    Mutant(
        "another source's held-out share",
        "tasks/cleaning/split.py",
        "asked = np.array(shares, dtype=np.float64)[documents.sources]",
        "asked = np.array(shares, dtype=np.float64)[documents.sources[::-1]]",
        ("tests/tasks/cleaning/test_split.py",),
    ),
    Mutant(
        "the least likely tokens fill a mask",
        "roberta_model/inference/masks.py",
        "probabilities_NV.topk(min(top, probabilities_NV.shape[1]))",
        "probabilities_NV.topk(min(top, probabilities_NV.shape[1]), largest=False)",
        ("tests/tasks/inference/test_inference.py",),
    ),
    Mutant(
        "a run's own server listens everywhere",
        "flows/server_process.py",
        'def main(host: str = "127.0.0.1"',
        'def main(host: str = "0.0.0.0"',
        ("tests/flows/test_surroundings.py",),
        "own_server",
    ),
    Mutant(
        "a run's own server asks for no password",
        "flows/embedded_server.py",
        '        "PREFECT_SERVER_API_AUTH_STRING": password,\n',
        "",
        ("tests/flows/test_surroundings.py",),
        "own_server",
    ),
    Mutant(
        "fetched copies are served unread",
        "tasks/engine/copies.py",
        "if path.stat().st_size != size or file_digest(path) != sha256:",
        "if path.stat().st_size != size:",
        ("tests/tasks/engine/test_checked.py", "tests/tasks/engine/test_files.py"),
        "cop",
    ),
    Mutant(
        "no look at the lease before a record",
        "tasks/engine/attempt.py",
        '        """Write a sealed record."""\n        self.check()\n',
        '        """Write a sealed record."""\n',
        ("tests/tasks/engine/test_ways_to_end.py", "tests/tasks/engine/test_group_commit.py"),
    ),
    Mutant(
        "a unit's files need not be those it declared",
        "tasks/engine/unit_files.py",
        "missing = {suffix for suffix in work.declared if not _is_there(suffix, files)}",
        "missing = set[str]()",
        ("tests/tasks/engine/test_engine.py", "tests/tasks/engine/test_checked.py"),
    ),
    Mutant(
        "a tie for the first place is right",
        "roberta_model/scoring.py",
        "(logits_NV >= own_N1).sum(dim=1) == 1",
        "(logits_NV > own_N1).sum(dim=1) == 0",
        ("tests/roberta_model/test_scoring.py",),
    ),
    Mutant(
        "a tied pair is right",
        "tasks/evaluation/blimp.py",
        "right = sum(good > bad for good, bad in scores)",
        "right = sum(good >= bad for good, bad in scores)",
        ("tests/tasks/evaluation",),
    ),
    Mutant(
        "positions begin one too early",
        "roberta_model/encoder.py",
        "return real_BT.cumsum(dim=1) * real_BT + pad_id",
        "return (real_BT.cumsum(dim=1) - 1).clamp(min=0) * real_BT + pad_id",
        ("tests/roberta_model/test_encoder.py",),
    ),
    Mutant(
        "random tokens for those that are kept",
        "roberta_model/data/masking.py",
        "(fates_M >= recipe.mask_share) & (fates_M < recipe.mask_share + recipe.random_share)",
        "fates_M >= recipe.mask_share + recipe.random_share",
        ("tests/roberta_model/data/test_masking.py",),
    ),
    Mutant(
        "the same masks in every epoch",
        "roberta_model/data/masking.py",
        "random_bits(self.seed, self.purpose, epochs_B, rows_B)",
        "random_bits(self.seed, self.purpose, 0, rows_B)",
        ("tests/roberta_model/data/test_masking.py",),
    ),
    Mutant(
        "the loss is divided by this process's tokens",
        "roberta_model/training/step_sums.py",
        "share = 1.0 / max(1.0, tokens)",
        "share = 1.0 / max(1.0, float(num_tokens))",
        ("tests/roberta_model/training/test_two_processes.py",),
    ),
    Mutant(
        "a checkpoint is one step on",
        "roberta_model/training/loop.py",
        'self.step = int(record["step"])',
        'self.step = int(record["step"]) + 1',
        ("tests/roberta_model/training/test_checkpoint.py",),
    ),
    Mutant(
        "the last row of a span is left out",
        "roberta_model/training/objective.py",
        "(step, at, min(at + self.micro_rows, stop))",
        "(step, at, min(at + self.micro_rows, stop - 1))",
        ("tests/roberta_model/training/test_training.py",),
    ),
    Mutant(
        "dropped duplicates are kept, the kept dropped",
        "tasks/cleaning/split.py",
        "dropped = ~sides.kept()",
        "dropped = sides.kept()",
        ("tests/tasks/cleaning/test_split.py",),
    ),
    Mutant(
        "prune takes what is referred to",
        "tasks/inspection/prune.py",
        "        if not remove:\n",
        "        if remove:\n",
        ("tests/tasks/inspection/test_prune.py",),
    ),
    Mutant(
        "a fallen score is published",
        "tasks/evaluation/comparison.py",
        "return Comparison(shares_right(before.summary), shares_right(after.summary), margin)",
        "return Comparison(shares_right(after.summary), shares_right(before.summary), margin)",
        ("tests/tasks/evaluation", "tests/flows/test_refresh_rules.py"),
    ),
    Mutant(
        "a ledger that does not add up passes",
        "tasks/engine/ledger.py",
        "            if balance.missing():\n",
        "            if balance.missing() > 0:\n",
        ("tests/tasks/engine/test_engine.py", "tests/tasks/engine/test_checked.py"),
        "ledger",
    ),
    Mutant(
        "paths of a config are the working folder's",
        "tasks/config/load.py",
        "folder = Path() if is_preset else path.parent",
        "folder = Path()",
        ("tests/tasks/config/test_config.py",),
    ),
    Mutant(
        "whatever fails is tried again",
        "tasks/prefect_task.py",
        "return isinstance(state.result(raise_on_failure=False), TransientError)",
        "return True",
        ("tests/tasks/test_prefect_task.py",),
    ),
    Mutant(
        "names steer the terminal",
        "flows/terminal.py",
        "    return _UNSAFE.sub(_escape, text)",
        "    return text",
        ("tests/flows/test_terminal.py",),
    ),
    Mutant(
        "secrets follow a redirect to plain http",
        "tasks/sources/http_answers.py",
        'if access.has_secrets and first.scheme == "https" and place.scheme == "http":',
        'if access.has_secrets and first.scheme == "http" and place.scheme == "https":',
        ("tests/tasks/sources/test_http_unfriendly.py",),
    ),
    Mutant(
        "the order of rows is the same in every epoch",
        "roberta_model/data/ordering.py",
        'random_bits(seed, "row order", epochs, round_number, fixed)',
        'random_bits(seed, "row order", 0 * epochs, round_number, fixed)',
        ("tests/roberta_model/data/test_ordering.py",),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", metavar="WORD", help="Those whose name holds it.")
    wanted = parser.parse_args(arguments).only
    survived = []
    chosen = [mutant for mutant in MUTANTS if wanted in mutant.name]
    if not chosen:
        parser.error(f"no planted fault has {wanted!r} in its name")
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
