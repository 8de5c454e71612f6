"""`python undisturbed.py CONFIG UNTIL`: a run without Prefect; prints the seconds of each stage."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from tiny_pipeline import run_all

from tasks.config.load import load_config

if __name__ == "__main__":
    made = run_all(load_config(sys.argv[1]), sys.argv[2])
    print(json.dumps({name: outcome.seconds for name, outcome in made.items()}))
