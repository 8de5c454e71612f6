"""tokenizer: a byte-level BPE from the training documents, checked before it is used.

train documents ──(sample by id)──▶ merges ──▶ tokenizer/ ──▶ check ──▶ masking tables
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from roberta_model.data.masking import MaskingTables
from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS
from tasks.artifacts import MASKING_TABLES, TOKENIZER_FOLDER, CleanText
from tasks.config import Config, Section, TokenizerConfig
from tasks.costs import CorpusSize, Estimate, cost_of_text
from tasks.documents import read_documents
from tasks.engine.outside import outside_file
from tasks.engine.stage import Stage, StageContext, StageReport
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork, shown_as
from tasks.errors import UserError
from tasks.tokenizing.bpe import (
    build_tokenizer,
    load_encoder,
    save_tokenizer,
    train_bpe,
    vocabulary_of,
)
from tasks.tokenizing.check import check_tokenizer


class TokenizerSlice(Section):
    """The section of its own, and the pipeline's name where its first tokenizer stays."""

    tokenizer: TokenizerConfig
    pipeline: str | None


def tokenizer_slice(config: Config) -> TokenizerSlice:
    """What of the config concerns this stage."""
    section = config.tokenizer
    stays = section.refresh == "never" and section.source_folder is None
    return TokenizerSlice(tokenizer=section, pipeline=config.name if stays else None)


def source_files(sliced: TokenizerSlice) -> dict[str, StoredFile]:
    """The file of `tokenizer.from`: its content identifies the result.

    Raises:
        UserError: there is no tokenizer.json in that folder.
    """
    config = sliced.tokenizer
    if config.source_folder is None:
        return {}
    path = Path(os.path.expanduser(config.source_folder)) / "tokenizer.json"
    if not path.is_file():
        raise UserError(
            f"tokenizer.from: there is no {path}. Give a folder with a fast tokenizer; stock "
            "transformers writes one with AutoTokenizer.from_pretrained(...).save_pretrained(...)."
        )
    return {"tokenizer.json": outside_file(path)}


def make_tokenizer(context: StageContext[TokenizerSlice]) -> StageReport:
    """Train or take over the tokenizer, check it, and derive the masking tables.

    Raises:
        UserError: the tokenizer is not fit for the corpus, or not a RoBERTa tokenizer.
    """
    clean = CleanText.of(context)
    documents, num_bytes = clean.files("train"), clean.num_train_bytes
    config = context.config.tokenizer
    if config.source_folder is None:
        payload = {
            "documents": documents,
            "share": share_of(config.sample_bytes, num_bytes),
            "vocab_size": config.vocab_size,
            "min_frequency": config.min_frequency,
            "max_token_characters": config.max_token_characters,
        }
        (made,) = context.map(learn, [Unit(TOKENIZER_FOLDER, payload)], workers=1)
    else:
        unit = Unit(TOKENIZER_FOLDER, {"source": context.externals["tokenizer.json"]})
        (made,) = context.map(take_over, [unit], workers=1)
    tokenizer = made.files["/tokenizer.json"]
    check = {
        "tokenizer": tokenizer,
        "documents": documents,
        "share": share_of(config.check.sample_bytes, num_bytes),
        "max_tokens_per_word": config.check.max_tokens_per_word,
    }
    (checked,) = context.map(examine, [Unit("check", check)], workers=1)
    context.map(tabulate, [Unit(MASKING_TABLES, {"tokenizer": tokenizer})], workers=1)
    summary = {**made.summary, **checked.summary}
    return StageReport(summary=summary, headline=headline(summary))


def headline(summary: Mapping[str, Any]) -> str:
    """What came of it, in one line; text without spaces has no words to count.

    >>> headline({"vocab_size": 1200, "tokens_per_word": None, "check": {"bytes_per_token": 2.5}})
    '1,200 tokens, 2.50 bytes a token'
    """
    measured, name = summary["tokens_per_word"], "tokens a word"
    if measured is None:
        measured, name = summary["check"]["bytes_per_token"], "bytes a token"
    return f"{summary['vocab_size']:,} tokens, {measured:.2f} {name}"


def estimate(config: Config, size: CorpusSize) -> Estimate:
    """One process learns the merges."""
    return cost_of_text(size, config, mb_per_second=3.0, disk_share=0.0, workers=1)


def share_of(sample_bytes: int, num_bytes: int) -> float:
    """The share of documents that makes a sample of about so many bytes."""
    return min(1.0, sample_bytes / max(1, num_bytes))


def sample_texts(documents: Sequence[StoredFile], share: float) -> Iterator[str]:
    """A share of the documents' texts, at least one; which ones follows from their ids."""
    limit = int(share * 2**64)
    nearest: tuple[int, str] | None = None
    is_empty = True
    for file in documents:
        for document in read_documents(file.local()):
            drawn = int.from_bytes(document.id[:8], "big")
            if share >= 1.0 or drawn < limit:
                is_empty = False
                yield document.text
            elif is_empty and (nearest is None or drawn < nearest[0]):
                nearest = drawn, document.text
    if is_empty and nearest is not None:  # few documents, each longer than the sample
        yield nearest[1]


