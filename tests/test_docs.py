"""The guides are true: what they list is what there is."""

from pathlib import Path

from config_reference import PLACE, reference

ROOT = Path(__file__).resolve().parents[1]


def test_the_configuration_guide_is_up_to_date() -> None:
    """Every field, type and default as the code has it; `make docs` writes it anew."""
    assert PLACE.read_text(encoding="utf-8") == reference()
