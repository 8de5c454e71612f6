"""pack: clean documents become fixed-length rows of tokens in memory-mapped Arrow shards.

    train/*.arrow    ──▶ encode, find cuts (units a file) ──▶ shards (units) ──▶ train/00000.arrow
    held_out/*.arrow ──▶ encode, find cuts                ──▶ shards         ──▶ held_out/...
                                                          ──▶ documents/train/00000.arrow ...
    train/*.arrow    ──▶ token_counts.npy: how often each id stands in the training rows

No token is dropped. Shards end where documents say so (`tasks.packing.cuts`), and nothing in one
tells where it stands among the others, so a changed file leaves most of them as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.artifacts import SPLITS, TOKEN_COUNTS, CleanText, Split, TrainedTokenizer
from tasks.config import Config, PackConfig
from tasks.costs import CorpusSize, Estimate, cost_of_text
from tasks.engine.ledger import Ledger
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.errors import UserError
from tasks.packing.counts import Written, count_tokens, count_written
from tasks.packing.cuts import Candidates, Layout, Span, cut, find_candidates
from tasks.packing.encoded import PARTS, Encoded, encode_documents
from tasks.packing.layout import Piece, pack_documents, pack_stream
from tasks.packing.shards import write_document_table, write_file_table, write_rows
from tasks.packing.words import WordEncoder
from tasks.tokenizing.bpe import load_encoder

Context = StageContext[PackConfig]
_FILE_CHARACTERS = 16  # of a file's digest


def pack_slice(config: Config) -> PackConfig:
    """This stage has a section of its own."""
    return config.pack


@dataclass(frozen=True)
class EncodedFile:
    """A clean file's tokens: the unit that made them, and which documents it was made of."""

    name: str
    digest: str
    unit: UnitResult

    @property
    def arrays(self) -> dict[str, StoredFile]:
        """Its arrays by name."""
        return {part: self.unit.files[f".{part}.npy"] for part in PARTS}

    def piece(self, span: Span) -> dict[str, Any]:
        """Some of its documents as a payload; it says nothing of where the file stands."""
        return {
            "arrays": self.arrays,
            "file": self.digest,
            "first": span.first,
            "last": span.last,
        }


def pack(context: Context) -> StageReport:
    """Encode every document once, lay the rows out, and write them shard by shard.

    Raises:
        UserError: the training text does not fill one row.
    """
    layout = Layout(**context.config.model_dump())
    tokenizer = TrainedTokenizer.of(context)
    encoded = _encode(context, tokenizer.file)
    shards = _cut(context, layout, encoded)
    units = [
        Unit(f"{split}/{number:05d}", {"pieces": pieces, **_row_layout(layout)})
        for split in SPLITS
        for number, pieces in enumerate(shards[split])
    ]
    written = context.map(write_shard, units)
    tables = [Unit(f"documents/{unit.label}", {"pieces": unit.payload["pieces"]}) for unit in units]
    context.map(tabulate_documents, tables)
    everything = [file for split in SPLITS for file in encoded[split]]
    files = [{"digest": file.digest, "name": file.name} for file in everything]
    context.map(tabulate_files, [Unit("files", {"files": files})])
    rows = [unit.files[".arrow"] for unit in written if unit.label.startswith("train/")]
    counts = Unit(TOKEN_COUNTS, {"shards": rows, "vocab_size": tokenizer.vocab_size})
    context.map(write_token_counts, [counts])
    ledger = Ledger()
    summary: dict[str, Any] = {"row_tokens": layout.row_tokens}
    for split in SPLITS:
        summary[split] = _account(split, encoded[split], written, ledger)
    train = summary["train"]
    return StageReport(
        ledger,
        summary,
        headline=f"{train['rows']:,} rows, {train['tokens']:,} tokens",
        figures={"tokens in a pass": f"{train['tokens']:,}"},
    )


