"""pack: clean documents become fixed-length rows of tokens in memory-mapped Arrow shards.

    train/*.arrow    ──▶ encode (a unit a file) ──▶ shards (a unit a shard) ──▶ train/00000.arrow
    held_out/*.arrow ──▶ encode                 ──▶ shards                  ──▶ held_out/...
                                                ──▶ documents.arrow: number ──▶ id, file, record
    train/*.arrow    ──▶ token_counts.npy: how often each id stands in the training rows

No token is dropped but the last, partial row of the training stream, and that is counted.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks.config import Config, PackConfig
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.errors import UserError
from tasks.packing.counts import Written, count_tokens, count_written, total_written
from tasks.packing.encoded import PARTS, Encoded, encode_documents
from tasks.packing.layout import (
    Piece,
    chunks_of,
    pack_documents,
    pack_stream,
    row_capacity,
    stream_units,
)
from tasks.packing.shards import write_document_table, write_rows
from tasks.packing.words import WordEncoder
from tasks.tokenizing.bpe import load_encoder

Context = StageContext[PackConfig]
SPLITS: tuple[Literal["train", "held_out"], ...] = ("train", "held_out")


def pack_slice(config: Config) -> PackConfig:
    """This stage has a section of its own."""
    return config.pack


def pack(context: Context) -> StageReport:
    """Encode every document once, lay the rows out, and write them shard by shard.

    Raises:
        UserError: the training text does not fill one row.
    """
    encoded = _encode(context)
    ledger = Ledger()
    summary: dict[str, Any] = {"row_tokens": context.config.row_tokens}
    number = 0
    shards: list[Unit] = []
    for split, results in encoded.items():
        units = _shard_units(context.config, split, results, number)
        if split == "train" and not units:
            raise UserError(_too_small(context.config, results))
        shards += units
        number += sum(result.summary["documents"] for result in results)
    written = context.map(write_shard, shards)
    for split, results in encoded.items():
        summary[split] = _account(context.config, split, results, written, ledger)
    train = [result.files[".arrow"] for result in written if result.label.startswith("train/")]
    vocab_size = context.input("tokenizer").summary["vocab_size"]
    counts = Unit("token_counts", {"shards": train, "vocab_size": vocab_size})
    context.map(write_token_counts, [counts])
    everything = [result for results in encoded.values() for result in results]
    unit = Unit("documents", {"files": [_parts(result) for result in everything]})
    context.map(tabulate_documents, [unit])
    return StageReport(ledger, summary)


def _encode(context: Context) -> dict[str, list[UnitResult]]:
    """Every file's tokens, by split."""
    tokenizer = context.input("tokenizer").file("tokenizer/tokenizer.json")
    units = {
        split: [
            Unit(
                f"encoded/{split}/{file.url.rsplit('/', 1)[-1].removesuffix('.arrow')}",
                {"documents": file, "tokenizer": tokenizer},
            )
            for file in context.input("clean").files(f"{split}/")
        ]
        for split in SPLITS
    }
    results = iter(context.map(encode, [*units["train"], *units["held_out"]], outputs=False))
    return {split: [next(results) for _ in units[split]] for split in SPLITS}


def encode(work: UnitWork, *, documents: StoredFile, tokenizer: StoredFile) -> UnitReport:
    """One documents file as token ids."""
    encoded = encode_documents(documents.local(), _word_encoder(tokenizer.local()))
    encoded.save({part: work.path(f".{part}.npy") for part in PARTS})
    summary = {
        "documents": encoded.num_documents,
        "tokens": int(encoded.offsets[-1]),
        "empty": int((np.diff(encoded.offsets) == 0).sum()),
    }
    rows = {f".{part}.npy": len(getattr(encoded, part)) for part in PARTS}
    return UnitReport(rows=rows, summary=summary)


@lru_cache(maxsize=1)
def _word_encoder(tokenizer: Path) -> WordEncoder:
    """A worker encodes file after file, and most words of the next one it knows."""
    return WordEncoder(load_encoder(tokenizer))


def _parts(result: UnitResult) -> dict[str, Any]:
    """An encoded file as a payload: its arrays, and the name of the file it came from."""
    return {
        "name": result.label.rsplit("/", 1)[-1],
        "arrays": {part: result.files[f".{part}.npy"] for part in PARTS},
    }


def _stream_lengths(config: PackConfig, results: Sequence[UnitResult]) -> list[int]:
    """For each file, its length in stream tokens, or in rows for doc_sentences."""
    has_specials = config.special_tokens == "bos_eos"
    if config.format == "full_sentences":
        return [
            stream_units(result.summary["tokens"], result.summary["documents"], has_specials)
            for result in results
        ]
    capacity = row_capacity(config.row_tokens, full=False, has_specials=has_specials)
    return [
        int(chunks_of(np.diff(_open(_parts(result)["arrays"]).offsets), capacity).sum())
        for result in results
    ]


