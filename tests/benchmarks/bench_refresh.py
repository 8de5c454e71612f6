"""A refresh: one line or one file of a hundred is added or goes, with a tokenizer that stays.

    from nothing     the stages up to pack on a hundred files
    a line more      one of them has one more document
    a file more      a hundred and one
    a file less      one of them is gone

Each goes on from the one before it. Units are counted from the records: those that were computed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from material import material
from paired import Comparison, Figures, parser

from tasks.config import Config
from tasks.engine.records import Artifact
from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.engine.workforce import Workforce
from tasks.stages import all_stages

_FILES = 100
_SHARD_ROWS = 2000


class Corpus:
    """A folder of JSON Lines files, and the stages up to pack on it."""

    def __init__(self, folder: Path, texts: list[str], options: argparse.Namespace) -> None:
        self.texts = folder / "texts"
        self.texts.mkdir()
        size = -(-len(texts) // (_FILES + 1))
        self.parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        for number, part in enumerate(self.parts[:-1]):
            self.write(number, part)
        self.config = Config.model_validate(
            {
                "name": "refresh",
                "store": str(folder / "store"),
                "corpus": [{"type": "files", "paths": [str(self.texts)], "held_out": 0.01}],
                "tokenizer": {"vocab_size": 1200 if options.quick else 8192, "refresh": "never"},
                "pack": {"shard_rows": 50 if options.quick else _SHARD_ROWS},
                "engine": {"workers": options.threads},
            }
        )
        self._known: dict[str, Mapping[str, Any]] = {}

    def write(self, number: int, texts: list[str]) -> None:
        """One file of the folder."""
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (self.texts / f"{number:03}.jsonl").write_text(lines, encoding="utf-8")

    def refresh(self) -> Figures:
        """Run the stages; the seconds, and the units that were computed."""
        store = open_store(self.config.store)
        made: dict[str, Artifact] = {}
        began = time.monotonic()
        with Workforce(self.config.engine) as workforce:
            for stage in all_stages(self.config, "pack"):
                outcome = run_stage(stage, self.config, store, made, workforce=workforce)
                made[stage.name] = outcome.artifact
        seconds = time.monotonic() - began
        units = [unit for artifact in made.values() for unit in artifact.units]
        anew = [unit for unit in units if self._known.get(unit.key) != unit.provenance]
        self._known = {unit.key: unit.provenance for unit in units}
        shards = [unit for unit in made["pack"].units if unit.label.startswith("train/")]
        return {
            "seconds": seconds,
            "units": len(anew),
            "of": len(units),
            "shards": sum(unit in anew for unit in shards),
            "of_shards": len(shards),
        }

    def one_line_more(self) -> Figures:
        """A document at the end of a file in the middle."""
        self.write(_FILES // 2, [*self.parts[_FILES // 2], "A line that nobody has read before."])
        return self.refresh()

    def one_file_more(self) -> Figures:
        """As long as the others."""
        self.write(_FILES, self.parts[-1])
        return self.refresh()

    def one_file_less(self) -> Figures:
        """Another one."""
        (self.texts / f"{_FILES // 5:03}.jsonl").unlink()
        return self.refresh()


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=1).parse_args()
    texts = material(options).documents("clean", "train/")
    comparison = Comparison(
        f"{sum(len(text.encode()) for text in texts) / 1e6:.0f} MB of text in {_FILES} files",
        {
            "seconds": "s",
            "units": "units computed",
            "of": "of",
            "shards": "shards written",
            "of_shards": "of",
        },
        ("download, clean, tokenizer and pack; what is not computed is found in the store",),
    )
    for _ in range(1 if options.quick else options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            corpus = Corpus(Path(folder), texts, options)
            comparison.run(
                {
                    "ours, from nothing": corpus.refresh,
                    "ours, a line more": corpus.one_line_more,
                    "ours, a file more": corpus.one_file_more,
                    "ours, a file less": corpus.one_file_less,
                },
                1,
            )
    comparison.show(options)


if __name__ == "__main__":
    main()