def _encode(context: Context, tokenizer: StoredFile) -> dict[Split, list[EncodedFile]]:
    """Every file's tokens, by split."""
    clean = CleanText.of(context)
    documents = {split: clean.files(split) for split in SPLITS}
    names = {
        split: [file.url.rsplit("/", 1)[-1].removesuffix(".arrow") for file in files]
        for split, files in documents.items()
    }
    units = [
        Unit(f"encoded/{split}/{name}", {"documents": file, "tokenizer": tokenizer})
        for split in SPLITS
        for name, file in zip(names[split], documents[split], strict=True)
    ]
    results = iter(context.map(encode, units, outputs=False))
    return {
        split: [
            EncodedFile(name, file.sha256[:_FILE_CHARACTERS], next(results))
            for name, file in zip(names[split], documents[split], strict=True)
        ]
        for split in SPLITS
    }


@shown_as("encode documents")
def encode(work: UnitWork, *, documents: StoredFile, tokenizer: StoredFile) -> UnitReport:
    """One documents file as token ids."""
    encoded = encode_documents(
        documents.local(), _word_encoder(tokenizer.local(), tokenizer.sha256)
    )
    encoded.save({part: work.path(f".{part}.npy") for part in PARTS})
    summary = {
        "documents": encoded.num_documents,
        "tokens": int(encoded.offsets[-1]),
        "empty": int((np.diff(encoded.offsets) == 0).sum()),
    }
    rows = {f".{part}.npy": len(getattr(encoded, part)) for part in PARTS}
    return UnitReport(rows=rows, summary=summary)


@lru_cache(maxsize=1)
def _word_encoder(tokenizer: Path, _sha256: str) -> WordEncoder:
    """A worker encodes file after file, and most words of the next one it knows.

    One that is learnt anew (`--force tokenizer`) may lie where another one lay.
    """
    return WordEncoder(load_encoder(tokenizer))


def _cut(
    context: Context, layout: Layout, encoded: Mapping[Split, Sequence[EncodedFile]]
) -> dict[Split, list[list[dict[str, Any]]]]:
    """For each split its shards, as the pieces of files that each is made of.

    Raises:
        UserError: the training text does not fill one row.
    """
    units = [
        Unit(f"cuts/{split}/{file.name}", {"arrays": file.arrays, "layout": asdict(layout)})
        for split in SPLITS
        for file in encoded[split]
    ]
    results = iter(context.map(find_cuts, units, outputs=False))
    shards: dict[Split, list[list[dict[str, Any]]]] = {}
    for split in SPLITS:
        files = [_candidates(next(results), file, layout) for file in encoded[split]]
        if split == "train" and sum(file.size for file in files) < layout.row_size:
            raise UserError(_too_small(layout, encoded[split]))
        shards[split] = [
            [encoded[split][span.file].piece(span) for span in spans]
            for spans in cut(files, layout.boundaries)
        ]
    return shards


@shown_as("lay out rows")
def find_cuts(
    work: UnitWork, *, arrays: Mapping[str, StoredFile], layout: Mapping[str, Any]
) -> UnitReport:
    """The documents of one file at which a shard may end."""
    encoded = _open(arrays)
    candidates, size = find_candidates(encoded, Layout(**layout))
    np.save(work.path(".npy"), candidates, allow_pickle=False)
    summary = {"documents": encoded.num_documents, "size": size}
    return UnitReport(rows={".npy": len(candidates)}, summary=summary)


def _candidates(result: UnitResult, file: EncodedFile, layout: Layout) -> Candidates:
    found = np.load(result.files[".npy"].local(), allow_pickle=False)

    def sizes() -> NDArray[np.int64]:
        return layout.sizes(np.diff(np.load(file.arrays["offsets"].local(), allow_pickle=False)))

    return Candidates(result.summary["documents"], result.summary["size"], found, sizes)


def _open(arrays: Mapping[str, StoredFile]) -> Encoded:
    return Encoded.open({part: file.local() for part, file in arrays.items()})


def _row_layout(layout: Layout) -> dict[str, Any]:
    """What the rows of given documents depend on."""
    return {name: value for name, value in asdict(layout).items() if name != "shard_rows"}


