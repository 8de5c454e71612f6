"""The tokens that mean something of their own, by their names; importing this needs no torch."""

from collections.abc import Mapping

MASK = "<mask>"
BERT_MASK = "[MASK]"
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")


def special_ids(vocabulary: Mapping[str, int]) -> list[int]:
    """The ids of the special tokens but <mask>, which no two tokenizers need have in common."""
    return [vocabulary[token] for token in SPECIAL_TOKENS if token in vocabulary]


def has_mask(text: str) -> bool:
    """Whether there is something to fill in.

    >>> has_mask("A <mask>."), has_mask("A [MASK]."), has_mask("A mask.")
    (True, True, False)
    """
    return MASK in text or BERT_MASK in text
