"""Examples of one's own: texts with masks, and what the model would put there."""

from collections.abc import Mapping, Sequence
from typing import Any

from roberta_model.inference.special_tokens import BERT_MASK, MASK, has_mask
from roberta_model.threads import one_thread
from tasks.config import Section
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork, shown_as
from tasks.errors import UserError
from tasks.evaluation.records import write_record
from tasks.evaluation.task import ModelFiles, SpecialTokens, Subject, Task, gather_folder
from tasks.inference.model_folder import load_for_use, refusals


class Examples(Section):
    """The texts, as the config lists them."""

    texts: list[str]


def check_examples(settings: Examples, where: str) -> None:
    """Refuse a text in which there is nothing to fill in."""
    for number, text in enumerate(settings.texts):
        if not has_mask(text):
            raise UserError(
                f"{where}.{number}: there is no mask to fill in {text!r}. Write {MASK} (or "
                f"{BERT_MASK}) where the missing word is."
            )


def example_units(
    settings: Examples, name: str, _files: Mapping[str, StoredFile], subject: Subject
) -> list[Unit]:
    """All of them in one unit."""
    return [Unit(name, {**subject.payload, "texts": settings.texts})] if settings.texts else []


@shown_as("examples")
def fill_examples(
    work: UnitWork, *, model: ModelFiles, special_tokens: SpecialTokens, texts: Sequence[str]
) -> UnitReport:
    """The best five guesses for each example text."""
    folder = gather_folder(work, model, special_tokens)
    with one_thread(), refusals():
        loaded = load_for_use(folder, device="cpu")
        examples = [{"text": text, "top": loaded.fill_mask(text, top=5)[0]} for text in texts]
    write_record(work, examples)
    return UnitReport(summary={"examples": examples})


def summarise_examples(results: Sequence[UnitResult]) -> dict[str, Any] | None:
    """The texts and guesses as they are."""
    return {"examples": results[0].summary["examples"]} if results else None


EXAMPLES = Task(
    kind="examples",
    settings=Examples,
    score=fill_examples,
    units=example_units,
    summarise=summarise_examples,
    check=check_examples,
)