@shown_as("write rows")
def write_shard(
    work: UnitWork,
    *,
    pieces: Sequence[Mapping[str, Any]],
    row_tokens: int,
    format: Literal["full_sentences", "doc_sentences"],  # noqa: A002
    special_tokens: Literal["bos_eos", "none"],
) -> UnitReport:
    """Write the rows of one shard."""
    opened = [Piece(_open(piece["arrays"]), piece["first"], piece["last"]) for piece in pieces]
    dtype = opened[0].encoded.tokens.dtype
    make = pack_stream if format == "full_sentences" else pack_documents
    has_specials = special_tokens == "bos_eos"
    path = work.path(".arrow")
    write_rows(path, make(opened, row_tokens, has_specials, dtype))
    written = count_written(path, has_specials=has_specials)
    return UnitReport(rows={".arrow": written.rows}, summary=written.to_json())


def tabulate_documents(work: UnitWork, *, pieces: Sequence[Mapping[str, Any]]) -> UnitReport:
    """Write which document each number in a shard's rows stands for."""
    ids, files, records = [], [], []
    for piece in pieces:
        encoded, span = _open(piece["arrays"]), slice(piece["first"], piece["last"])
        ids += [row.tobytes().hex() for row in np.asarray(encoded.ids[span])]
        files += [piece["file"]] * (piece["last"] - piece["first"])
        records.append(np.asarray(encoded.records[span]))
    write_document_table(work.path(".arrow"), ids, files, np.concatenate(records))
    return UnitReport(rows={".arrow": len(ids)})


def tabulate_files(work: UnitWork, *, files: Sequence[Mapping[str, str]]) -> UnitReport:
    """Write what the digests of files in the tables of documents stand for."""
    write_file_table(work.path(".arrow"), files)
    return UnitReport(rows={".arrow": len(files)})


def write_token_counts(
    work: UnitWork, *, shards: Sequence[StoredFile], vocab_size: int
) -> UnitReport:
    """Write how often each token id stands in the training rows, int64 [vocab_size]."""
    np.save(work.path(".npy"), count_tokens([file.local() for file in shards], vocab_size))
    return UnitReport(rows={".npy": vocab_size})


def _account(
    split: Split, encoded: Sequence[EncodedFile], written: Sequence[UnitResult], ledger: Ledger
) -> dict[str, int]:
    """Book a split: what was encoded came in, what lies in its shards was kept."""
    shards = [result for result in written if result.label.startswith(f"{split}/")]
    kept = sum((Written(**result.summary) for result in shards), Written())
    came_in = {
        name: sum(file.unit.summary[name] for file in encoded)
        for name in ("documents", "tokens", "empty")
    }
    ledger.take(documents=came_in["documents"], tokens=came_in["tokens"])
    ledger.keep(documents=kept.documents, tokens=kept.tokens)
    if came_in["empty"]:
        ledger.drop("empty", documents=came_in["empty"])
    return {
        "rows": kept.rows,
        "documents": kept.documents,
        "tokens": kept.tokens,
        "special_tokens": kept.special_tokens,
    }


def _too_small(layout: Layout, encoded: Sequence[EncodedFile]) -> str:
    tokens = sum(file.unit.summary["tokens"] for file in encoded)
    return (
        f"the training text is {tokens:,} tokens long, less than one row of "
        f"{layout.row_tokens} (pack.row_tokens). Add text, or lower pack.row_tokens."
    )


def estimate(config: Config, size: CorpusSize) -> Estimate:
    """Tokens of two bytes are written twice: as encoded, and in rows."""
    return cost_of_text(size, config, mb_per_second=3.0, disk_share=1.0)


PACK = Stage(
    name="pack",
    number=4,
    version=4,
    needs=("clean", "tokenizer"),
    config=pack_slice,
    run=pack,
    estimate=estimate,
    libraries=("tokenizers", "pyarrow"),
)
