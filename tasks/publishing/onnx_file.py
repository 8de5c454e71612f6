"""`model.onnx`: a model folder's weights and computation in one file, for runtimes without torch.

    folder ──▶ our model ──▶ torch.onnx ──▶ model.onnx ──▶ onnxruntime ──┐
                   └──▶ logits ──────────────────────────── the same but for rounding?

Batch and length are free, up to the longest row that the model reads. The inputs are `input_ids`
and `attention_mask`; the output is `logits`, or `start_logits` and `end_logits` where the model
answers questions: the names that stock has.
"""

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import StageError, UserError
from tasks.inference.model_folder import load_folder_as_named
from tasks.publishing.agreement import Agreement

if TYPE_CHECKING:
    from roberta_model.whole_rows import WholeRows

ONNX_FILE = "model.onnx"
MADE = (ONNX_FILE, f"{ONNX_FILE}.data")
_OPSET = 18  # of 2022: what is in use reads it
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

Row = list[int]


def require_onnx() -> None:
    """Look for the packages that write and run such a file.

    Raises:
        UserError: one is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--onnx needs {', '.join(_PACKAGES)}; not installed here: {', '.join(missing)}. "
            f"Install them with `make setup EXTRAS=onnx` or `pip install {' '.join(missing)}`."
        )


def write_onnx(folder: Path, texts: Sequence[str]) -> float:
    """Write `model.onnx` into a model folder; the largest difference of a logit from torch's.

    It is run on each text alone, on all of them padded to one length, on rows as long as the
    model reads, and on a row of one token.

    Raises:
        UserError: the folder cannot be read.
        StageError: it computes other logits; the file is there, and not to be used.
    """
    from roberta_model.whole_rows import WholeRows

    model, tokenizer = load_folder_as_named(folder)
    limit = model.config.max_row_tokens
    tokenizer.enable_truncation(limit)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    longest = _repeated(rows, limit)
    graph = WholeRows(model).eval()
    _trace(graph, folder / ONNX_FILE, limit)
    batches = [*([row] for row in rows), rows, [longest], [longest, rows[0]], [rows[0][:1]]]
    both = _compared(graph, folder / ONNX_FILE, batches)
    if not both.is_rounding:
        raise StageError(
            f"{folder}: {ONNX_FILE} computes other logits than torch, {both.told()}. "
            f"Nothing was written; this is a defect in the export."
        )
    return both.difference


def _repeated(rows: Sequence[Row], length: int) -> Row:
    """A row of so many tokens, made of others."""
    tokens = [token for row in rows for token in row]
    return (tokens * (length // max(1, len(tokens)) + 1))[:length]


def _trace(graph: "WholeRows", path: Path, limit: int) -> None:
    import torch

    from roberta_model.whole_rows import INPUTS

    rows_BT = torch.full((2, min(8, limit)), 0), torch.ones(2, min(8, limit), dtype=torch.int64)
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=limit)}
    with _quiet():
        program = torch.onnx.export(
            graph,
            rows_BT,
            dynamo=True,
            dynamic_shapes=(free, free),
            input_names=list(INPUTS),
            output_names=list(graph.outputs),
            opset_version=_OPSET,
            verbose=False,
        )
    assert program is not None
    program.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says to its own developers from the user's terminal."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _compared(graph: "WholeRows", path: Path, batches: Sequence[Sequence[Row]]) -> Agreement:
    """How far the file's logits lie from torch's, those of real tokens."""
    import onnxruntime
    import torch

    from roberta_model.whole_rows import INPUTS

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    both = Agreement()
    for rows in batches:
        ids_BT, mask_BT = _padded(rows, graph.model.config.pad_id)
        found = session.run(list(graph.outputs), dict(zip(INPUTS, (ids_BT, mask_BT), strict=True)))
        with torch.inference_mode():
            wanted = graph.model(torch.from_numpy(ids_BT), torch.from_numpy(mask_BT)).numpy()
        logits = np.stack(found, axis=-1) if len(found) > 1 else found[0]
        if wanted.ndim == 3:  # a logit of each token: padding's mean nothing
            is_real_BT = mask_BT.astype(bool)
            logits, wanted = logits[is_real_BT], wanted[is_real_BT]
        both.add(logits, wanted)
    return both


def _padded(
    rows: Sequence[Row], pad_id: int
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.int64]], ...]:
    """Token ids and mask, padded at the end to the longest row."""
    longest = max(len(row) for row in rows)
    ids_BT = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask_BT = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row)] = row
        mask_BT[number, : len(row)] = 1
    return ids_BT, mask_BT
