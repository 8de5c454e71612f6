"""Making masked batches beside stock transformers' collator, on one thread.

Paired in one process, on batches of 32 packed rows of 128 tokens:

    stock               DataCollatorForLanguageModeling, from lists, special tokens marked
    stock, whole words  the same with whole_word_mask (offsets given; masks only, no random
                        tokens: it refuses those)
    ours                roberta_model.data.batches: rows from the memory map, shuffled, masked by
                        (seed, epoch, row), 80 / 10 / 10, as tensors
    ours, whole words   the same with whole words
"""

import itertools
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from material import Material, material
from paired import Comparison, Figures, parser

from roberta_model.data.batches import MaskedBatches
from roberta_model.data.masking import Masking, MaskingTables
from roberta_model.data.ordering import SampleOrder
from roberta_model.data.rows import PackedRows
from roberta_model.recipe import MaskingRecipe

_BATCH_ROWS = 32
_NUM_BATCHES = 64
_SECONDS = 2.0

Step = Callable[[int], Any]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=5).parse_args()
    found = material(options)
    torch.set_num_threads(1)
    options.threads = 1
    stock, stock_words = stock_collators(found)
    steps = {
        "stock transformers": stock,
        "ours": our_batches(found, whole_word=False),
        "stock, whole words": stock_words,
        "ours, whole words": our_batches(found, whole_word=True),
    }
    row_tokens = PackedRows(found.rows).row_tokens
    seconds = 0.0 if options.quick else _SECONDS
    comparison = Comparison(
        f"Masked batches of {_BATCH_ROWS} rows x {row_tokens} tokens",
        {"millions": "million tokens/s"},
        (
            "the ratio of whole words is to the stock collator's whole words",
            "stock starts from lists of ids in memory; ours reads its rows from the shards",
        ),
        {"stock, whole words": "stock, whole words", "ours, whole words": "stock, whole words"},
    )
    tokens = _BATCH_ROWS * row_tokens
    comparison.run(
        {name: partial(_speed, step, tokens, seconds) for name, step in steps.items()},
        1 if options.quick else options.rounds,
    )
    comparison.show(options)


def _speed(step: Step, tokens: int, seconds: float) -> Figures:
    step(0)
    start, done = time.perf_counter(), 0
    while done < 2 or time.perf_counter() - start < seconds:
        done += 1
        step(done)
    return {"millions": done * tokens / (time.perf_counter() - start) / 1e6}


def our_batches(found: Material, whole_word: bool) -> Step:
    """Our batches as training gets them; those of a new epoch when the rows are through."""
    rows = PackedRows(found.rows)
    order = SampleOrder(0, rows.num_rows, min(_BATCH_ROWS, rows.num_rows))
    tables = MaskingTables.load(found.tables)
    recipe = MaskingRecipe(whole_word=whole_word)
    return MaskedBatches(rows, order, Masking(tables, recipe, 0), 1_000_000).batch


def stock_collators(found: Material) -> tuple[Step, Step]:
    """The stock collator over batches of encoded text, as `datasets` hands them out."""
    from transformers import DataCollatorForLanguageModeling, RobertaTokenizerFast

    tokenizer = RobertaTokenizerFast.from_pretrained(str(found.tokenizer))
    row_tokens = PackedRows(found.rows).row_tokens
    encoded = tokenizer(
        list(itertools.islice(_long_texts(found, row_tokens), _BATCH_ROWS * _NUM_BATCHES)),
        truncation=True,
        padding="max_length",
        max_length=row_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
    )
    columns = dict(encoded)
    rows = [{key: columns[key][i] for key in columns} for i in range(len(columns["input_ids"]))]
    plain = [{k: v for k, v in row.items() if k != "offset_mapping"} for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it makes no random tokens
        whole = DataCollatorForLanguageModeling(
            tokenizer, whole_word_mask=True, mask_replace_prob=1.0, random_replace_prob=0.0
        )
    one = DataCollatorForLanguageModeling(tokenizer)
    return (lambda step: one(_batch(plain, step))), (lambda step: whole(_batch(rows, step)))


def _batch(rows: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    start = step * _BATCH_ROWS % max(1, len(rows) - _BATCH_ROWS + 1)
    return [dict(row) for row in rows[start : start + _BATCH_ROWS]]


def _long_texts(found: Material, row_tokens: int) -> Any:
    """Stretches of text that fill a row."""
    size = 8 * row_tokens
    for text in found.documents("clean", "train/"):
        yield from (text[start : start + size] for start in range(0, len(text), size))


if __name__ == "__main__":
    main()
