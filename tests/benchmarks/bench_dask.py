"""Whole stages on a Dask cluster of this machine, beside the local pool of as many processes.

    ours, local pool    download, clean and pack of a folder of files; processes started before
    ours, Dask          the same, by `dask worker`s that were started before

Each round has a store of its own for each, and the sources are the same. The tokenizer is learnt
once and not measured: it runs in the driver, whatever the engine.
"""

import importlib.util
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

_FILES = 30
_MEASURED = ("download", "clean", "pack")


class Corpus:
    """A folder of JSON Lines files, and what is measured on it.

    Args:
        folder: Where it and the stores lie.
        texts: The documents.
        vocab_size: Of the tokenizer.
    """

    def __init__(self, folder: Path, texts: list[str], vocab_size: int) -> None:
        self.folder, self.vocab_size = folder, vocab_size
        self._tokenizer: Artifact | None = None
        self._rounds = 0
        size = -(-len(texts) // _FILES)
        (folder / "texts").mkdir()
        for number in range(_FILES):
            part = texts[number * size : (number + 1) * size]
            lines = "".join(json.dumps({"text": text}) + "\n" for text in part)
            (folder / f"texts/{number:03}.jsonl").write_text(lines, encoding="utf-8")

    def run(self, engine: Mapping[str, Any], workforce: Workforce) -> Figures:
        """The stages in a new store: the seconds of each, and of all together."""
        self._rounds += 1
        config = Config.model_validate(
            {
                "name": "dask",
                "corpus": [{"type": "files", "paths": [str(self.folder / "texts")]}],
                "tokenizer": {"vocab_size": self.vocab_size},
                "engine": dict(engine),
            }
        )
        store = open_store(str(self.folder / f"store{self._rounds}"))
        made: dict[str, Artifact] = {}
        seconds = {}
        for stage in all_stages(config, "pack"):
            if stage.name == "tokenizer" and self._tokenizer is not None:
                made[stage.name] = self._tokenizer
                continue
            outcome = run_stage(stage, config, store, made, workforce=workforce)
            made[stage.name], seconds[stage.name] = outcome.artifact, outcome.seconds
        self._tokenizer = made["tokenizer"]
        return {
            "seconds": sum(seconds[name] for name in _MEASURED),
            **{name: seconds[name] for name in _MEASURED},
        }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=5).parse_args()
    texts = material(options).documents("download", "documents/")
    engines: dict[str, dict[str, Any]] = {"ours, local pool": {"workers": options.threads}}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        if importlib.util.find_spec("distributed") is not None:
            from dask_cluster import dask_cluster

            cluster = stack.enter_context(dask_cluster(Path(name), options.threads))
            engines["ours, Dask"] = {"kind": "dask", "address": cluster.address}
        corpus = Corpus(Path(name), texts, 1200 if options.quick else 8192)
        comparison = Comparison(
            f"{sum(len(text.encode()) for text in texts) / 1e6:.0f} MB of text in {_FILES} files, "
            f"{options.threads} workers",
            {"seconds": "s", **{stage: f"{stage} s" for stage in _MEASURED}},
            ("download, clean and pack; one round before those that count, for warm workers",),
        )
        measures = {}
        for label, engine in engines.items():
            workforce = stack.enter_context(
                Workforce(
                    Config.model_validate({"corpus": [{"type": "docs"}], "engine": engine}).engine
                )
            )
            corpus.run(engine, workforce)
            measures[label] = lambda engine=engine, workforce=workforce: corpus.run(
                engine, workforce
            )
        comparison.run(measures, 1 if options.quick else options.rounds)
    comparison.show(options)


if __name__ == "__main__":
    main()
