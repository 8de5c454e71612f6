"""Cloze facts as LAMA keeps them: records with a sentence that has a mask, and its answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roberta_model.inference.special_tokens import BERT_MASK, MASK
from tasks.config.evaluate import ClozeConfig
from tasks.errors import UserError
from tasks.evaluation.text_files import (
    endings_of,
    name_in,
    read_records,
    require_encodable,
    shown_name,
)

FORMATS = ("jsonl", "parquet")


@dataclass(frozen=True)
class Fact:
    """A sentence with a mask, and what belongs there.

    Attributes:
        before: The sentence up to the mask.
        after: The sentence from there on.
        answer: What stands at the mask.
        relation: Facts of one relation share their candidates.
    """

    before: str
    after: str
    answer: str
    relation: str

    @property
    def spoken(self) -> str:
        """The sentence with its answer."""
        return f"{self.before}{self.answer}{self.after}"


def read_facts(path: Path, settings: ClozeConfig, told: str, name: str) -> tuple[list[Fact], int]:
    """The facts of a file, and how many lines have not exactly one mask.

    Raises:
        UserError: a line is no fact, or there is none.
    """
    facts, unusable = [], 0
    for number, fact in enumerate(each_fact(path, settings, told, name)):
        if settings.max_facts is not None and number >= settings.max_facts:
            break
        if fact is None:
            unusable += 1
        else:
            facts.append(fact)
    if not facts:
        raise UserError(f"{told} holds no facts: no sentence in it has exactly one {BERT_MASK}.")
    return facts, unusable


def each_fact(path: Path, settings: ClozeConfig, told: str, name: str) -> Iterator[Fact | None]:
    """The facts of a file in order; None for a sentence without exactly one mask.

    Raises:
        UserError: a line is no fact.
    """
    form = "parquet" if path.name.endswith(endings_of("parquet")) else "jsonl"
    for where, record in read_records(path, form, told, ()):
        sentence = next((record[key] for key in settings.sentence_fields if key in record), None)
        if isinstance(sentence, list) and sentence:
            sentence = sentence[0]
        answer = record.get(settings.answer_field)
        if not isinstance(sentence, str) or not isinstance(answer, str) or not answer.strip():
            there = ", ".join(map(repr, list(record)[:20])) or "nothing"
            raise UserError(
                f"{where}: a fact has a sentence ({settings.sentence_fields[0]}) and "
                f"an answer ({settings.answer_field}); this one has {there}. sentence_fields and "
                "answer_field name them."
            )
        require_encodable(sentence, where)
        require_encodable(answer, where)
        relation = name_in(record, settings.relation_fields) or shown_name(name)
        parts = sentence.replace(BERT_MASK, MASK).split(MASK)
        has_one = len(parts) == 2
        yield Fact(parts[0], parts[1], answer.strip(), relation) if has_one else None
