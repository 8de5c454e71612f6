"""The guides are true: what they list is what there is."""

from pathlib import Path

from config_reference import PLACE, reference

ROOT = Path(__file__).resolve().parents[1]


def test_the_configuration_guide_is_up_to_date() -> None:
    """Every field, type and default as the code has it; `make docs` writes it anew."""
    assert PLACE.read_text(encoding="utf-8") == reference()


def test_every_row_of_its_tables_has_the_cells_of_its_head() -> None:
    """A bar within a cell is escaped: within backticks, too, it parts cells."""
    head = 0
    for line in PLACE.read_text(encoding="utf-8").splitlines():
        cells = line.replace("\\|", "").count("|")
        head = (head or cells) if line.startswith("|") else 0
        assert cells == head or not line.startswith("|"), line
