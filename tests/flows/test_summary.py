"""The lines that `roberta run` ends with, from figures as the stages write them."""

from flows.summary import _filled


def test_a_guess_of_white_space_is_told_in_words() -> None:
    """An escaped line break, or nothing at all, is no answer that a person can read."""
    guesses = [(" list", 0.5), ("\n", 0.3), (" ", 0.1), ("\ufffd", 0.05)]
    example = {"text": "A <mask>.", "top": [{"token": t, "score": s} for t, s in guesses]}
    assert _filled(example) == "A <mask>.  ->  list 0.50, (line break) 0.30, (space) 0.10"
