"""The model card stays Markdown whatever a source's notes hold."""

from typing import Any

from tasks.publishing.render import render_card

FIGURES: dict[str, Any] = {
    **dict.fromkeys(("licence", "language", "summary", "held_out", "blimp")),
    "name": "letters",
    "example_text": "A <mask>.",
    "ledger": {"stages": []},
    "parameters": 7,
    "special_tokens": "bos_eos",
    "recipe": {"chosen": []},
}


def rows_of(*licences: str | None) -> list[str]:
    """The rows of the card's table of sources."""
    sources = [{"name": "a", "documents": 1, "bytes": 2, "licence": each} for each in licences]
    card = render_card({**FIGURES, "sources": sources})
    table = card.split("## Data\n\n")[1].split("\n\n")[0].splitlines()
    return table[2:]


def test_a_licence_that_is_no_plain_text_stays_in_its_cell() -> None:
    """Bars, lines and HTML end neither the cell nor the table; a plain note is as it was."""
    found = rows_of("CC BY 4.0", "a|b\\|c\n\n# Head", "<script>x</script>", None)
    assert found == [
        "| a | 1 | 2 | CC BY 4.0 |",
        "| a | 1 | 2 | a\\|b\\\\\\|c # Head |",
        "| a | 1 | 2 | &lt;script>x&lt;/script> |",
        "| a | 1 | 2 | not stated |",
    ]
