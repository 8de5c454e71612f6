"""The whole clean stage beside what one would write with `datasets` and ftfy.

Paired, each in a process of its own in every round, on the same downloaded documents:

    datasets              map(ftfy.fix_text, NFC), filter by length, symbols and repeated lines,
                          exact duplicates by hash; as many processes
    ours, without near    the clean stage without near duplicates: the same work, and accounts
    ours                  the clean stage as it comes: near duplicates by MinHash as well
"""

import hashlib
import json
import os
import re
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from material import Material, material
from paired import Comparison, Figures, parser, passed_on, run_worker

from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.stages import get_stage

VARIANTS = {
    "datasets": "datasets + ftfy + exact hashes",
    "exact": "ours, without near duplicates",
    "near": "ours, near duplicates as well",
}
_SYMBOLS = re.compile(r"[^\w\s]")


def main() -> None:
    """Measure and print, or be one of the workers."""
    options = parser(__doc__, rounds=2).parse_args()
    found = material(options)
    if options.worker:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(options.worker, found, Path(folder), options.threads)))
        return
    arguments = passed_on(options)
    comparison = Comparison(
        f"Cleaning, {options.threads} processes",
        {"megabytes": "MB/s", "peak_mb": "peak MB"},
        (
            "MB of UTF-8 text as it came; time from the first byte read to the last one on the "
            "disk, processes started included, imports not",
            "ours also keeps the account of documents and bytes, ids, and the held-out split",
        ),
    )
    comparison.run(
        {
            label: partial(
                run_worker, __file__, "--worker", name, *arguments, threads=options.threads
            )
            for name, label in VARIANTS.items()
        },
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def measure(name: str, found: Material, folder: Path, threads: int) -> Figures:
    """One variant's speed."""
    seconds = (
        datasets_chain(found, folder, threads)
        if name == "datasets"
        else our_stage(found, folder, near=name == "near")
    )
    size = found.artifacts["clean"].ledger["bytes"].taken
    return {"megabytes": size / 1e6 / seconds}


def our_stage(found: Material, folder: Path, near: bool) -> float:
    """The stage in a store of its own."""
    stage = get_stage("clean")
    config = found.config
    if not near:
        dedup = config.clean.dedup.model_copy(update={"near": None})
        clean = config.clean.model_copy(update={"dedup": dedup})
        config = config.model_copy(update={"clean": clean})
    start = time.perf_counter()
    run_stage(stage, config, open_store(str(folder)), found.artifacts)
    return time.perf_counter() - start


def datasets_chain(found: Material, folder: Path, threads: int) -> float:
    """A plain script with the usual parts."""
    texts = folder / "texts.jsonl"
    with texts.open("w", encoding="utf-8") as file:
        for text in found.documents("download", "documents/"):
            file.write(json.dumps({"text": text}) + "\n")
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    import datasets

    datasets.disable_progress_bars()
    start = time.perf_counter()
    loaded = datasets.load_dataset("json", data_files=str(texts), split="train")
    processes = min(threads, len(loaded))
    fixed = loaded.map(repair, num_proc=processes).filter(is_good, num_proc=processes)
    seen: set[bytes] = set()
    fixed.filter(lambda row: is_new(row, seen)).save_to_disk(str(folder / "clean"))
    return time.perf_counter() - start


def repair(row: Mapping[str, str]) -> dict[str, str]:
    """Undo mojibake, one normal form, no spaces around."""
    import ftfy

    text = ftfy.fix_text(row["text"], unescape_html=False, uncurl_quotes=False)
    return {"text": unicodedata.normalize("NFC", text).strip()}


def is_good(row: Mapping[str, Any]) -> bool:
    """Long enough, not mostly symbols, not the same lines again and again."""
    text = row["text"]
    if len(text) < 20 or len(_SYMBOLS.findall(text)) > 0.5 * len(text):
        return False
    lines = Counter(line for line in text.split("\n") if line.strip())
    repeated = sum(len(line) * (count - 1) for line, count in lines.items())
    return len(lines) < 4 or repeated <= 0.7 * len(text)


def is_new(row: Mapping[str, str], seen: set[bytes]) -> bool:
    """Whether this text has not been met before."""
    digest = hashlib.blake2b(row["text"].encode(), digest_size=16).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True


if __name__ == "__main__":
    main()