@shown_as("learn merges")
def learn(
    work: UnitWork,
    *,
    documents: Sequence[StoredFile],
    share: float,
    vocab_size: int,
    min_frequency: int,
    max_token_characters: int,
) -> UnitReport:
    """Train the BPE and write the tokenizer's files."""
    texts = sample_texts(documents, share)
    return _save(work, train_bpe(texts, vocab_size, min_frequency, max_token_characters))


@shown_as("take over the tokenizer")
def take_over(work: UnitWork, *, source: StoredFile) -> UnitReport:
    """Rebuild an existing RoBERTa tokenizer from its vocabulary and merges."""
    return _save(work, _rebuilt(source.local(), source.url))


def check_source(config: Config) -> None:
    """Refuse a `tokenizer.from` that could not be taken over.

    Raises:
        UserError: says what is wrong with it.
    """
    for file in source_files(tokenizer_slice(config)).values():
        _rebuilt(file.local(), file.url)


def _rebuilt(path: Path, where: str) -> Tokenizer:
    """The tokenizer that a tokenizer.json describes.

    Raises:
        UserError: it is no RoBERTa's.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        merges = [
            tuple(merge.split(" ") if isinstance(merge, str) else merge)
            for merge in values["model"]["merges"]
        ]
        vocabulary = {**values["model"]["vocab"], **_added(values)}
        numbers = sorted(vocabulary.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise UserError(
            f"tokenizer.from: {where} is not a byte-level BPE tokenizer.json ({problem!r})."
        ) from problem
    _refuse_other_splits(values, where)
    ids = [vocabulary.get(token) for token in (*SPECIAL_TOKENS, MASK)]
    if ids != [0, 1, 2, 3, len(vocabulary) - 1]:
        raise UserError(
            f"tokenizer.from: {where} gives RoBERTa's special tokens the ids {ids}; they must "
            f"be 0, 1, 2, 3 and, for <mask>, the last one, {len(vocabulary) - 1}."
        )
    if numbers != list(range(len(numbers))):
        raise UserError(
            f"tokenizer.from: {where} does not number its {len(numbers):,} tokens from 0 on, "
            "each once. Take the tokenizer.json that stock transformers saves."
        )
    try:
        return build_tokenizer(vocabulary, merges)
    except Exception as problem:  # tokenizers raises bare Exception for whatever is wrong
        raise UserError(
            f"tokenizer.from: the merges in {where} do not fit its vocabulary ({problem})."
        ) from problem


def _refuse_other_splits(values: Mapping[str, Any], where: str) -> None:
    """Refuse a tokenizer that prepares text otherwise, whose ids would silently be others.

    Raises:
        UserError: it has a normalizer, or another pre-tokenizer than RoBERTa's.
    """
    splits = values.get("pre_tokenizer")
    splits = splits if isinstance(splits, dict) else {}
    kept = ("type", "add_prefix_space", "use_regex")
    found = tuple(splits.get(name, True) for name in kept)
    if values.get("normalizer") is not None or found != ("ByteLevel", False, True):
        raise UserError(
            f"tokenizer.from: {where} has the normalizer {values.get('normalizer')} and the "
            f"pre-tokenizer {splits}; RoBERTa's has no normalizer and splits by ByteLevel without "
            "a prefix space. Taking its merges alone would give other ids than it does."
        )


def _added(values: Mapping[str, list[dict[str, object]]]) -> dict[str, int]:
    return {
        str(token["content"]): int(str(token["id"])) for token in values.get("added_tokens", [])
    }


def _save(work: UnitWork, tokenizer: Tokenizer) -> UnitReport:
    save_tokenizer(tokenizer, work.directory())
    return UnitReport(summary={"vocab_size": tokenizer.get_vocab_size()})


@shown_as("check the tokenizer")
def examine(
    work: UnitWork,
    *,
    tokenizer: StoredFile,
    documents: Sequence[StoredFile],
    share: float,
    max_tokens_per_word: float | None,
) -> UnitReport:
    """Round trip and fertility on a sample; the figures go to the summary."""
    encoder = load_encoder(tokenizer.local())
    texts = sample_texts(documents, share)
    found = check_tokenizer(encoder, texts, max_tokens_per_word)
    figures = found.figures(encoder.get_vocab_size())
    path = work.path(".json")
    path.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return UnitReport(summary={"tokens_per_word": found.tokens_per_word, "check": figures})


@shown_as("write masking tables")
def tabulate(work: UnitWork, *, tokenizer: StoredFile) -> UnitReport:
    """What masking must know of the vocabulary, so that training needs no tokenizer."""
    vocabulary = vocabulary_of(Tokenizer.from_file(str(tokenizer.local())))
    MaskingTables.from_vocabulary(vocabulary).save(work.path(".npz"))
    return UnitReport()


TOKENIZER = Stage(
    name="tokenizer",
    number=3,
    version=3,
    needs=("clean",),
    config=tokenizer_slice,
    run=make_tokenizer,
    externals=source_files,
    check=check_source,
    estimate=estimate,
    libraries=("tokenizers",),
    stands=lambda sliced: sliced.pipeline is not None,
)
