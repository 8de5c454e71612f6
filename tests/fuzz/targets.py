"""What is fuzzed: small valid files, what may be done to them, and who reads them.

A reader works, or raises an error that says what is wrong in our own words. Any other exception
is a finding, and so is a process that ends or does not come back.
"""

import gzip
import io
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import pyarrow as pa
import yaml
import zstandard
from file_reading import read
from mutations import Files, mutated, mutated_json, wrapped
from pyarrow import parquet

from tasks.errors import RobertaError

_TEXT = ['One line, and "more".', "Größe мир 世界", "", "third\nof two lines"]


@dataclass(frozen=True)
class Target:
    """Files by name, how they are damaged, who reads them, and what that may raise."""

    files: Callable[[], Files]
    damage: Callable[[Files, Random], Files]
    use: Callable[[Path], object]
    allowed: tuple[type[BaseException], ...] = (RobertaError,)


def _damaged(files: Files, random: Random) -> Files:
    """One of the files with other bytes; of JSON half the times with other values."""
    name = random.choice(sorted(files))
    content = files[name]
    if name.endswith(".json") and random.randrange(3):
        return {**files, name: mutated_json(content, random)}
    if name.endswith(".safetensors") and random.randrange(2):
        (size,) = struct.unpack("<Q", content[:8])
        header = mutated_json(content[8 : 8 + size], random)
        return {**files, name: struct.pack("<Q", len(header)) + header + content[8 + size :]}
    return {**files, name: mutated(content, random)}


def _arrow(make: Callable[[io.BytesIO, pa.Schema], object], column: pa.Array) -> bytes:
    out = io.BytesIO()
    batch = pa.record_batch([column, pa.array(range(len(column)))], names=["text", "n"])
    with make(out, batch.schema) as writer:  # type: ignore[attr-defined]
        writer.write_batch(batch)
    return out.getvalue()


def _parquet() -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table({"text": _TEXT, "n": [1, 2, 3, 4]}), out)
    return out.getvalue()


def _plain() -> Files:
    lines = [{"text": text, "n": n} for n, text in enumerate(_TEXT)]
    rows = "".join(f'{n},"{text}"\n' for n, text in enumerate(("a, b", "c d", "e\nf")))
    return {
        "a.txt": "\n\n".join(_TEXT).encode(),
        "a.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode(),
        "a.json": json.dumps(lines, ensure_ascii=False).encode(),
        "a.csv": f"n,text\n{rows}".encode(),
        "a.tsv": f"n,text\n{rows}".replace(",", "\t").encode(),
        "a.parquet": _parquet(),
        "a.arrow": _arrow(pa.ipc.new_file, pa.array(_TEXT)),
        "b.arrow": _arrow(pa.ipc.new_file, pa.array(_TEXT).dictionary_encode()),
        "c.arrow": _arrow(pa.ipc.new_file, pa.array(_TEXT, pa.string_view())),
        "stream.arrow": _arrow(pa.ipc.new_stream, pa.array(_TEXT, pa.large_string())),
    }


def _one(files: Files, random: Random) -> Files:
    name = random.choice(sorted(files))
    return _damaged({name: files[name]}, random)


def _look(folder: Path) -> None:
    """As `roberta init` does, and as what reads a file for a model."""
    from tasks.inference.texts import open_texts
    from tasks.starting.make_config import Request

    with suppress(RobertaError):
        Request([folder], "n", Path("n.yaml"), None, lambda path, fields: None).look()
    for path in sorted(folder.iterdir()):
        with suppress(RobertaError):
            for _ in open_texts(path, encoding="auto").windows(100):
                pass


