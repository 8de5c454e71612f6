"""A model ready for use: what `roberta_model.load` returns.

What a folder can do follows from the head that its `config.json` names. Each use is a module of
its own and a method here; one that the head cannot do says so. A further head is a line in
`architectures.HEADS`, a module and a method.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from roberta_model.encoder import Encoder
from roberta_model.heads import (
    Head,
    QuestionAnsweringHead,
    RobertaWithHead,
    SequenceClassificationHead,
    TokenClassificationHead,
)
from roberta_model.huggingface import load_encoder, read_config
from roberta_model.inference.answers import Answered, answer_questions
from roberta_model.inference.batches import Text, encode
from roberta_model.inference.classes import Classified, classify_texts
from roberta_model.inference.folder import model_of, move_to_device, open_folder, wrong_head
from roberta_model.inference.likelihood import LineRead, LineScore, score_readable, score_texts
from roberta_model.inference.masks import Guess, TextFilled, fill_masks, fill_readable
from roberta_model.inference.reading import Reading, reading_of
from roberta_model.inference.special_tokens import BERT_MASK, MASK, has_mask
from roberta_model.inference.tags import Tagged, tag_texts
from roberta_model.inference.task_rows import TaskRows
from roberta_model.inference.unusable import UnusableError
from roberta_model.inference.vectors import Embedded, embed_texts
from roberta_model.masked_lm import MaskedLMHead, RobertaMaskedLM

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)


class Token(TypedDict):
    """One token of a text: what it stands for, its id, and the characters it covers."""

    token: str
    id: int
    start: int
    end: int


class Told(NamedTuple):
    """What a folder says beside its weights, read with them.

    Attributes:
        architecture: Its head, as Hugging Face calls it.
        config: Its `config.json`.
        reading: What it reads, or why that cannot be told, which not all uses must know.
    """

    architecture: str
    config: Mapping[str, Any]
    reading: Reading | UnusableError

    @classmethod
    def of(cls, folder: Path, architecture: str, model: Encoder) -> "Told":
        """Read it."""
        head = model.head_module if isinstance(model, RobertaWithHead) else None
        reading: Reading | UnusableError
        try:
            reading = reading_of(folder, head, model.config.max_row_tokens)
        except UnusableError as problem:
            reading = problem
        return cls(architecture, read_config(folder), reading)


class LoadedModel:
    """A RoBERTa folder, opened; made by `roberta_model.load`.

    Attributes:
        folder: Where it was read.
        architecture: Its head, as Hugging Face calls it, such as RobertaForMaskedLM.
        model: Ours, in fp32.
        tokenizer: Its own, without truncation.
    """

    def __init__(self, folder: Path, told: "Told", model: Encoder, tokenizer: "Tokenizer") -> None:
        self.folder, self.architecture = folder, told.architecture
        self.model, self.tokenizer = model, tokenizer
        self._told = told

    @property
    def max_tokens(self) -> int:
        """The longest text that the model reads, in tokens, those around it included."""
        return self.model.config.max_row_tokens

    @property
    def width(self) -> int:
        """Numbers in a text's vector."""
        return self.model.config.width

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def tokenize(self, text: str) -> list[Token]:
        """The tokens of a text as the model is given them, those around it included.

        Raises:
            UnusableError: The text is none that an encoding can carry.
        """
        (found,) = encode(self.tokenizer, [text])
        return [
            Token(
                token=self.tokenizer.decode([number], skip_special_tokens=False),
                id=number,
                start=start,
                end=end,
            )
            for number, (start, end) in zip(found.ids, found.offsets, strict=True)
        ]

    def fill_mask(self, text: str, top: int = 5) -> list[list[Guess]]:
        """The `top` guesses for each <mask> of a text, the likeliest first.

        [MASK], as BERT spells it, is read as the same; of the whole vocabulary at most.

        Raises:
            UnusableError: No mask in the text, it is longer than the model's positions, `top` is
                not positive, or the model is no masked LM.
        """
        if top > 0 and not has_mask(text):
            raise UnusableError(
                f"There is no mask to fill in {_shown(text)}. Write {MASK} (or {BERT_MASK}) where "
                "the missing word is."
            )
        return self.fill_masks([text], top)[0]

    def fill_masks(
        self, texts: Sequence[str], top: int = 5, first: int = 1
    ) -> list[list[list[Guess]]]:
        """`fill_mask` of many texts at once, which may have no mask and then have no guesses.

        `first` is the number of the first text in messages.
        """
        return fill_masks(self._masked_lm(), self.tokenizer, texts, top, first)

    def fill_readable(self, texts: Sequence[str], top: int, first: int = 1) -> list[TextFilled]:
        """As `fill_masks`, but texts longer than the model's positions say so in `why`."""
        return fill_readable(self._masked_lm(), self.tokenizer, texts, top, first)

    def score(self, texts: Iterable[str], first: int = 1) -> list[LineScore]:
        """The pseudo-log-likelihood of each text, in order: higher is more likely.

        Raises:
            UnusableError: A text is longer than the model's positions (`first` is the number of
                the first one), or the model is no masked LM.
        """
        return score_texts(self._masked_lm(), self.tokenizer, list(texts), first)

    def score_readable(self, texts: Sequence[str], first: int = 1) -> list[LineRead]:
        """As `score`, but texts longer than the model's positions have no score and a `why`."""
        return score_readable(self._masked_lm(), self.tokenizer, texts, first)

    def embed(self, texts: Iterable[Text]) -> NDArray[np.float32]:
        """A vector for each text, [N, D]: stock's mean pooling under the attention mask.

        Texts longer than the model reads are cut as stock cuts them, which is logged as a warning.

        Raises:
            UnusableError: A text is none that an encoding can carry.
        """
        found = self.embed_with_lengths(list(texts))
        if num_cut := int(found.is_cut_N.sum()):
            log.warning(
                "%d of %d texts are longer than the %d tokens that the model reads: their ends "
                "were left out",
                num_cut,
                len(found.is_cut_N),
                self.max_tokens,
            )
        return found.vectors_ND

    def embed_with_lengths(self, texts: Sequence[Text], first: int = 1) -> Embedded:
        """The vectors, and how much was read of each text; `first` as in `score`."""
        return embed_texts(self.model, self._cutting, texts, first)

    def classify(self, texts: Iterable[Text]) -> list[Classified]:
        """The class of each text, in order, with the scores of all classes.

        Texts longer than the model reads are cut as stock cuts them.

        Raises:
            UnusableError: The model does not classify texts.
        """
        model = self._with_head(SequenceClassificationHead)
        return classify_texts(model, self._cutting, list(texts), self._told.config)

    def tag(self, text: str | Sequence[str]) -> list[Tagged]:
        """The tag of each word of a text, or of some words, in order, as `roberta predict` tags.

        A text's words are parted by white space. More words than the model reads at once are read
        in several rows.

        Raises:
            UnusableError: The model does not tag words, or a word has more tokens than it reads.
        """
        return self.tag_all([text])[0]

    def tag_all(self, texts: Iterable[str | Sequence[str]]) -> list[list[Tagged]]:
        """`tag` of many texts at once, in order."""
        return tag_texts(self._with_head(TokenClassificationHead), self._task_rows, list(texts))

    def answer(self, question: str, context: str) -> Answered:
        """The part of a context that answers a question, as `roberta predict` finds it.

        A context longer than the model reads is read in windows that overlap, of which the best
        answer counts. A question that fills more than half of a row is cut.

        Raises:
            UnusableError: The model does not answer questions.
        """
        return self.answer_all([(question, context)])[0]

    def answer_all(self, pairs: Iterable[tuple[str, str]]) -> list[Answered]:
        """`answer` of many pairs of question and context at once, in order."""
        model = self._with_head(QuestionAnsweringHead)
        may_be_none = self._reading.may_have_no_answer
        return answer_questions(model, self._task_rows, list(pairs), may_be_none=may_be_none)

    def _with_head(self, kind: type[Head]) -> RobertaWithHead:
        if isinstance(self.model, RobertaWithHead) and isinstance(self.model.head_module, kind):
            return self.model
        raise self._wrong_head(kind.architecture)

    def _masked_lm(self) -> RobertaMaskedLM:
        if not isinstance(self.model, RobertaMaskedLM):
            raise self._wrong_head(MaskedLMHead.architecture)
        return self.model

    def _wrong_head(self, wanted: str) -> UnusableError:
        return UnusableError(wrong_head(self.folder, self.architecture, wanted))

    @cached_property
    def _cutting(self) -> "Tokenizer":
        """The tokenizer once more, cutting at what the model reads."""
        cutting = _copied(self.tokenizer)
        cutting.enable_truncation(self.max_tokens)
        return cutting

    @property
    def _reading(self) -> Reading:
        if isinstance(self._told.reading, UnusableError):
            raise self._told.reading
        return self._told.reading

    @cached_property
    def _task_rows(self) -> TaskRows:
        return TaskRows(_copied(self.tokenizer), *self._reading.sizes(self.max_tokens))


def open_model(folder: Path, device: str | None = None, *, head: bool = True) -> LoadedModel:
    """Open a folder; see `roberta_model.load`.

    Args:
        folder: Any Hugging Face RoBERTa folder.
        device: As torch names it; None is the GPU where there is one.
        head: Without it the encoder alone is read, whatever stands on it.

    Raises:
        UnusableError: As `roberta_model.load`.
    """
    told: Told | None = None

    def load(place: Path) -> Encoder:
        nonlocal told
        model, architecture = model_of(place) if head else (load_encoder(place), "RobertaModel")
        told = Told.of(place, architecture, model)
        return model

    model, tokenizer = open_folder(folder, load)
    assert told is not None
    move_to_device(model, device)
    return LoadedModel(folder, told, model, tokenizer)


def _copied(tokenizer: "Tokenizer") -> "Tokenizer":
    """One that may be changed."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer.to_str())


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
