"""Where a training's first weights come from, beyond the random draw: counts of the rows.

pack: token_counts.npy ───────────────────────▶ the decoder's bias
pack: train/*.arrow ──▶ token_vectors (a unit) ──▶ the word embeddings
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.artifacts import PackedText, TrainedTokenizer
from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitWork
from tasks.training.shape import model_config


@dataclass(frozen=True)
class Start:
    """The kind of a start, and the files it reads, by their names in StartRecipe."""

    kind: str = "plain"
    files: dict[str, StoredFile] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """As `roberta_model.training.start.StartRecipe` reads it."""
        return {"kind": self.kind, **{name: str(f.local()) for name, f in self.files.items()}}


def prepare_start(context: StageContext[Any]) -> Start:
    """What the config asks for; its token vectors are counted if they are not there yet."""
    config = model_config(context)
    if config is None:
        return Start()
    from roberta_model.training.start import position_width

    first = context.config.model.first_weights
    files, num_dimensions = {}, config.width
    packed = PackedText.of(context)
    counts = packed.token_counts
    if first.start == "local":
        files["token_counts"] = counts
        num_dimensions -= position_width(config)
    if first.embeddings == "svd":
        payload = {
            "rows": packed.shards("train"),
            "tables": TrainedTokenizer.of(context).masking_tables,
            "counts": counts,
            "num_dimensions": num_dimensions,
            "seed": context.config.pretrain.seed,
        }
        unit = Unit("token_vectors", payload)
        (vectors,) = context.map(count_token_vectors, [unit], outputs=False, workers=1)
        files["token_vectors"] = vectors.files[".npy"]
    return Start(first.start, files)


def count_token_vectors(
    work: UnitWork,
    *,
    rows: Sequence[StoredFile],
    tables: StoredFile,
    counts: StoredFile,
    num_dimensions: int,
    seed: int,
) -> UnitReport:
    """Write the vectors of all tokens, float32 [vocab_size, at most num_dimensions]."""
    from roberta_model.data.masking import MaskingTables
    from roberta_model.data.rows import PackedRows
    from roberta_model.data.word_boundaries import SPECIAL_CODE
    from roberta_model.threads import one_thread
    from roberta_model.training.token_vectors import token_vectors

    known = MaskingTables.load(tables.local())
    with one_thread():
        vectors = token_vectors(
            PackedRows([file.local() for file in rows]),
            np.load(counts.local(), allow_pickle=False),
            known.codes == SPECIAL_CODE,
            num_dimensions,
            seed,
        )
    np.save(work.path(".npy"), vectors)
    known_tokens = int(vectors.any(axis=1).sum())
    return UnitReport(
        rows={".npy": len(vectors)},
        summary={"tokens": known_tokens, "dimensions": vectors.shape[1]},
    )
