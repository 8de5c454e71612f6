"""Texts that no encoding can carry, and what is said of them; importing this needs no torch."""


def lone_half(text: str) -> str | None:
    r"""What a text holds of a surrogate pair alone, and where, for a message; None if nothing.

    JSON can spell such a half, and Python's strings hold it; no file and no tokenizer does.

    >>> lone_half("a\ud800b")
    'half of a surrogate pair (\\ud800 at character 1), which no encoding can carry'
    >>> lone_half("a\U0001f600b")
    """
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        half = f"\\u{ord(text[problem.start]):04x} at character {problem.start:,}"
        return f"half of a surrogate pair ({half}), which no encoding can carry"
    return None
