"""The export gate: stock `transformers`, in its own process, must agree with our model.

The other process knows nothing of ours: it loads the folder with the class that its `config.json`
names and `AutoTokenizer` as any user would, and writes down logits and token ids. Here they are
compared with what our own code computes from the same folder, whatever head the model has.

Run as a module, this file is that other process:
    python -m tasks.publishing.stock_check FOLDER REQUEST.json ANSWER.npz
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.engine.files import disk_problem
from tasks.errors import StageError
from tasks.processes import Child, ChildSilentError
from tasks.publishing.agreement import Agreement

_TIMEOUT_SECONDS = 600


def check_against_stock(folder: Path, texts: Sequence[str]) -> float:
    """The largest difference between our logits and stock's on some texts.

    Texts are cut to the longest input the model takes. Special tokens are added as stock
    adds them, and the batch is padded, so positions of padded rows are compared too.

    Raises:
        StageError: stock cannot load the folder, gives other token ids, or other logits.
    """
    import torch

    from tasks.inference.model_folder import load_folder_as_named

    model, tokenizer = load_folder_as_named(folder)
    limit = model.config.max_row_tokens
    tokenizer.enable_truncation(limit)
    rows = [tokenizer.encode(text).ids for text in texts]
    stock_rows, stock_logits = _ask_stock(folder, texts, limit)
    for text, ours, theirs in zip(texts, rows, stock_rows, strict=True):
        if ours != theirs:
            raise StageError(
                f"{folder}: stock transformers reads other token ids: {text[:60]!r} is {theirs} "
                f"there and {ours} here. Nothing was published; this is a defect in the export."
            )
    both = Agreement()
    with torch.inference_mode():
        for row, expected in zip(rows, stock_logits, strict=True):
            both.add(model(torch.tensor([row]))[0].float().numpy(), expected)
    if not both.is_rounding:
        raise StageError(
            f"{folder}: stock transformers computes other logits, {both.told()}. "
            f"Nothing was published; this is a defect in the export."
        )
    return both.difference


def _ask_stock(
    folder: Path, texts: Sequence[str], limit: int
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Token ids and logits of each text as a fresh process with stock transformers has them."""
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.npz")
        request.write_text(json.dumps({"texts": list(texts), "limit": limit}), encoding="utf-8")
        arguments = ["-m", "tasks.publishing.stock_check", str(folder), str(request), str(answer)]
        with Child(arguments) as child:
            try:
                code = child.wait(_TIMEOUT_SECONDS)
            except ChildSilentError as problem:
                raise StageError(
                    f"{folder}: stock transformers did not answer in time."
                ) from problem
            if code != 0:
                last = child.last_words()
                if disk_problem(OSError(last)):
                    raise StageError(
                        f"{folder}: stock transformers could not be asked, as there is no space "
                        f"for temporary files in {tempfile.gettempdir()} ({last}). Make room, or "
                        "set TMPDIR to another folder, and run the same command again."
                    )
                raise StageError(f"{folder}: stock transformers cannot load this folder: {last}")
        with np.load(answer, allow_pickle=False) as arrays:
            lengths = arrays["lengths"]
            rows = [arrays["ids"][i, :n].tolist() for i, n in enumerate(lengths)]
            # Logits of each token, without the padded ones; or of the text as a whole.
            is_of_tokens = arrays["logits"].ndim == 3
            logits = [
                row[:n] if is_of_tokens else row
                for row, n in zip(arrays["logits"], lengths, strict=True)
            ]
    return rows, logits


def _answer(folder: str, request: str, answer: str) -> None:
    """The other process: what stock transformers says about a folder, and nothing of ours."""
    import torch
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    (named,) = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["architectures"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    # In fp32 whatever the weights are stored in: rounding is not what is checked.
    model = getattr(transformers, named).from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    model.train(False)
    batch = tokenizer(
        asked["texts"],
        padding=True,
        truncation=True,
        max_length=asked["limit"],
        return_tensors="pt",
    )
    with torch.inference_mode():
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    answers = output.to_tuple()
    # Question answering gives the starts' logits and the ends' apart; here they are columns.
    logits = answers[0] if len(answers) == 1 else torch.stack(answers, dim=-1)
    np.savez(
        answer,
        ids=batch["input_ids"].numpy(),
        lengths=batch["attention_mask"].sum(dim=1).numpy(),
        logits=logits.float().numpy(),
    )


if __name__ == "__main__":
    _answer(*sys.argv[1:4])
