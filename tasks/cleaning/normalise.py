r"""Putting characters right without changing what a text says.

ftfy undoes text that was decoded in the wrong encoding. It works line by line, and is asked
only for lines it could change: those that look like such damage to it, or hold a character that
it replaces. Quotes, ligatures and HTML entities stay as the author wrote them; line breaks
become `\n`, invisible control characters go.
"""

import re
import unicodedata
from typing import Literal

from ftfy import TextFixerConfig, fix_text
from ftfy.badness import BADNESS_RE
from ftfy.chardata import CONTROL_CHARS

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
# What the fixers above change wherever it stands, besides mojibake; and all that is not plain.
_CHANGED = "\r\x80-\x9f\u2028\u2029\ud800-\udfff" + re.escape("".join(map(chr, CONTROL_CHARS)))
_CHANGES = re.compile(f"[{_CHANGED}]")
_DOUBTFUL = re.compile("[^\t\n\x0c -~]")
# What ftfy takes for mojibake is a few characters long, and one of them is beyond ASCII.
LONGEST_BAD_CHARACTERS = 8
_WIDE = re.compile(f"[^\x00-\x7f](?:[\x00-\x7f]{{0,{LONGEST_BAD_CHARACTERS}}}[^\x00-\x7f])*")
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
        better = _without_mojibake(text) if repair else text
        if form != "none":
            better = unicodedata.normalize(form, better)
        if better == text:
            return text
        text = better


def _without_mojibake(text: str) -> str:
    """What `fix_text(text, _REPAIR)` returns, without asking it about lines it leaves alone."""
    if text.count("\r") == text.count("\r\n"):
        text = text.replace("\r\n", "\n")
    parts, done = [], 0
    while found := _DOUBTFUL.search(text, done):
        start = text.rfind("\n", done, found.start()) + 1 or done
        stop = text.find("\n", start) + 1 or len(text)
        line = text[start:stop]
        parts.append(text[done:start])
        parts.append(fix_text(line, _REPAIR) if _could_change(line) else line)
        done = stop
    parts.append(text[done:])
    return "".join(parts)


def _could_change(line: str) -> bool:
    # A longer line is cut by ftfy, and judged in parts.
    is_long = len(line) > _REPAIR.max_decode_length
    return is_long or _CHANGES.search(line) is not None or is_bad(line)


def is_bad(line: str) -> bool:
    """What `ftfy.badness.is_bad` says, looking only around characters beyond ASCII."""
    return any(
        BADNESS_RE.search(
            line,
            max(0, found.start() - LONGEST_BAD_CHARACTERS),
            found.end() + LONGEST_BAD_CHARACTERS,
        )
        for found in _WIDE.finditer(line)
    )


def _tidied(text: str) -> str:
    """A text with plain line breaks, without invisible characters and trailing spaces."""
    # Looking for a character is many times faster than matching a pattern.
    if any(character in text for character in "\r\u2028\u2029\u0085"):
        text = _LINE_BREAKS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    if any(blank + "\n" in text for blank in " \t\u00a0"):
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()
