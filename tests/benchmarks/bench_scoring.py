"""Pseudo-log-likelihood beside one stock forward pass a masked token.

Paired in one process, on the same sentences, pairs that differ in one word as minimal pairs do:

    stock   transformers' RobertaForMaskedLM, one masked copy a forward pass, as it is written
    ours    roberta_model.scoring: copies that two sentences share once, batches of one length,
            the last layer and the head at the masked place alone

of two models: quickstart's (2 layers, width 128) and tiny (4 layers, width 256). The scores are
held against each other, and the largest difference is in the table.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from material import Material, material
from paired import Comparison, Figures, parser
from tokenizers import Tokenizer
from transformers import RobertaForMaskedLM

from roberta_model.config import PRESETS, EncoderShape, ModelConfig
from roberta_model.huggingface import save_model
from roberta_model.masked_lm import RobertaMaskedLM
from roberta_model.scoring import token_log_probabilities

_SHAPES = {"quickstart's": EncoderShape(2, 128, 4, 512), "tiny": PRESETS["tiny"]}
_WORDS = range(5, 16)
_NUM_PAIRS = 24
_SEED = 0

Sentences = Sequence[Sequence[int]]
Scorer = Callable[[Sentences], list[float]]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=5).parse_args()
    found = material(options)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(found.tokenizer / "tokenizer.json"))
    sentences = sentences_of(found, tokenizer, 2 if options.quick else _NUM_PAIRS)
    num_tokens = sum(len(ids) - 2 for ids in sentences)
    variants: dict[str, Callable[[], Figures]] = {}
    for name, shape in _SHAPES.items():
        stock, ours = scorers(shape, tokenizer)
        expected = stock(sentences)
        for who, scorer in (("stock", stock), ("ours", ours)):
            variants[f"{who}, {name}"] = partial(_measure, scorer, sentences, num_tokens, expected)
    comparison = Comparison(
        f"Pseudo-log-likelihood of {len(sentences)} sentences, {num_tokens} tokens",
        {"tokens": "tokens/s", "difference": "largest difference of a sentence, nats"},
        ("the ratio is to stock with the same model",),
        {f"{who}, {name}": f"stock, {name}" for name in _SHAPES for who in ("stock", "ours")},
    )
    comparison.run(variants, 1 if options.quick else options.rounds)
    comparison.show(options)


def _measure(
    scorer: Scorer, sentences: Sentences, num_tokens: int, expected: Sequence[float]
) -> Figures:
    start = time.perf_counter()
    found = scorer(sentences)
    seconds = time.perf_counter() - start
    difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    return {"tokens": num_tokens / seconds, "difference": difference}


def sentences_of(found: Material, tokenizer: Tokenizer, num_pairs: int) -> Sentences:
    """Sentences of the corpus, each beside itself with one word exchanged for a neighbour's."""
    texts = (
        line.split()
        for document in found.documents("clean", "train/")
        for line in document.split(". ")
    )
    usable = (words for words in texts if len(words) in _WORDS)
    pairs = []
    taken = list(itertools.islice(usable, 2 * num_pairs))
    for words, other in zip(taken[::2], taken[1::2], strict=True):
        place = len(words) // 2
        pairs += [words, [*words[:place], other[0], *words[place + 1 :]]]
    return [tokenizer.encode(" ".join(words)).ids for words in pairs]


def scorers(shape: EncoderShape, tokenizer: Tokenizer) -> tuple[Scorer, Scorer]:
    """Stock's and ours of a model of this shape with the same, drawn weights."""
    torch.manual_seed(_SEED)
    config = ModelConfig(tokenizer.get_vocab_size(), max_row_tokens=128, **vars(shape))
    model = RobertaMaskedLM(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        stock = RobertaForMaskedLM.from_pretrained(folder).eval()
    mask_id = tokenizer.get_vocab()["<mask>"]

    def ours(sentences: Sentences) -> list[float]:
        found = token_log_probabilities(model, sentences, mask_id=mask_id, special_ids=range(4))
        return [float(sum(each)) for each in found]

    @torch.inference_mode()
    def naive(sentences: Sentences) -> list[float]:
        return [sum(_one_by_one(stock, ids, mask_id)) for ids in sentences]

    return naive, ours


def _one_by_one(stock: RobertaForMaskedLM, ids: Sequence[int], mask_id: int) -> list[float]:
    found = []
    for place in range(1, len(ids) - 1):
        masked = torch.tensor([[*ids[:place], mask_id, *ids[place + 1 :]]])
        logits_V = stock(input_ids=masked).logits[0, place].double()
        found.append(logits_V.log_softmax(dim=0)[ids[place]].item())
    return found


if __name__ == "__main__":
    main()
