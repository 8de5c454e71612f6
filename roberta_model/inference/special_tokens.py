"""The tokens that mean something of their own, by their names; importing this needs no torch."""

MASK = "<mask>"
BERT_MASK = "[MASK]"
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")


def has_mask(text: str) -> bool:
    """Whether there is something to fill in.

    >>> has_mask("A <mask>."), has_mask("A [MASK]."), has_mask("A mask.")
    (True, True, False)
    """
    return MASK in text or BERT_MASK in text