def _read_sources(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        for number, options in enumerate(({}, {"encoding": "auto", "errors": "replace"})):
            read(path, folder.parent / f"out-{number}-{path.name}", **options)


@cache
def _model() -> Files:
    from tempfile import TemporaryDirectory

    from small_models import our_model, small_config

    from roberta_model.huggingface import save_model
    from tasks.tokenizing.bpe import build_tokenizer, save_tokenizer

    words = ("<s>", "<pad>", "</s>", "<unk>", "A", "Ġ", ".", "a", "Ġa", "<mask>")
    with TemporaryDirectory() as folder:
        place = Path(folder)
        sizes = {"num_layers": 1, "width": 8, "num_heads": 2, "feedforward_width": 8}
        save_model(our_model(small_config(vocab_size=len(words), **sizes)), place)
        vocabulary = {word: number for number, word in enumerate(words)}
        save_tokenizer(build_tokenizer(vocabulary, [("Ġ", "a")]), place)
        return {path.name: path.read_bytes() for path in place.iterdir()}


def _damaged_model(files: Files, random: Random) -> Files:
    """With the tokenizer in one file or in two, and the weights in one or by an index."""
    files = dict(files)
    if random.randrange(3) == 0:
        del files["tokenizer.json"]
    if random.randrange(3) == 0:
        weights = files.pop("model.safetensors")
        places = {"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}
        files |= {
            "a.safetensors": weights,
            "model.safetensors.index.json": json.dumps(places).encode(),
        }
    return _damaged(files, random)


def _fill(folder: Path) -> None:
    from tasks.inference.fill_mask import fill_mask

    fill_mask(folder, "A <mask> a.")


@cache
def _rows() -> Files:
    from tempfile import TemporaryDirectory

    from small_models import write_random_rows

    from tasks.documents import DocumentWriter

    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_random_rows(place / "rows.arrow", 5, 16, 100)
        with DocumentWriter(place / "documents.arrow") as writer:
            for number, text in enumerate(_TEXT):
                writer.add(number, text)
        return {path.name: path.read_bytes() for path in place.iterdir()}


def _read_rows(folder: Path) -> None:
    from roberta_model.data.rows import PackedRows
    from tasks.documents import count_documents, read_documents

    for path in folder.iterdir():
        if path.name == "documents.arrow":
            list(read_documents(path))
            count_documents(path)
        else:
            rows = PackedRows([path])
            for row in range(rows.num_rows):
                rows.tokens([row]), rows.lengths([row]), rows.document_spans(row)


def _records() -> Files:
    from tasks.engine.lease import Lease
    from tasks.engine.sealing import seal
    from tasks.engine.stores import open_store
    from tasks.publishing.latest import FORMAT

    lease = Lease(open_store("memory://lease"), "x")
    manifest = {"stage": "pack", "key": "k", "units": [], "outputs": [], "ledger": {}, "n": 1.5}
    pointer = {"format": FORMAT, "folder": "7-publish/k"}
    run = {"run": "r", "name": "n", "started": "2026", "state": "done", "stages": []}
    return {
        "4-pack/k/manifest.json": seal(manifest),
        "4-pack/k/units/0f--a.json": seal({"label": "a"}, dense=True),
        "4-pack/k/.lease/00000001.json": lease._content(),
        "latest.json": json.dumps(pointer).encode(),
        "runs/r.json": seal(run),
    }


def _read_records(folder: Path) -> None:
    from tasks.engine.lease import Lease
    from tasks.engine.records import read_manifest
    from tasks.engine.stores import open_store
    from tasks.engine.unit_records import read_recorded
    from tasks.inspection.status import read_status
    from tasks.publishing.latest import published_folders

    store = open_store(str(folder))
    read_manifest(store, "4-pack/k")
    read_recorded(store, "4-pack/k")
    list(published_folders(store))
    lease = Lease(store, "4-pack/k", 0.1)
    lease.current()
    lease.try_acquire()
    read_status(store)


def _configs() -> Files:
    from tasks.config.load import PRESETS

    everything = {
        "name": "all",
        "corpus": [
            {"type": "files", "paths": ["a/*.txt"], "separator": {"regex": "^=+$"}},
            {
                "type": "http",
                "urls": [{"url": "https://h/a?b=c", "bytes": 5}],
                "encoding": {"*": "auto"},
            },
            {"type": "hub", "dataset": "owner/name", "max_documents": 3},
        ],
        "operations": {"timezone": "Europe/Berlin", "refresh": {"cron": "30 2 * * *"}},
    }
    files = {path.name: path.read_bytes() for path in PRESETS.glob("*.yaml")}
    return {**files, "all.yaml": yaml.safe_dump(everything).encode()}


def _damaged_config(files: Files, random: Random) -> Files:
    name = random.choice(sorted(files))
    if random.randrange(2):
        return {name: mutated(files[name], random)}
    return {name: mutated_json(json.dumps(yaml.safe_load(files[name])).encode(), random)}


def _load(folder: Path) -> None:
    from tasks.config.load import load_config

    for path in folder.iterdir():
        load_config(str(path), ["pretrain.steps=3"])


def _pairs() -> Files:
    pair = {"sentence_good": "a b", "sentence_bad": "b a"}
    lines = "".join(json.dumps(pair) + "\n" for _ in range(3)).encode()
    return {
        "a.jsonl": lines,
        "b.jsonl.gz": gzip.compress(lines),
        "c.jsonl.zst": zstandard.compress(lines),
    }


def _read_pairs(folder: Path) -> None:
    from tasks.config.evaluate import MinimalPairsConfig
    from tasks.evaluation.pair_files import FORMATS, read_pairs
    from tasks.evaluation.text_files import find_files

    read = MinimalPairsConfig(task="minimal_pairs", name="pairs", data=str(folder))
    for name, path in find_files(folder, "auto", "data", FORMATS).items():
        read_pairs(path, read, name)


def _taken_over(folder: Path) -> None:
    from tasks.engine.outside import outside_file
    from tasks.engine.units import UnitWork
    from tasks.stages.train_tokenizer import tabulate, take_over

    source = outside_file(folder / "tokenizer.json")
    work = UnitWork("tokenizer", folder.parent / "taken")
    take_over(work, source=source)
    made = outside_file(work.folder / "tokenizer/tokenizer.json")
    tabulate(UnitWork("tables", folder.parent / "tables"), tokenizer=made)


TARGETS: dict[str, Target] = {
    "formats": Target(_plain, _one, _read_sources),
    "packed": Target(_plain, wrapped, _read_sources),
    "looks": Target(_plain, wrapped, _look),
    "model": Target(_model, _damaged_model, _fill),
    "tokenizer": Target(
        lambda: {"tokenizer.json": _model()["tokenizer.json"]}, _damaged, _taken_over
    ),
    "rows": Target(_rows, _one, _read_rows, (RobertaError, ValueError)),
    "records": Target(_records, _damaged, _read_records),
    "config": Target(_configs, _damaged_config, _load),
    "blimp": Target(_pairs, _one, _read_pairs),
}