def _shard_units(
    config: PackConfig, split: str, results: Sequence[UnitResult], first_document: int
) -> list[Unit]:
    """The shards of one split: which span of which encoded files each is made of."""
    lengths = _stream_lengths(config, results)
    per_row = _units_per_row(config)
    total = sum(lengths)
    if split == "train":
        total = total // per_row * per_row
    per_shard = config.shard_rows * per_row
    ends = np.cumsum(lengths)
    firsts = first_document + np.cumsum([0] + [r.summary["documents"] for r in results])
    units = []
    for number, start in enumerate(range(0, total, per_shard)):
        stop = min(start + per_shard, total)
        pieces = [
            {
                **_parts(result),
                "first_document": int(firsts[i]),
                "start": max(0, start - int(ends[i] - lengths[i])),
                "stop": min(lengths[i], stop - int(ends[i] - lengths[i])),
            }
            for i, result in enumerate(results)
            if ends[i] > start and ends[i] - lengths[i] < stop
        ]
        payload = {"pieces": pieces, "row_tokens": config.row_tokens, "format": config.format}
        payload["special_tokens"] = config.special_tokens
        units.append(Unit(f"{split}/{number:05d}", payload))
    return units


def _units_per_row(config: PackConfig) -> int:
    if config.format == "doc_sentences":
        return 1
    return row_capacity(config.row_tokens, True, config.special_tokens == "bos_eos")


def _open(arrays: Mapping[str, StoredFile]) -> Encoded:
    return Encoded.open({part: file.local() for part, file in arrays.items()})


def write_shard(
    work: UnitWork,
    *,
    pieces: Sequence[Mapping[str, Any]],
    row_tokens: int,
    format: Literal["full_sentences", "doc_sentences"],  # noqa: A002
    special_tokens: Literal["bos_eos", "none"],
) -> UnitReport:
    """Write the rows of one shard."""
    opened = [
        Piece(_open(piece["arrays"]), piece["first_document"], piece["start"], piece["stop"])
        for piece in pieces
    ]
    dtype = opened[0].encoded.tokens.dtype
    make = pack_stream if format == "full_sentences" else pack_documents
    has_specials = special_tokens == "bos_eos"
    path = work.path(".arrow")
    write_rows(path, make(opened, row_tokens, has_specials, dtype))
    written = count_written(path, has_specials=has_specials)
    return UnitReport(rows={".arrow": written.rows}, summary=written.to_json())


def write_token_counts(
    work: UnitWork, *, shards: Sequence[StoredFile], vocab_size: int
) -> UnitReport:
    """Write how often each token id stands in the training rows, int64 [vocab_size]."""
    np.save(work.path(".npy"), count_tokens([file.local() for file in shards], vocab_size))
    return UnitReport(rows={".npy": vocab_size})


def tabulate_documents(work: UnitWork, *, files: Sequence[Mapping[str, Any]]) -> UnitReport:
    """Write which document each number in a row stands for."""
    ids, names, records = [], [], []
    for file in files:
        encoded = _open(file["arrays"])
        ids += [row.tobytes().hex() for row in np.asarray(encoded.ids)]
        names += [file["name"]] * encoded.num_documents
        records.append(np.asarray(encoded.records))
    write_document_table(work.path(".arrow"), ids, names, np.concatenate(records))
    return UnitReport(rows={".arrow": len(ids)})


def _account(
    config: PackConfig,
    split: str,
    results: Sequence[UnitResult],
    written: Sequence[UnitResult],
    ledger: Ledger,
) -> dict[str, int]:
    """Book a split: what was encoded came in, what lies in its shards was kept.

    What was dropped is computed from the lengths, so a row that is lost on the way does not
    balance.
    """
    stream = sum(_stream_lengths(config, results))
    per_row = _units_per_row(config)
    left = stream % per_row if split == "train" else 0
    lost_documents, lost_tokens = _remainder(config, results, left)
    shards = [result for result in written if result.label.startswith(f"{split}/")]
    kept = total_written(Written(**result.summary) for result in shards)
    came_in = {
        name: sum(result.summary[name] for result in results)
        for name in ("documents", "tokens", "empty")
    }
    ledger.take(documents=came_in["documents"], tokens=came_in["tokens"])
    ledger.keep(documents=kept.documents, tokens=kept.tokens)
    ledger.drop("remainder", documents=lost_documents, tokens=lost_tokens)
    if came_in["empty"]:
        ledger.drop("empty", documents=came_in["empty"])
    return {
        "rows": kept.rows,
        "documents": kept.documents,
        "tokens": kept.tokens,
        "special_tokens": kept.special_tokens,
    }


def _remainder(config: PackConfig, results: Sequence[UnitResult], left: int) -> tuple[int, int]:
    """Documents and tokens that lie wholly in the last `left` tokens of the stream."""
    has_specials = config.special_tokens == "bos_eos"
    documents = tokens = 0
    for result in reversed(results):
        offsets = _open(_parts(result)["arrays"]).offsets
        for length in np.diff(offsets)[::-1]:
            if left <= 0:
                return documents, tokens
            closing = 1 if has_specials else 0
            inside = max(0, min(int(length), left - closing))
            tokens += inside
            documents += int(inside == length and length > 0)
            left -= int(length) + closing
    return documents, tokens


def _too_small(config: PackConfig, results: Sequence[UnitResult]) -> str:
    tokens = sum(result.summary["tokens"] for result in results)
    return (
        f"the training text is {tokens:,} tokens long, less than one row of "
        f"{config.row_tokens} (pack.row_tokens). Add text, or lower pack.row_tokens."
    )


PACK = Stage(
    name="pack",
    number=4,
    version=3,
    needs=("clean", "tokenizer"),
    config=pack_slice,
    run=pack,
    libraries=("tokenizers", "pyarrow"),
)
