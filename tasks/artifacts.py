"""What stages hand on to one another: every path and figure that another stage reads, in one place.

    download ──Downloaded──▶ clean ──CleanText──▶ tokenizer, pack
    tokenizer ──TrainedTokenizer──▶ pack, pretrain, evaluate, publish
    pack ──PackedText──▶ pretrain, evaluate          pretrain ──TrainedModel──▶ evaluate, publish
    download ──Downloaded──▶ evaluate: which documents files are whose

The constants are the labels of the units that write them.
"""

from typing import Any, ClassVar, Literal, Self

from tasks.engine.records import Artifact
from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile
from tasks.sources.summaries import DocumentsFile, SourceSummary, documents_files

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, Split] = ("train", "held_out")

TOKENIZER_FOLDER = "tokenizer"
MASKING_TABLES = "masking_tables"
TOKEN_COUNTS = "token_counts"  # noqa: S105 - tokens of text
MODEL = "model"
LOSSES = "losses"


class HandOver:
    """A finished stage as a later one sees it.

    Attributes:
        stage: Its name.
        artifact: The artifact itself.
    """

    stage: ClassVar[str]

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    @classmethod
    def of(cls, context: StageContext[Any]) -> Self:
        """That of a stage's input; the stage must declare that it needs it."""
        return cls(context.input(cls.stage))


class Downloaded(HandOver):
    """The documents as they came."""

    stage = "download"

    @property
    def sources(self) -> list[SourceSummary]:
        """The sources in the config's order."""
        return [SourceSummary.from_json(each) for each in self.artifact.summary["sources"]]

    @property
    def files(self) -> list[DocumentsFile]:
        """All documents files, those of a source together."""
        return documents_files(self.sources, dict(self.artifact.outputs))


class CleanText(HandOver):
    """Documents fit for training, and those that are kept for the evaluation."""

    stage = "clean"

    def files(self, split: Split) -> list[StoredFile]:
        """The documents files of a split."""
        return self.artifact.files(f"{split}/")

    @property
    def rejects(self) -> list[StoredFile]:
        """What was dropped, with the reasons, where it is kept; no stage computes with it."""
        return [
            StoredFile(
                self.artifact.store.url(f"{self.artifact.folder}/{unit.label}{suffix}"),
                entry["sha256"],
                entry["bytes"],
                entry["rows"],
            )
            for unit in self.artifact.units
            if unit.label.startswith("rejects/")
            for suffix, entry in unit.files.items()
        ]

    @property
    def num_train_bytes(self) -> int:
        """UTF-8 bytes of the text to train on."""
        return int(self.artifact.summary["train"]["bytes"])


class TrainedTokenizer(HandOver):
    """The tokenizer, and what masking knows of its vocabulary."""

    stage = "tokenizer"

    @property
    def file(self) -> StoredFile:
        """The tokenizer.json."""
        return self.artifact.file(f"{TOKENIZER_FOLDER}/tokenizer.json")

    @property
    def files(self) -> list[StoredFile]:
        """Its files in a model folder."""
        return self.artifact.files(f"{TOKENIZER_FOLDER}/")

    @property
    def masking_tables(self) -> StoredFile:
        """Which ids begin words, and which are special."""
        return self.artifact.file(f"{MASKING_TABLES}.npz")

    @property
    def vocab_size(self) -> int:
        """Ids, special ones included."""
        return int(self.artifact.summary["vocab_size"])


class PackedText(HandOver):
    """Rows of tokens."""

    stage = "pack"

    def shards(self, split: Split) -> list[StoredFile]:
        """The shards of a split, in the order of their rows."""
        return self.artifact.files(f"{split}/")

    def num_rows(self, split: Split) -> int:
        """The rows in them."""
        return sum(file.rows or 0 for file in self.shards(split))

    def document_tables(self, split: Split) -> list[StoredFile]:
        """Which documents the numbers in a shard's rows stand for, in the order of the shards."""
        return self.artifact.files(f"documents/{split}/")

    @property
    def file_names(self) -> StoredFile:
        """The names of the documents files, by the digests that those tables have."""
        return self.artifact.file("files.arrow")

    @property
    def row_tokens(self) -> int:
        """Tokens in a row."""
        return int(self.artifact.summary["row_tokens"])

    @property
    def token_counts(self) -> StoredFile:
        """How often each id stands in the rows to train on, int64 [vocab_size]."""
        return self.artifact.file(f"{TOKEN_COUNTS}.npy")


class TrainedModel(HandOver):
    """The weights after the last step."""

    stage = "pretrain"

    @property
    def files(self) -> list[StoredFile]:
        """Its files in a model folder: weights and config."""
        return self.artifact.files(f"{MODEL}/")

    @property
    def dropout(self) -> float | None:
        """Its weights have learnt under it; None where they went on from another model's."""
        known = self.artifact.manifest["config"]
        return float(known["pretrain"]["dropout"]) if known["model"] else None

    @property
    def losses(self) -> StoredFile:
        """The loss of every step, one JSON line each."""
        return self.artifact.file(f"{LOSSES}.jsonl")


def model_folder_files(context: StageContext[Any]) -> dict[str, StoredFile]:
    """The files of a model folder, by name: weights, config and tokenizer."""
    files = TrainedModel.of(context).files + TrainedTokenizer.of(context).files
    return {file.url.rsplit("/", 1)[-1]: file for file in files}
