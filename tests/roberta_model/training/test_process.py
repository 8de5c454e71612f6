"""The training process as a process: what it loads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from roberta_model.recipe import OptimizerRecipe

ROOT = Path(__file__).resolve().parents[3]

LOADED = """
import json, sys
from roberta_model.training import process
code = process.main([sys.argv[1]])
print(json.dumps([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules]))
sys.exit(code)
"""


def test_a_training_process_does_not_load_torchs_compiler(packed: Any, tmp_path: Path) -> None:
    """It would take as long as loading torch, and nothing here is compiled."""
    spec = packed.spec(tmp_path, steps=2, optimizer=OptimizerRecipe("muon", 1e-3))
    (tmp_path / "spec.json").write_text(json.dumps(spec.to_json()))
    command = [sys.executable, "-c", LOADED, str(tmp_path / "spec.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *events, loaded = (json.loads(line) for line in done.stdout.splitlines())
    assert events[-1] == {"event": "done", "step": 2}
    assert loaded == []
