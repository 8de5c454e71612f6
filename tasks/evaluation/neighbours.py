"""Nearest neighbours of words by input embeddings: does the model put like words together?

A word is what the tokenizer makes of it after a space, and the mean of its tokens' vectors. Its
neighbours are tokens that begin a word, of two letters or more, by the cosine of their vectors.
There is no score: a person looks at it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from roberta_model.threads import one_thread
from tasks.config.evaluate import NeighboursConfig
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.evaluation.opened import open_model
from tasks.evaluation.records import write_record
from tasks.evaluation.task import ModelFiles, SpecialTokens, Subject, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

_SPACE = "Ġ"  # as byte-level BPE spells it
_WORDS_UNLESS_GIVEN = 10
_EPS = 1e-12
_DECIMALS = 6


def neighbour_units(
    settings: NeighboursConfig, name: str, _files: Mapping[str, StoredFile], subject: Subject
) -> list[Unit]:
    """All words in one unit."""
    asked = {"words": list(settings.words), "top": settings.top}
    return [Unit(f"{name}/words", {**subject.payload, **asked})]


@shown_as("nearest neighbours")
def find_neighbours(
    work: UnitWork,
    *,
    model: ModelFiles,
    special_tokens: SpecialTokens,
    words: Sequence[str],
    top: int,
) -> UnitReport:
    """The nearest tokens of each word, the nearest first."""
    network, tokenizer = open_model(work, model, special_tokens)
    known = word_tokens(tokenizer)
    asked = list(words) or [text for _, text in known[:_WORDS_UNLESS_GIVEN]]
    with one_thread():
        found = nearest(network.embeddings.word.weight.detach(), tokenizer, known, asked, top)
    write_record(work, found)
    return UnitReport(summary={"words": found})


def word_tokens(tokenizer: "Tokenizer") -> list[tuple[int, str]]:
    """The tokens that begin a word and are letters alone, in the vocabulary's order."""
    found = []
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        text = tokenizer.decode([number]).strip()
        if token.startswith(_SPACE) and len(text) > 1 and text.isalpha():
            found.append((number, text))
    return found


def nearest(
    vectors_VD: "Tensor",
    tokenizer: "Tokenizer",
    known: Sequence[tuple[int, str]],
    words: Sequence[str],
    top: int,
) -> list[dict[str, Any]]:
    """Each word with its nearest neighbours; of equally near ones the vocabulary's first."""
    import torch

    ids_N = torch.tensor([number for number, _ in known], dtype=torch.int64)
    units_ND = _unit(vectors_VD[ids_N].double())
    found = []
    for word in words:
        its = tokenizer.encode(f" {word}", add_special_tokens=False).ids
        cosines_N = units_ND @ _unit(vectors_VD[torch.tensor(its)].double().mean(dim=0))
        # Rounded: vectors of one direction tie, and no processor breaks the tie its own way.
        cosines_N = torch.round(cosines_N, decimals=_DECIMALS)
        order = torch.argsort(cosines_N, descending=True, stable=True).tolist()
        others = [n for n in order if its != [known[n][0]]][:top]
        near = [{"token": known[n][1], "cosine": float(cosines_N[n])} for n in others]
        found.append({"word": word, "tokens": len(its), "neighbours": near})
    return found


def _unit(vectors: "Tensor") -> "Tensor":
    norms: Tensor = vectors.norm(dim=-1, keepdim=True).clamp(min=_EPS)
    return vectors / norms


def summarise_neighbours(results: Sequence[UnitResult]) -> dict[str, Any]:
    """The words as they are."""
    return {"words": results[0].summary["words"]}


NEIGHBOURS = Task(
    kind="neighbours",
    settings=NeighboursConfig,
    score=find_neighbours,
    units=neighbour_units,
    summarise=summarise_neighbours,
)
