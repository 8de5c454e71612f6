"""The model that a worker scores, opened once and kept for its next units.

A suite asks one model a hundred times over; reading the weights anew for every file of pairs
would take longer than scoring them. What a worker keeps is known by the content of its files.
"""

from typing import TYPE_CHECKING

from tasks.engine.units import UnitWork
from tasks.evaluation.device import Device
from tasks.evaluation.task import ModelFiles, SpecialTokens, gather_folder
from tasks.inference.model_folder import load_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from roberta_model.masked_lm import RobertaMaskedLM

_CPU = Device("cpu")
_Known = tuple[object, ...]
_kept: "dict[_Known, tuple[RobertaMaskedLM, Tokenizer]]" = {}


def open_model(
    work: UnitWork,
    files: ModelFiles,
    special_tokens: SpecialTokens,
    device: Device = _CPU,
) -> "tuple[RobertaMaskedLM, Tokenizer]":
    """The masked LM, in evaluation mode and on its device, and its tokenizer.

    Raises:
        UserError: the folder cannot be loaded, see `load_folder`, or there is no such device.
    """
    place = device.on_this_machine()
    known = place, special_tokens, *sorted((name, file.sha256) for name, file in files.items())
    if known not in _kept:
        _kept.clear()
        model, tokenizer = load_folder(gather_folder(work, files, special_tokens))
        _kept[known] = model.to(place), tokenizer
    return _kept[known]
