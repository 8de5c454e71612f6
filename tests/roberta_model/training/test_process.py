"""The training process as a process: what it loads, and how it ends."""

import json
import os
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


def test_a_finished_training_takes_nothing_down(packed: Any, tmp_path: Path) -> None:
    """As it is run: what is registered for the end of the interpreter is not called."""
    spec = packed.spec(tmp_path, steps=1)
    (tmp_path / "spec.json").write_text(json.dumps(spec.to_json()))
    hook = "import atexit; atexit.register(lambda: print('taken down'))"
    (tmp_path / "sitecustomize.py").write_text(hook)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "roberta_model.training.process", str(tmp_path / "spec.json")]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1] == {"event": "done", "step": 1}


LEFT = """
import atexit, threading, time
from roberta_model.training.process import leave
atexit.register(lambda: print("taken down"))
threading.Thread(target=time.sleep, args=(60,)).start()
print("told")
leave(3)
"""


def test_a_training_process_leaves_at_once() -> None:
    """What it told is told; no thread is waited for, and nothing is taken down that could abort."""
    done = subprocess.run(
        [sys.executable, "-c", LEFT], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "told\n", "")
