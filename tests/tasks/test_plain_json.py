"""JSON that every reader takes."""

import datetime
import json

from tasks.plain_json import json_text

DOCUMENT = {
    "rows": [{"d": datetime.date(2020, 1, 2), "x": float("inf"), "y": (float("nan"), 1, "é")}],
    "cut": 0,
}


def test_what_json_has_no_word_for_is_null_or_text() -> None:
    """Of a Parquet file's dates `predict --json` made a traceback, of its gaps a bare NaN."""
    wanted = {"rows": [{"d": "2020-01-02", "x": None, "y": [None, 1, "é"]}], "cut": 0}
    for how in ({}, {"indent": 1}, {"ensure_ascii": True}):
        text = json_text(DOCUMENT, **how)
        assert json.loads(text) == wanted
        assert ("\n" in text) == ("indent" in how)
        assert text.isascii() == ("ensure_ascii" in how)
