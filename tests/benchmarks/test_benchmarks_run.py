"""Each benchmark runs, on a tiny corpus, and prints its table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted(Path(__file__).parent.glob("bench_*.py"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all of them, as `make bench` has."""
    return tmp_path_factory.mktemp("material")


@pytest.mark.slow
@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_prints_one_table_with_its_peers(script: Path, store: Path) -> None:
    """Else `make bench` ends in a traceback, and the figures of the README in nobody's hands."""
    command = [sys.executable, str(script), "--quick", "--material", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("### ")
    table = [line for line in lines if line.startswith("|")]
    assert table[0].startswith("|  | ratio |")
    assert len(table) >= 4
    assert any("ours" in line for line in table)
    assert "| 1.00 |" in table[2]


def test_make_bench_runs_every_benchmark() -> None:
    """One that is not named in the Makefile is never run again."""
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    names = sorted(path.stem.removeprefix("bench_") for path in BENCHMARKS)
    (line,) = (line for line in makefile.splitlines() if "for bench in" in line)
    named = line.split(" in ")[1].split(";")[0].split()
    assert sorted(named) == names


def test_the_ratio_is_to_the_peer_of_the_same_round() -> None:
    """Noise that hits neighbours alike must not show; a named peer is the one compared with."""
    command = [sys.executable, "-c", _RATIOS]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert json.loads(done.stdout) == {"stock": 1.0, "ours": 3.0, "wide": 1.5}


_RATIOS = """
import json
from paired import Comparison
made = Comparison("title", {"speed": "speed"}, (), {"wide": "ours"})
made.results = {
    "stock": [{"speed": 10}, {"speed": 1}, {"speed": 2}],
    "ours": [{"speed": 30}, {"speed": 3}, {"speed": 8}],
    "wide": [{"speed": 45}, {"speed": 3}, {"speed": 12}],
}
print(json.dumps({name: made.ratio(name) for name in made.results}))
"""
