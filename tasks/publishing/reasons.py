"""What each reason of a ledger means, in one line, for who reads the report."""

from collections.abc import Iterable, Mapping
from typing import Any

TOLD = {
    "empty": "there is no text in it",
    "changed since installation": "a module that is not as it was installed, so it was not read",
    "unparsable": "a module that Python cannot parse",
    "too_short": "fewer characters than clean.filters.min_characters",
    "too_long": "more characters than clean.filters.max_characters",
    "symbols": "mostly signs: more than clean.filters.max_symbol_share of it is no letter or digit",
    "repeated_lines": "it says the same lines again and again",
    "repeated_phrases": "it says the same runs of five words again and again",
    "exact_duplicate": "the same text as another document",
    "near_duplicate": "almost the same text as another document",
    "cut_into_spans": "no loss: documents that were gained by cutting long ones",
    "rewritten": "no document: bytes that went when its spaces and characters were put right",
}


def reasons_told(stages: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The reasons that a ledger's stages name, each with its meaning; others are their own.

    >>> reasons_told([{"documents": {"dropped": {"empty": 2, "of my own": 1}}, "name": "clean"}])
    {'empty': 'there is no text in it'}
    """
    measures = [stage[name] for stage in stages for name in ("documents", "bytes") if name in stage]
    met = {reason for measure in measures for reason in measure["dropped"]}
    return {reason: told for reason, told in TOLD.items() if reason in met}
