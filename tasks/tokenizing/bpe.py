"""Training and saving a byte-level BPE that is RoBERTa's in every detail.

Ids: `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then bytes and merges in the order they were
learnt, `<mask>` last. The files written load as they are in stock `RobertaTokenizerFast`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from roberta_model.inference.special_tokens import MASK, SPECIAL_TOKENS


def train_bpe(
    texts: Iterable[str], vocab_size: int, min_frequency: int, max_token_characters: int
) -> Tokenizer:
    """Learn merges from texts; the same texts give the same tokenizer.

    The vocabulary is smaller than asked for when the text has too few frequent pairs.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=max_token_characters,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return build_tokenizer(model["vocab"], merges)


def build_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """RoBERTa's tokenizer of a vocabulary and its merges; `<mask>` is added at the end."""
    vocabulary = {**vocabulary}
    vocabulary.setdefault(MASK, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    sep, cls = ("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"])
    tokenizer.post_processor = processors.RobertaProcessing(
        sep, cls, trim_offsets=True, add_prefix_space=False
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
        + [AddedToken(MASK, special=True, lstrip=True, normalized=False)]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that stock transformers reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary + "\n", encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    settings = {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": False,
        "trim_offsets": True,
        "model_max_length": 512,
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": MASK,
    }
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def load_encoder(path: Path) -> Tokenizer:
    """A tokenizer for corpus text: what spells a special token is ordinary text to it.

    A web page that says `<mask>` or `</s>` must not put that token into the training data.
    """
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> list[str | None]:
    """Each id's token in byte-level spelling, None where an id has none."""
    tokens: list[str | None] = [None] * tokenizer.get_vocab_size()
    for token, number in tokenizer.get_vocab().items():
        tokens[number] = token
    return tokens
