"""The architectures that a Hugging Face folder may name, each with its head: one line each."""

from pathlib import Path

from roberta_model.heads import (
    Head,
    QuestionAnsweringHead,
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.huggingface import load_with_head, read_config
from roberta_model.masked_lm import MaskedLMHead

HEADS: dict[str, type[Head]] = {
    head.architecture: head
    for head in (
        MaskedLMHead,
        SequenceClassificationHead,
        TokenClassificationHead,
        QuestionAnsweringHead,
    )
}


def head_of(folder: Path) -> type[Head]:
    """The kind of head that a folder's `config.json` names.

    Raises:
        ValueError: It names none that we know.
    """
    named = read_config(folder).get("architectures")
    if isinstance(named, list) and len(named) == 1:
        head = HEADS.get(str(named[0]))
        if head is not None:
            return head
    raise ValueError(
        f"{folder / 'config.json'}: the architectures are {named!r}; known are {', '.join(HEADS)}"
    )


def load_model(folder: Path) -> RobertaWithHead:
    """Read a Hugging Face RoBERTa folder with the head that it names, in fp32, for inference.

    Raises:
        ValueError: The head is of an unknown kind; weights are missing, of other shapes, or not
            in safetensors.
    """
    return load_with_head(folder, head_of(folder))
