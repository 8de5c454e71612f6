"""Minimal pairs: which files are read, and what is said of those that cannot be."""

from pathlib import Path

import pytest

from tasks.errors import UserError
from tasks.evaluation.blimp import find_files
from tasks.publishing.charts import scores_chart


def test_a_name_with_dollars_is_shown_as_it_is() -> None:
    """A chart's label is no formula: after all the training the report would fail on it."""
    chart = scores_chart({r"a_$\frac$_b": 0.5, "plain": 0.75}, chance=0.5)
    assert r"a_$\frac$_b" in chart


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "a\udc80", "\u202eb", ""])
def test_a_name_that_cannot_be_shown_is_refused_before_anything_runs(
    name: str, tmp_path: Path
) -> None:
    """The report's file could not even hold some of them."""
    (tmp_path / f"{name}.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"cannot show: '.*\.jsonl'. Rename") as caught:
        find_files(tmp_path)
    assert str(caught.value).isprintable()
