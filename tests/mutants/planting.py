"""One planted fault: a line put wrong, and the tests that are there to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One planted fault.

    Attributes:
        name: What goes wrong.
        file: Where.
        right: The text as it is; it must stand there once.
        wrong: What stands in its place.
        tests: Files or tests that are there to notice.
        words: A pytest expression that picks among them.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    words: str = ""
