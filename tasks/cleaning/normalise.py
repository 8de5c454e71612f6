r"""Putting characters right without changing what a text says.

ftfy undoes text that was decoded in the wrong encoding. It is asked only where that can be:
plain ASCII holds no such damage. Quotes, ligatures and HTML entities stay as the author wrote
them; line breaks become `\n`, invisible control characters go.
"""

import re
import unicodedata
from typing import Literal

from ftfy import TextFixerConfig, fix_text

_REPAIR = TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=True,
    fix_encoding=True,
    restore_byte_a0=True,
    replace_lossy_sequences=True,
    decode_inconsistent_utf8=True,
    fix_c1_controls=True,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=True,
    fix_surrogates=True,
    remove_control_chars=True,
    normalization=None,
    explain=False,
)
_LINE_BREAKS = re.compile(r"\r\n?|\u2028|\u2029|\u0085")
_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_TRAILING = re.compile(r"[ \t\u00a0]+(?=\n)")
_BLANK_LINES = re.compile(r"\n{3,}")

Form = Literal["NFC", "NFKC", "none"]


def normalise(text: str, repair: bool = True, form: Form = "NFC") -> str:
    """The text with its characters put right; doing it twice changes nothing more."""
    text = text.replace("\u2029", "\n\n")
    while True:
        if not text.isascii():
            text = _repaired(text, repair, form)
        tidy = _tidied(text)
        # What is taken away can bring together what only now forms damage or a composed letter.
        if tidy == text or tidy.isascii():
            return tidy
        text = tidy


def _repaired(text: str, repair: bool, form: Form) -> str:
    """A text without mojibake, in its normal form, such that doing it again changes nothing."""
    while True:
        better = fix_text(text, _REPAIR) if repair else text
        if form != "none":
            better = unicodedata.normalize(form, better)
        if better == text:
            return text
        text = better


def _tidied(text: str) -> str:
    """A text with plain line breaks, without invisible characters and trailing spaces."""
    text = _CONTROLS.sub("", _LINE_BREAKS.sub("\n", text))
    text = _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text))
    return text.strip()
